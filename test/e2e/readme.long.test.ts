/** The commands of the README and of guides, run as they stand there; docs/api.md continues the session of the first job. */
import { spawn } from "node:child_process";
import { cpSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";
import { createStack } from "./stack.ts";

const read = (page: string) => readFileSync(join(ROOT, page), "utf8");
const PAGES = ["README.md", "docs/guide/first-job.md", "docs/api.md", "docs/guide/own-agent.md"];
/** Blocks of commands that a person alone can run, each with the reason in the line above it. */
const MAX_NOT_RUN = 10;

const commandsOf = (page: string) =>
  [...read(page).matchAll(/^(<!-- not run: .+ -->\n)?```sh\n(.*?)^```$/gms)].map(
    ([, reason, commands = ""]) => ({ reason, commands }),
  );
const runnable = (page: string) =>
  commandsOf(page).flatMap(({ reason, commands }) => (reason === undefined ? [commands] : []));

test("few commands are not run, each for a reason", () => {
  const left = PAGES.flatMap(commandsOf).filter(({ reason }) => reason !== undefined);
  expect(left.length).toBeLessThanOrEqual(MAX_NOT_RUN);
});

test("the commands of the first job and docs/api.md work as written", async () => {
  const { folder, start } = await createStack();
  const server = await start();
  cpSync(join(ROOT, "agent/replays"), join(folder, "agent/replays"), { recursive: true });
  const blocks = ["README.md", "docs/guide/first-job.md", "docs/api.md"].flatMap(runnable);
  expect(blocks.length).toBeGreaterThan(3);
  const script = ["set -eu", ...blocks].join("\n").replaceAll("http://localhost:8787", server.url);
  const { code, output } = await bash(script, folder);
  expect(code, output).toBe(0);
  expect(output).toMatch(/node 0, task \d+: completed/);
  expect(output).toMatch(/^completed$/m);

  expect(output).toContain("Benchmark 'fast_mark' not found");
  expect(output).toMatch(/^event: end\ndata: \{"state":"completed"/m);
  expect(output).toContain('{"message":"Job deleted successfully","requires_agent_stop":false}');
  expect(output).toMatch(/^completed\n3254\.42$/m);
  expect(output).toMatch(/^x-total-count: 1\r?$/im);
  expect(output).toContain('"slug":"h100-node"');
  expect(output).toContain("RESOURCE_IN_USE");
  expect(output).toMatch(/"archived":"\d{4}-/);
  expect(output).toContain('"role":"customer_admin","admin":false,"customer":{"uuid":"');
  expect(output).toMatch(/"url":"[^"]+\/set-password#[\w.-]+"/);
  expect(output).toMatch(/root_admin\nInvalid or expired token\ntrue\n/);
  expect(output).toContain('"details":{"fields":["locked"],"locked":true}');
  expect(output).toMatch(/"key":"bencher_runner_\w{30}"/);
  expect(output).toMatch(/claimed job \d+ as node 0/);
  expect(output).toMatch(/"name":"Rack 7".*"state":"online"/);
  expect(output).toContain("%PDF-1.7");
  if (process.env.SHOW_README === "1") console.log(output);
});

test.each(["first-job", "own-agent"])(
  "the commands of docs/guide/%s.md work as written",
  async (name) => {
    const { folder, start } = await createStack();
    const server = await start();
    cpSync(join(ROOT, "agent/replays"), join(folder, "agent/replays"), { recursive: true });
    const text = readFileSync(join(ROOT, `docs/guide/${name}.md`), "utf8");
    const [commands, replies] = ["sh", "text"].map((kind) =>
      [...text.matchAll(new RegExp(`^\`\`\`${kind}\\n(.*?)^\`\`\`$`, "gms"))].map(
        ([, block = ""]) => block,
      ),
    );
    const script = ["set -eu", ...(commands ?? [])].join("\n");
    const { code, output } = await bash(
      script.replaceAll("http://localhost:8787", server.url),
      folder,
    );
    expect(code, output).toBe(0);
    expect(replies).not.toEqual([]);
    for (const reply of replies ?? []) expect(output).toContain(reply);
  },
);

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

function bash(script: string, cwd: string): Promise<{ code: number | null; output: string }> {
  const path = `${dirname(process.execPath)}:${process.env.PATH}`;
  const child = spawn("bash", ["-c", script], { cwd, env: { ...process.env, PATH: path } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, output })));
}
