/**
 * The commands of the README, of every guide and of docs/api.md, run as they stand there, twice in a row on one server: whoever
 * follows a page again finds what the first pass has left. Folders are temporary, so the checkout stays as it was.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";
import type { RunningServer } from "../../scripts/lib/server.ts";
import { PATIENCE } from "../patience.ts";
import { type Block, blocksOf, masked, PAGES, runsHere } from "./guide-blocks.ts";
import { createStack, type Stack } from "./stack.ts";

/** Blocks of commands that a person alone can run, each with the reason in the line above it. */
const MAX_NOT_RUN = 10;
/** A page that waits for what never comes ends with an error, not with the time of the whole test. */
const PAGE_SECONDS = 100 * PATIENCE;
/** The beginning of two ports. */
const CLUSTER_PORTS = 2_000 + (process.pid % 1_000);
const REPLAYS = "agent/replays";

const guide = (name: string) => `docs/guide/${name}.md`;
/** Everybody's session. */
const FIRST = [guide("first-job"), guide("cli")];
/**
 * Pages that run beside each other, each row from top to bottom; all continue the session of the first. docs/api.md deletes
 * the job that others read, and reads the newest change in the audit log.
 */
const ROWS = [
  [guide("accounts"), guide("reports"), guide("export"), "docs/api.md"],
  [guide("second-machine"), guide("own-agent"), guide("verdicts")],
  [guide("runners"), guide("specs")],
];

let stack: Stack;
let server: RunningServer;
let before: string;
const statusOf = () => execFileSync("git", ["status", "--porcelain"], { cwd: ROOT }).toString();

beforeAll(async () => {
  before = statusOf();
  stack = await createStack(afterAll);
  server = await stack.start();
  mkdirSync(join(stack.folder, REPLAYS), { recursive: true });
  for (const name of readdirSync(join(ROOT, REPLAYS))) {
    const replay = JSON.parse(readFileSync(join(ROOT, REPLAYS, name), "utf8"));
    // Minutes of a recording pass in as many seconds: here in half a second.
    writeFileSync(
      join(stack.folder, REPLAYS, name),
      JSON.stringify({ ...replay, duration_seconds: 30 }),
    );
  }
});

test("few blocks are not run, each for a reason, and others by a file that exists", () => {
  const blocks = PAGES.flatMap(blocksOf);
  const left = blocks.filter(({ notRun }) => notRun !== null);
  console.log(left.map(({ page, notRun }) => `${page}: not run: ${notRun}`).join("\n"));
  expect(left.length).toBeLessThanOrEqual(MAX_NOT_RUN);
  for (const { runBy } of blocks)
    if (runBy !== null) expect(existsSync(join(ROOT, runBy)), runBy).toBe(true);
});

test("every page with blocks that run is in this test", () => {
  const pages = PAGES.filter((page) => blocksOf(page).some(runsHere));
  expect([...FIRST, ...ROWS.flat()].toSorted()).toEqual(pages.toSorted());
});

describe.each(["first", "second"])("the %s pass over README, guides and docs/api.md", (pass) => {
  test("every block works as written", async () => {
    const session = await run(
      FIRST,
      "",
      "{ declare -p API TOKEN; declare -f field; } > session.sh",
    );
    const rows = await Promise.all([
      ...ROWS.map((pages) => run(pages, ". ./session.sh")),
      runOwnMachine(),
    ]);
    if (process.env.SHOW_README === "1") console.log([session, ...rows].join("\n"));
    // The second pass finds names taken, and gets others.
    if (pass !== "first") return;
    const missing = [FIRST, ...ROWS].map((pages, at) =>
      missingFrom([session, ...rows][at] ?? "", pages),
    );
    expect(missing.flat()).toEqual([]);
  });
});

test("the checkout is as it was", () => {
  expect(statusOf()).toBe(before);
});

