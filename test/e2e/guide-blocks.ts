/** Blocks of commands on the README and the guides, and the output that these pages show below them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../scripts/lib/project.ts";

export interface Block {
  page: string;
  commands: string;
  /** Of a block that does not run here: a reason, or the file that runs it. */
  notRun: string | null;
  runBy: string | null;
  /** Lines that the page shows as its output. */
  shown: string[];
}

/** The README, docs/api.md, which continues the first job, and every guide. */
export const PAGES: readonly string[] = [
  "README.md",
  "docs/api.md",
  ...readdirSync(join(ROOT, "docs/guide"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/guide/${name}`),
];

const FENCE =
  /(?:^ *<!-- (?:not run: (?<notRun>[^\n]+)|run by (?<runBy>[^\s,]+)[^\n]*) -->\n)?^(?<indent> *)```(?<kind>[a-z]+)\n(?<text>.*?)^ *```$/gms;

/** The blocks of a page, in order. */
export function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  for (const { groups } of readFileSync(join(ROOT, page), "utf8").matchAll(FENCE)) {
    const { kind, notRun = null, runBy = null, indent = "", text = "" } = groups ?? {};
    const commands = text.replaceAll(new RegExp(`^${indent}`, "gm"), "");
    if (kind === "sh" || kind === "console") {
      blocks.push({ page, commands, notRun, runBy, shown: [] });
    } else if (kind === "text" || kind === "json") {
      blocks.at(-1)?.shown.push(...commands.split("\n").filter((line) => line.trim() !== ""));
    }
  }
  return blocks;
}

export const runsHere = ({ notRun, runBy }: Block) => notRun === null && runBy === null;

/** A line with everything replaced that is another one in each run: ids, times, names, secrets, measured figures, widths. */
export function masked(line: string): string {
  return line
    .replaceAll(/\beyJ[\w.…-]+/g, "TOKEN")
    .replaceAll(/\bbencher_(user|runner)_\w+/g, "KEY")
    .replaceAll(/"kid":"[^"]+"|\bKey [\w-]{43}\b/g, "KID")
    .replaceAll(/\S+(?=\/\.local\/)/g, "HOME")
    .replaceAll(/http:\/\/(127\.0\.0\.1|localhost):\d+/g, "SERVER")
    .replaceAll(/\b[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}\b/g, "UUID")
    .replaceAll(/\bjob-\d{8}-\d{6}-\w{4}\b/g, "JOB")
    .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z?/g, "TIME")
    .replaceAll(/\d+(\.\d+)?/g, "N")
    .replaceAll(/ {2,}/g, " ")
    .trim();
}
