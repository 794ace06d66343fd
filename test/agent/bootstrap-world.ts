/**
 * Runs the agent's script (agent/bootstrap.sh) in poor worlds; `bootstrap.test.ts` starts this program in namespaces of
 * its own, without a network but loopback. Argument: a folder, with a `world.json` in it.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/** What the server answers in place of a file, by path. */
export type Fault = "404" | "cut" | "page" | "corrupt" | "hang" | "newer" | "empty";

export interface Case {
  name: string;
  /** Program and first arguments of the shell that reads the script from its standard input. */
  shell: string[];
  args: string[];
  env: Record<string, string>;
  faults: Record<string, Fault>;
  /** Sent to the shell once its standard error or output has this text. */
  signal?: { name: "SIGTERM" | "SIGINT" | "SIGHUP"; after: string };
  /** Bytes of the script that arrive; all by default. */
  cut?: number;
}

export interface World {
  /** With `ORIGIN` in place of the address of this program's server, as in the cases. */
  script: string;
  /** Contents by path of the server, base64. */
  files: Record<string, string>;
  cases: Case[];
}

export interface Outcome {
  name: string;
  code: number | string;
  stdout: string;
  stderr: string;
  /** Paths that were asked for. */
  fetched: string[];
  /** Names in the folder `$XDG_CACHE_HOME/assay`, if there is one. */
  kept: string[];
  /** Which files these are, in the same order: a file that was replaced is another one. */
  inodes: number[];
}

const PAGE = "<!doctype html><title>Sign in to the network</title>\n";

async function main(folder: string): Promise<void> {
  const world: World = JSON.parse(readFileSync(join(folder, "world.json"), "utf8"));
  let faults: Case["faults"] = {};
  let fetched: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url ?? "";
    fetched.push(path);
    const file = world.files[path];
    const fault = faults[path];
    if (fault === "hang") return;
    if (file === undefined || fault === "404") return void response.writeHead(404).end("no\n");
    if (fault === "page") return void response.end(PAGE);
    if (fault === "empty") return void response.end();
    const body = Buffer.from(file, "base64");
    if (fault === "newer") return void response.end(Buffer.concat([Buffer.from("\n"), body]));
    if (fault === "corrupt") return void response.end(Buffer.concat([body, Buffer.from("x")]));
    if (fault !== "cut") return void response.end(body);
    response.writeHead(200, { "content-length": body.length });
    response.write(body.subarray(0, body.length / 2), () => response.destroy());
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  // `as`: a TCP server that listens has an AddressInfo.
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const here = (text: string) => text.replaceAll("ORIGIN", origin);

  const outcomes: Outcome[] = [];
  for (const each of world.cases) {
    faults = each.faults;
    fetched = [];
    const env = Object.fromEntries(Object.entries(each.env).map(([k, v]) => [k, here(v)]));
    const [program = "", ...first] = each.shell;
    const child = spawn(program, [...first, "-s", "--", ...each.args.map(here)], { env });
    let [stdout, stderr] = ["", ""];
    const heard = () => {
      if (each.signal && (stdout + stderr).includes(each.signal.after)) {
        child.kill(each.signal.name);
      }
    };
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
      heard();
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
      heard();
    });
    child.stdin.on("error", () => {}).end(here(world.script).slice(0, each.cut));
    const code = await new Promise<number | string>((done) =>
      child.once("close", (status, signal) => done(status ?? signal ?? "")),
    );
    const cache = join(env.XDG_CACHE_HOME ?? "/none", "assay");
    let kept: string[] = [];
    try {
      kept = readdirSync(cache).sort();
    } catch {}
    const inodes = kept.map((name) => statSync(join(cache, name)).ino);
    outcomes.push({ name: each.name, code, stdout, stderr, fetched, kept, inodes });
  }
  server.close();
  server.closeAllConnections();
  process.stdout.write(JSON.stringify(outcomes));
}

const [, , folder] = process.argv;
if (folder !== undefined && process.argv[1]?.endsWith("bootstrap-world.ts")) {
  mkdirSync(join(folder, "tmp"), { recursive: true });
  await main(folder);
}
