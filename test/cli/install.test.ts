/** `curl -fsSL HOST/cli | sh`: what it installs, and what it refuses. Finding and fetching Node is the agent's script's, and tested there. */
import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { CLI_END } from "../../scripts/lib/cli-bundle.ts";
import { renderInstaller } from "../../scripts/lib/cli-installer.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import { type Answer, cutBody, type FakeServer, startFakeServer } from "./fake-server.ts";

const SCRIPT = renderInstaller("http://127.0.0.1:9");
const program = (version: string) =>
  `console.log(process.argv[2] === "--version" ? "${version}" : JSON.stringify([process.argv.slice(2), process.env.ASSAY_INSTALLED_FROM]));\n${CLI_END}\n`;
const send =
  (text: string): Answer =>
  (response) =>
    void response.end(text);

let server: FakeServer;
/** With what shells trip over. */
let home: string;

beforeEach(async () => {
  server = await startFakeServer();
  server.on("GET /assay.mjs", send(program("1.0.0")));
  home = mkdtempSync(join(tmpdir(), "assay it's home-"));
  onTestFinished(() => rmSync(home, { recursive: true, force: true }));
});
afterEach(() => server.close());

const bin = () => join(home, ".local/bin/assay");
const data = () => join(home, ".local/share/assay");

/** Runs a script as `sh` reads it from its standard input. */
function install(script = SCRIPT.replace("@ORIGIN@", server.url), args: string[] = [], env = {}) {
  // The tests' own Node comes first.
  const PATH = `${join(process.execPath, "..")}:${process.env.PATH}`;
  const child = spawn("sh", ["-s", "--", ...args], { env: { PATH, HOME: home, ...env } });
  let stderr = "";
  child.stderr.on("data", (text) => {
    stderr += text;
  });
  child.stdin.on("error", () => {});
  child.stdin.end(script);
  return new Promise<{ code: number | null; stderr: string }>((done) =>
    child.on("close", (code) => done({ code, stderr })),
  );
}

const run = (...args: string[]) =>
  spawnSync(bin(), args, { encoding: "utf8", env: { PATH: process.env.PATH, HOME: home } }).stdout;

test("it installs for one person, and the program knows the server", async () => {
  const { code, stderr } = await install();
  expect(code, stderr).toBe(0);
  expect(stderr).toContain(`assay 1.0.0 is installed: ${bin()}`);
  expect(stderr).toContain("add it to the PATH");
  expect(JSON.parse(run("job", "a b", "it's", "$HOME"))).toEqual([
    ["job", "a b", "it's", "$HOME"],
    server.url,
  ]);
  expect(readdirSync(data())).toEqual(["assay.mjs"]);
  expect(statSync(bin()).mode & 0o777).toBe(0o755);
});

test("again, it updates", async () => {
  await install();
  server.on("GET /assay.mjs", send(program("1.1.0")));
  expect((await install()).code).toBe(0);
  expect(run("--version")).toBe("1.1.0\n");
});

test("where the server does not know its address, --host or ASSAY_HOST names it", async () => {
  for (const unknown of [SCRIPT, SCRIPT.replace("@ORIGIN@", "")]) {
    const refused = await install(unknown);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("--host");
    expect((await install(unknown, ["--host", `${server.url}/`])).code).toBe(0);
    expect((await install(unknown, [], { ASSAY_HOST: server.url })).code).toBe(0);
  }
});

test("another program of the same name is left alone", async () => {
  mkdirSync(join(home, ".local/bin"), { recursive: true });
  writeFileSync(bin(), "#!/bin/sh\necho other\n");
  chmodSync(bin(), 0o755);
  const { code, stderr } = await install();
  expect(code).toBe(69);
  expect(stderr).toContain("is another program");
  expect(run()).toBe("other\n");
});

test.each([
  ["a page", send("<html>Sign in</html>")],
  ["half a program", send(program("1.0.0").slice(0, 60))],
  ["a connection that is cut", cutBody],
  ["404", ((response) => void response.writeHead(404).end("no")) as Answer],
])(
  "%s in place of the program installs nothing, and leaves the old one",
  async (_, answer) => {
    await install();
    server.on("GET /assay.mjs", answer);
    expect((await install()).code).toBe(69);
    expect(run("--version")).toBe("1.0.0\n");
    expect(readdirSync(data())).toEqual(["assay.mjs"]);
  },
  120_000,
);

test("a script that is cut off runs nothing", async () => {
  const script = SCRIPT.replace("@ORIGIN@", server.url);
  const start = script.indexOf("{ #") + 1;
  for (let cut = start; cut < script.length - 1; cut += 401) {
    await install(script.slice(0, cut));
    expect(existsSync(join(home, ".local")), `cut after ${cut}`).toBe(false);
  }
  expect(server.seen).toEqual([]);
});

test("a home that cannot be written is said", async () => {
  const { code, stderr } = await install(undefined, [], { HOME: "/proc/none" });
  expect(code).toBe(69);
  expect(stderr).toContain("cannot be written");
});

test("the script has the functions of the agent's script, and no place is left open", () => {
  expect(SCRIPT.match(/@[A-Z0-9_]+@/g)).toEqual(["@ORIGIN@"]);
  const agent = readFileSync(join(ROOT, "agent/bootstrap.sh"), "utf8");
  const [, findNode = ""] = /^(find_node\(\) \{[\s\S]*?\})$/m.exec(agent) ?? [];
  expect(findNode).not.toBe("");
  expect(SCRIPT).toContain(findNode);
  const { status } = spawnSync("shellcheck", ["--version"]);
  if (status !== 0)
    return void console.warn("There is no shellcheck here: the script is not checked with it.");
  const { stdout } = spawnSync("shellcheck", ["-s", "sh", "-"], {
    input: SCRIPT,
    encoding: "utf8",
  });
  expect(stdout).toBe("");
});
