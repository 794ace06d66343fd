/** A job on the real server whose machine is measured: by the agent's own process, its child, and the fake driver. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { patient } from "../patience.ts";
import { type Json, type OwnedWorker, startOwnedWorker } from "./owned-worker.ts";

const FAKE_AGENT = fileURLToPath(new URL("../agent/gpu/fake-agent.ts", import.meta.url));

let folder: string;
let worker: OwnedWorker["worker"];
let ask: OwnedWorker["ask"];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "assay-measured-"));
  ({ worker, ask } = await startOwnedWorker(folder));
}, patient(120_000));

afterAll(async () => {
  await worker.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** A job of one node, and its agent's whole life. */
async function measureJob(probe: string): Promise<{ code: number | null; log: string; job: Json }> {
  const job = await ask("POST", "/jobs", { benchmarks: ["quick_mark"], node_count: 1 });
  const child = spawn(process.execPath, [FAKE_AGENT, "--host", worker.url.origin], {
    env: {
      PATH: process.env.PATH,
      XDG_STATE_HOME: mkdtempSync(join(folder, "state-")),
      ASSAY_TOKEN: String(job.token),
      FAKE_PROBE: probe,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, log, job: await ask("GET", `/jobs/${job.id}`) };
}

/** The list of its tasks, as it was sent. */
const resultsOf = async (job: Json): Promise<string> =>
  JSON.stringify(await ask("GET", `/tasks?job_id=${job.id}&include_results=true`));

test("true products of 256 x 256 x 256 reach the server with how they were made", async () => {
  const { code, log, job } = await measureJob("");
  expect(code, log).toBe(0);
  expect(job).toMatchObject({ state: "completed" });
  const text = await resultsOf(job);
  expect(text).toContain("gemm.ptx.256.nt.normal/1");
  expect(text).toContain('"gemm_repeatable":true');
});

test.each([
  ["crash", /probe_crashed/],
  ["hang", /wrote nothing for 30 s/],
  ["oom", /ended by SIGKILL/],
])(
  "%s of the measuring process fails the step; the agent tells so and ends by itself",
  async (probe, message) => {
    const { code, log, job } = await measureJob(probe);
    expect(code, log).toBe(1);
    expect(job).toMatchObject({ state: "failed" });
    expect(job.tasks[0].failed_message).toMatch(message);
  },
);
