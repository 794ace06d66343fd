/** Real agents against the real server: killed with and without their state, after a reboot, and cloned. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { AGENT_BUNDLE } from "../../scripts/lib/agent-bundle.ts";
import { patient } from "../patience.ts";
import { type OwnedWorker, startOwnedWorker } from "./owned-worker.ts";

/** The shortest lease that the server allows. */
const LEASE_SECONDS = 10;

let folder: string;
let program: string;
let worker: OwnedWorker["worker"];
let ask: OwnedWorker["ask"];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "assay-restarts-"));
  program = join(folder, "agent.mjs");
  const { outputFiles } = await build({
    ...AGENT_BUNDLE,
    write: false,
    logLevel: "silent",
  });
  const [file] = outputFiles;
  if (file === undefined) throw new Error("esbuild wrote no agent");
  // A reboot gives the kernel another id, which no process can do: the agent reads a file of the test's instead.
  const text = file.text.replaceAll("/proc/sys/kernel/random/boot_id", join(folder, "boot_id"));
  if (text === file.text) throw new Error("the agent no longer reads the kernel's boot id");
  writeFileSync(program, text);
  boot();
  const vars = { NODE_TIMEOUT_SECONDS: String(LEASE_SECONDS) };
  ({ worker, ask } = await startOwnedWorker(folder, vars));
}, patient(120_000));

afterAll(async () => {
  await worker.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** The machine starts: its kernel draws an id. */
function boot(): void {
  writeFileSync(join(folder, "boot_id"), `${randomUUID()}\n`);
}

/** A recording whose replay takes about `seconds`, and tells its progress about every hundredth of that. */
function recording(seconds: number, model = "NVIDIA L4"): string {
  const file = join(folder, `${randomUUID()}.json`);
  const results = { test_results: [{ bf16_tflops: 50, memory_bandwidth_gbs: 250 }] };
  const facts = { about: "for a test", gpu_model: model, gpu_count: 1, inventory: {} };
  writeFileSync(file, JSON.stringify({ ...facts, duration_seconds: seconds * 60, results }));
  return file;
}

interface Run {
  child: ChildProcess;
  log(): string;
  /** Resolves with the time since the start, ms, when it has logged this. */
  says(pattern: RegExp): Promise<number>;
  exit: Promise<number | null>;
}

function startAgent(options: {
  token: string;
  machine: string;
  state: string;
  replay: string;
}): Run {
  const { token, machine, state, replay } = options;
  const args = ["--host", worker.url.origin, "--machine-uuid", machine, "--replay", replay];
  const startedAt = performance.now();
  const child = spawn(process.execPath, [program, ...args], {
    env: { PATH: process.env.PATH, XDG_STATE_HOME: state, ASSAY_TOKEN: token },
    stdio: ["ignore", "ignore", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let log = "";
  const waiting = new Set<() => void>();
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
    for (const look of waiting) look();
  });
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  return {
    child,
    log: () => log,
    exit,
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (pattern.test(log)) resolve(performance.now() - startedAt);
        };
        waiting.add(look);
        look();
        void exit.then(() => reject(new Error(`it ended without saying ${pattern}:\n${log}`)));
      }),
  };
}

const stateFolder = (): string => mkdtempSync(join(folder, "state-"));
const kept = (state: string): string[] => readdirSync(join(state, "assay/jobs"));

/** A job of one node, and an agent that has run its step for a moment. */
async function atWork(seconds: number) {
  const job = await ask("POST", "/jobs", { benchmarks: ["quick_mark"], node_count: 1 });
  const setting = { token: String(job.token), machine: randomUUID(), state: stateFolder() };
  const agent = startAgent({ ...setting, replay: recording(seconds) });
  await agent.says(/step 0 \(quick_mark\) starts/);
  return { id: String(job.id), setting, agent };
}

async function kill(run: Run): Promise<void> {
  run.child.kill("SIGKILL");
  await run.exit;
}

describe("an agent that was killed", () => {
  test.each([
    ["goes on at once", () => {}],
    ["goes on at once after a reboot, too", boot],
  ])("with its state it %s", async (_name, between) => {
    const { id, setting, agent } = await atWork(300);
    expect(kept(setting.state)).toHaveLength(1);
    await kill(agent);
    between();
    const next = startAgent({ ...setting, replay: recording(0.2) });
    expect(await next.says(/rejoined as node 0/)).toBeLessThan(patient(5_000));
    expect(await next.exit, next.log()).toBe(0);
    const detail = await ask("GET", `/jobs/${id}`);
    expect(detail).toMatchObject({ state: "completed", tasks: [{ rank: 0, state: "completed" }] });
    expect(detail.events.map(({ kind }: { kind: string }) => kind)).not.toContain("lost");
    expect(kept(setting.state)).toEqual([]);
  });

  test("without its state it says so once, waits for the lease, and is back", async () => {
    const { id, setting, agent } = await atWork(300);
    await kill(agent);
    const next = startAgent({ ...setting, state: stateFolder(), replay: recording(0.2) });
    await next.says(/another agent is this machine's node in the job/);
    const since = performance.now();
    await next.says(/rejoined as node 0/);
    expect(performance.now() - since).toBeGreaterThan(1_000);
    await next.exit;
    expect(next.log().match(/another agent/g)).toHaveLength(1);
    const { events, tasks } = await ask("GET", `/jobs/${id}`);
    const kinds = events.map(({ kind }: { kind: string }) => kind);
    expect(kinds).toEqual(expect.arrayContaining(["lost", "returned", "settled"]));
    expect(tasks).toHaveLength(1);
  });
});

test("a clone of the machine waits, disturbs nothing, and changes nothing", async () => {
  const { id, setting, agent } = await atWork(LEASE_SECONDS + 5);
  const clone = startAgent({
    ...setting,
    state: stateFolder(),
    replay: recording(0.2, "NVIDIA A100-SXM4-80GB"),
  });
  await clone.says(/another agent is this machine's node in the job/);
  expect(await agent.exit, agent.log()).toBe(0);
  const detail = await ask("GET", `/jobs/${id}`);
  expect(detail).toMatchObject({
    state: "completed",
    tasks: [{ gpu_model: "NVIDIA L4", state: "completed" }],
  });
  expect(detail.events.map(({ kind }: { kind: string }) => kind)).not.toContain("lost");
  // The job is over: the clone is told so when it asks again.
  expect(await clone.exit).toBe(1);
  expect(clone.log()).not.toMatch(/joined as node/);
});
