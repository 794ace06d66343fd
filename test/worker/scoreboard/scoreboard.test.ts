/** From a node's result to its verdict in D1: rated once settled, whatever fails on the way. */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, test, vi } from "vitest";
import slowA100 from "../../../agent/replays/a100-sxm4-40gb-x8-slow.json";
import twoA100 from "../../../agent/replays/a100-sxm4-80gb-x2.json";
import oneH100 from "../../../agent/replays/h100-nvl-x1.json";
import { call, detail, join, machineUuid, putResult, resultBody } from "../harness/client.ts";
import { createJob, createPerson, measureJob, type TestJob } from "../harness/factories.ts";
import {
  coordinatorOf,
  farAhead,
  flushed,
  onBatchesOf,
  ownD1,
  rated,
  reported,
  travel,
} from "../harness/instruments.ts";
import { jobRow } from "../harness/rows.ts";
import { eventually } from "../harness/time.ts";

const healthy = { bf16_tflops: 265.2, memory_bandwidth_gbs: 1_740 };
const a100 = { gpu_model: "NVIDIA A100-SXM4-80GB", gpu_count: 1 };

describe("a settled job", () => {
  test("is rated by its own models, each node against its own", async ({ expect }) => {
    const job = await measureJob([slowA100, twoA100, oneH100]);
    const { scoreboard_summary: summary } = (await detail(job)).body;
    expect(summary).toMatchObject({
      status: "underperforming",
      benchmark_id: "quick_mark",
      rated_nodes: 2,
      underperforming_nodes: 1,
      baseline_version: 0,
    });
    const nodes = summary.nodes.map((node: Record<string, unknown>) => [
      ...[node.rank, node.gpu_model, node.gpu_count, node.status],
    ]);
    expect(nodes).toEqual([
      [0, "NVIDIA A100-SXM4-40GB", 8, "underperforming"],
      [1, "NVIDIA A100-SXM4-80GB", 2, "expected"],
      [2, "NVIDIA H100 NVL", 1, "unrated"],
    ]);
    expect(summary.nodes[0].metrics[0]).toEqual({
      metric: "bf16_tflops",
      gpu_model: "NVIDIA A100-SXM4-40GB",
      value: 149,
      baseline: 255.5,
      ratio: 0.58317,
      sample_size: 12,
      source: "shipped",
      status: "underperforming",
      own_fleet_baseline: null,
      fleet_baseline: null,
      shipped_baseline: 255.5,
      class: "quickmark",
      reference: null,
      reason: "58.3 % of the shipped baseline: below 90 %",
    });
    expect(summary.nodes[0].metrics[2]).toMatchObject({
      metric: "power_consumption_watts",
      value: null,
      status: "unrated",
    });
    expect(await jobRow(job)).toMatchObject({ performanceStatus: "underperforming" });
  });

  test("a live job has no verdict, and one without figures never gets one", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const { id } = (await join(job)).body;
    await putResult(job, id, 0);
    expect((await detail(job)).body.scoreboard_summary).toBeNull();
    const failed = await createJob();
    const task = (await join(failed)).body.id;
    const body = { ...resultBody(null), state: "failed", error_message: "no driver" };
    expect((await putResult(failed, task, 0, body)).status).toBe(200);
    await rated(failed);
    expect(await jobRow(failed)).toMatchObject({ performanceStatus: null, verdict: null });
    expect((await detail(failed)).body.scoreboard_summary).toBeNull();
  });

  test("a node that did not complete QuickMark is unrated beside one that did", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const [one, two] = [await join(job, a100), await join(job, a100)];
    await putResult(job, one.body.id, 0, resultBody({ aggregate_results: healthy }));
    const failure = { ...resultBody(null), state: "failed", error_message: "ECC error" };
    await putResult(job, two.body.id, 0, failure);
    await rated(job);
    const { scoreboard_summary: summary } = (await detail(job)).body;
    expect(summary).toMatchObject({ status: "expected", rated_nodes: 1 });
    expect(summary.nodes[1]).toMatchObject({ status: "unrated", rank: 1 });
    expect(summary.nodes[1].metrics[0].reason).toBe("QuickMark did not complete");
  });

  test("names GPUs that lag, and what fell since the machine's last job of the same person", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const machine_uuid = machineUuid();
    const run = (bf16: number, person = owner) =>
      measureJob(
        [
          {
            gpu_model: "Unheard-of 900",
            gpu_count: 2,
            machine_uuid,
            results: {
              aggregate_results: { bf16_tflops: bf16, memory_bandwidth_gbs: 2_000 },
              test_results: [{ bf16_tflops: bf16 / 2 }, { bf16_tflops: bf16 / 3, gpu_id: "GPU-b" }],
            },
          },
        ],
        person,
      );
    const nodeOf = async (job: TestJob) => (await detail(job)).body.scoreboard_summary.nodes[0];
    const first = await nodeOf(await run(400));
    expect(first).toMatchObject({ status: "unrated", drops: [] });
    expect(first.stragglers).toMatchObject([{ gpu: 1, gpu_id: "GPU-b", metric: "bf16_tflops" }]);
    expect((await nodeOf(await run(390))).drops, "within the threshold").toEqual([]);
    const fallen = await nodeOf(await run(300));
    expect(fallen.drops).toMatchObject([
      { metric: "bf16_tflops", value: 150, previous_value: 195, ratio: 0.769231 },
    ]);
    const stranger = await createPerson();
    const elsewhere = await nodeOf(await run(100, stranger));
    expect(elsewhere.drops, "what others have measured is not theirs to see").toEqual([]);
  });
});