/** What pages show as output was printed, but for what differs in each run. */
function missingFrom(output: string, pages: readonly string[]): string[] {
  const printed = output.split("\n").map(masked).join("\n");
  return pages
    .flatMap(blocksOf)
    .filter(runsHere)
    .flatMap(({ page, shown }) => shown.map((line) => ({ page, line: masked(line) })))
    .filter(({ line }) => !printed.includes(line.replace(/…$/, "")))
    .map(({ page, line }) => `${page}: ${line}`);
}

/** Runs pages in one shell, between two lines of ours. */
async function run(pages: readonly string[], before: string, after = ""): Promise<string> {
  const blocks: Block[] = pages.flatMap(blocksOf).filter(runsHere);
  const script = ["set -eu", before, ...blocks.map(({ commands }) => commands), after].join("\n");
  const { code, output } = await bash(script);
  expect(code, `${pages.join(", ")}:\n${output}`).toBe(0);
  // The field of a reply that is an error.
  expect(output).not.toMatch(/^undefined$/m);
  return output;
}

/**
 * "Your own machine" of the README: the server runs, the sign-in takes a token in place of a typed password, and the line that
 * `assay run` prints is run with a recording. This server does not rate recordings, so `assay run` ends with 4.
 */
async function runOwnMachine(): Promise<string> {
  const block = blocksOf("README.md").find(({ commands }) => commands.includes("$ npm start"));
  const lines = [...(block?.commands ?? "").matchAll(/^\$ (.+)$/gm)].map(([, line = ""]) => line);
  const [start, install, login, create, join] = lines;
  expect(lines.length).toBe(5);
  expect(start).toBe("npm start");
  expect(create).toBe("assay run");
  expect(join).toMatch(/^curl -fsSL \S+\/agent \| sh -s -- --host …$/);
  const { code, output } = await bash(
    `set -eu; . ./session.sh; export XDG_CONFIG_HOME=$PWD/own-config
${install}
echo "$TOKEN" | ${login} --token -
: > own.log # that of the first pass has a line, too
${create} --report own.pdf > own.log 2>&1 & WAITING=$!
until grep -E '^ +curl -fsSL ' own.log > line.sh; do sleep 0.2; done
sh -c "$(cat line.sh) --replay agent/replays/h100-nvl-x1.json"
wait $WAITING && STATUS=0 || STATUS=$?
cat own.log; test $STATUS = 4; head -c 8 own.pdf`,
  );
  expect(code, output).toBe(0);
  expect(output).toMatch(/completed, unrated/);
  expect(output).toContain("%PDF-1.7");
  return output;
}

/** Commands of npm itself that pages name. */
const NPM_COMMANDS = ["ci", "install", "run"];

test("every npm command that the README and docs name exists", () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const files = readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" });
  const pages = files.filter((name) => name.endsWith(".md"));
  for (const page of ["README.md", ...pages.map((name) => join("docs", name))]) {
    const text = readFileSync(join(ROOT, page), "utf8");
    const named = [...text.matchAll(/(?:^|[`;&$] ?)npm (?:run )?([a-z:-]*[a-z])/gm)]
      .map((match) => match[1] ?? "")
      .filter((name) => !NPM_COMMANDS.includes(name));
    for (const name of named) expect(scripts, page).toHaveProperty([name]);
  }
});

/** Runs a script in the folder of the server, with a home of its own; answers all that it printed. Ends everything it has started. */
function bash(script: string): Promise<{ code: number | null; output: string }> {
  const home = join(stack.folder, "home");
  const addressed = script
    .replaceAll(/http:\/\/(localhost|127\.0\.0\.1):8787/g, server.url)
    // Agents of other tests may listen on the usual ports at the same time.
    .replaceAll("127.0.0.1:711$1", `127.0.0.1:${CLUSTER_PORTS}$1`);
  const child = spawn(
    "timeout",
    ["--kill-after=5", String(PAGE_SECONDS), "bash", "-c", addressed],
    {
      cwd: stack.folder,
      env: {
        PATH: `${join(home, ".local/bin")}:${dirname(process.execPath)}:${process.env.PATH}`,
        HOME: home,
        LANG: "C.UTF-8",
      },
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, output })));
}
