/** The file that machines fetch, as `npm run build` has made it. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { addonLicence, packAddons } from "../../../scripts/lib/addons.ts";
import { wsLicence } from "../../../scripts/lib/agent-bundle.ts";
import { ROOT } from "../../../scripts/lib/project.ts";

const AGENT = join(ROOT, "public/agent.mjs");
const text = readFileSync(AGENT, "utf8");

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "assay-cache-"));
});
afterEach(() => {
  rmSync(cache, { recursive: true, force: true });
});

function run(...args: string[]) {
  const env = { PATH: process.env.PATH, XDG_CACHE_HOME: cache, LD_LIBRARY_PATH: "" };
  return spawnSync(process.execPath, [AGENT, ...args], { env, encoding: "utf8" });
}

test("has at most 0.8 MB, addons of both platforms in it", () => {
  expect(readFileSync(AGENT).length).toBeLessThanOrEqual(800_000);
  for (const { sha256 } of Object.values(packAddons())) expect(text).toContain(sha256);
});

test("carries the licences of what it contains", () => {
  expect(addonLicence()).toMatch(/MIT License/i);
  expect(text).toContain(addonLicence());
  expect(text).toContain(wsLicence());
});

test("unpacks its addon in the measuring process alone", ({ skip }) => {
  for (const args of [["--version"], ["--help"], ["--host", "nowhere"]]) {
    run(...args);
    expect(readdirSync(cache), args.join(" ")).toEqual([]);
  }
  const platform = `${process.platform}-${process.arch}`;
  if (!Object.hasOwn(packAddons(), platform)) skip(`there is no addon for ${platform}`);
  const { stdout } = run("--probe", "{}");
  expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toHaveProperty("type");
  const [own = ""] = readdirSync(cache);
  expect(readdirSync(join(cache, own))).toEqual([
    expect.stringMatching(/^koffi-[0-9a-f]{16}\.node$/),
  ]);
});