describe("what follows the end", () => {
  /** Fails the statements of a job's rating as often as asked, and leaves all others alone. */
  function breakRating(job: TestJob, times: number) {
    let left = times;
    onBatchesOf(job, async (run) => {
      const answers = await run();
      if (left > 0 && answers.length === 3) {
        left--;
        throw new Error("no failure that is tried again at once");
      }
      return answers;
    });
    return { left: () => left };
  }

  const stages = (job: TestJob) =>
    runInDurableObject(coordinatorOf(job), async (_object, { storage }) => ({
      rows: storage.sql.exec("SELECT name, failures, due_at FROM stage").toArray(),
      alarm: await storage.getAlarm(),
    }));

  test("is retried by the alarm, and holds up neither the reply nor the flush", async ({
    expect,
  }) => {
    const time = travel();
    time.to(farAhead());
    const job = await createJob();
    const { id } = (await join(job, a100)).body;
    const broken = breakRating(job, 1);
    const reply = await putResult(job, id, 0, resultBody({ aggregate_results: healthy }));
    expect(reply.status, reply.text).toBe(200);
    await flushed(job);
    await eventually(() => expect(broken.left()).toBe(0));
    const { rows, alarm } = await eventually(async () => {
      const found = await stages(job);
      expect(found.rows).toMatchObject([{ name: "rate", failures: 1 }, { name: "report" }]);
      return found;
    });
    expect(alarm, "the alarm stands when the stage is due").toBe(rows[0]?.due_at);
    expect((await jobRow(job)).ratedAt).toBeNull();
    time.to(Number(alarm));
    await runDurableObjectAlarm(coordinatorOf(job));
    await rated(job);
    await eventually(async () => {
      // The report of another job may come first: this one begins later, by the alarm.
      const { rows: pending, alarm: next } = await stages(job);
      time.to(Number(next));
      await runDurableObjectAlarm(coordinatorOf(job));
      expect(pending).toEqual([]);
    });
  });

  test("what a crash has left undone is taken up when the object wakes", async ({ expect }) => {
    travel().to(farAhead());
    const job = await createJob();
    const { id } = (await join(job, a100)).body;
    const broken = breakRating(job, 1);
    await putResult(job, id, 0, resultBody({ aggregate_results: healthy }));
    await eventually(() => expect(broken.left()).toBe(0));
    await eventually(async () =>
      expect((await stages(job)).rows).toMatchObject([{ failures: 1 }, { name: "report" }]),
    );
    await runInDurableObject(coordinatorOf(job), (_object, { storage }) => {
      storage.sql.exec("UPDATE stage SET failures = 0");
    });
    const { evictDurableObject } = await import("cloudflare:test");
    await evictDurableObject(coordinatorOf(job));
    await detail(job);
    await call("GET", "/jobs/current", { token: job.token });
    await rated(job);
  });

  test("rating again changes nothing but the time", async ({ expect }) => {
    const job = await measureJob([twoA100]);
    await reported(job);
    const before = await jobRow(job);
    const { stage } = await import("../../../src/scoreboard/rating.ts");
    const DB = ownD1();
    const batch = vi.spyOn(DB, "batch");
    await stage.run({ jobId: Number(job.id), env: { ...env, DB }, now: 5 });
    expect(batch, "D1 round trips of a rating").toHaveBeenCalledTimes(3);
    expect(await jobRow(job)).toEqual({ ...before, ratedAt: 5 });
  });
});

test("a job of 256 nodes is rated in a few batches", async ({ expect }) => {
  const job = await createJob({ node_count: 256 });
  const ids: string[] = [];
  for (let rank = 0; rank < 256; rank++) ids.push((await join(job, a100)).body.id);
  const gpus = { aggregate_results: healthy };
  for (const id of ids) await putResult(job, id, 0, resultBody(gpus));
  await rated(job);
  const { scoreboard_summary: summary } = (await detail(job)).body;
  expect(summary).toMatchObject({ status: "expected", rated_nodes: 256 });
  expect(summary.nodes).toHaveLength(256);
});
