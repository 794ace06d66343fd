/** The bytes of D1 that a job takes, indexes and triggers included: one database holds millions of them. */
import { env } from "cloudflare:workers";
import { test } from "vitest";
import { patient } from "../../patience.ts";
import { join, putResult, resultBody } from "../harness/client.ts";
import { createJob, createPerson } from "../harness/factories.ts";
import { rated, reported } from "../harness/instruments.ts";

const JOBS = 60;
/** Each of them runs several jobs before the count begins. */
const KNOWN = Array.from({ length: 20 }, () => crypto.randomUUID());
/** A database of 10 GB holds more than two million jobs of the first kind. */
const CASES = [
  { gpus: 1, machines: "known machines", maxBytes: 4_096 },
  { gpus: 8, machines: "known machines", maxBytes: 4_400 },
  // The rows by which machines are listed and found.
  { gpus: 1, machines: "new machines", maxBytes: 5_120 },
] as const;

const size = async () => (await env.DB.prepare("SELECT 1").run()).meta.size_after;

/** A node as the agent reports it, each GPU measured alone. */
const figures = (number: number, gpus: number) => ({
  aggregate_results: {
    bf16_tflops: 739.125 * gpus + number,
    memory_bandwidth_gbs: 2_989.875 * gpus - number,
  },
  test_results: Array.from({ length: gpus }, (_, gpu) => ({
    gpu_id: `GPU-4f1c2d1e-0000-4000-8000-${String(number * 8 + gpu).padStart(12, "0")}`,
    bf16_tflops: 739.015625 + gpu / 8,
    memory_bandwidth_gbs: 2_989.234375 - gpu / 8,
  })),
  note: "x".repeat(20_000),
});

test.for(CASES)(
  "a rated and reported job of one node takes at most $maxBytes bytes of D1 ($machines, GPUs: $gpus)",
  {
    timeout: patient(600_000),
  },
  async ({ gpus, machines, maxBytes }, { expect }) => {
    const owner = await createPerson();
    const run = async (number: number) => {
      const job = await createJob({}, owner);
      const known = machines === "known machines" ? KNOWN[number % KNOWN.length] : undefined;
      const machine = {
        ...(known !== undefined && { machine_uuid: known }),
        gpu_model: "NVIDIA H100 80GB HBM3",
        gpu_count: gpus,
      };
      const inventory = { cpu: "AMD EPYC 7513 32-Core Processor", text: "y".repeat(20_000) };
      const { body } = await join(job, { ...machine, inventory });
      await putResult(job, body.id, 0, resultBody(figures(number, gpus)));
      await rated(job);
      await reported(job);
    };
    for (let number = 0; number < JOBS; number++) await run(number);
    const before = await size();
    for (let number = 0; number < JOBS; number++) await run(JOBS + number);
    const bytes = ((await size()) - before) / JOBS;
    console.log(`${Math.round(bytes)} bytes of D1 for each job of ${gpus} GPUs, ${machines}`);
    expect(bytes).toBeGreaterThan(1_000);
    expect(bytes).toBeLessThanOrEqual(maxBytes);
  },
);
