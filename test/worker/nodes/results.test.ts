/** Results of a node: which are taken, repeated or refused, for each benchmark. */
import { evictDurableObject } from "cloudflare:test";
import { describe, test } from "vitest";
import { getJobRoute } from "../../../src/jobs/contract.ts";
import { resultRoute } from "../../../src/nodes/contract.ts";
import {
  call,
  detail,
  expectContract,
  expectError,
  join,
  poll,
  putResult,
  QUICK_MARK_RESULTS,
  resultBody,
} from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import { coordinatorOf } from "../harness/instruments.ts";

const MIB = 1_024 * 1_024;

async function joined(body: Record<string, unknown> = {}) {
  const job = await createJob(body);
  const reply = await join(job);
  return { job, taskId: reply.body.id as string };
}

describe("PUT /jobs/current/tasks/{task_id}/results/{position}", () => {
  test("the same result again: the same reply; a different one: 422 and no change", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    const first = await putResult(job, taskId, 0);
    expectContract(expect, first, resultRoute, 200);
    expect((await putResult(job, taskId, 0)).text).toBe(first.text);
    const spaced = JSON.stringify(resultBody(), null, 2);
    expect((await putResult(job, taskId, 0, spaced)).text, "white space is no difference").toBe(
      first.text,
    );
    const other = resultBody({ test_results: [{ bf16_tflops: 1, memory_bandwidth_gbs: 1 }] });
    expectError(expect, await putResult(job, taskId, 0, other), 422, "IDEMPOTENCY_KEY_REUSED");
    expectError(
      expect,
      await putResult(job, taskId, 0, { ...resultBody(), ended_at: "2026-01-01T00:05:01Z" }),
      422,
      "IDEMPOTENCY_KEY_REUSED",
    );
    const { results } = (await detail(job)).body.tasks[0].benchmark_results.quick_mark;
    expect(results.test_results).toEqual(QUICK_MARK_RESULTS.test_results);
  });

  test("the same result in another spelling is the same: key order, numbers, null for absent", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    const first = await putResult(job, taskId, 0);
    const [gpu] = QUICK_MARK_RESULTS.test_results;
    const reordered = {
      error_message: null,
      results: { test_results: [Object.fromEntries(Object.entries(gpu ?? {}).reverse())] },
      ended_at: "2026-01-01T01:05:00.0+01:00",
      started_at: "2026-01-01T00:00:00.000Z",
      state: "completed",
    };
    expect((await putResult(job, taskId, 0, reordered)).text).toBe(first.text);
  });

  test("times are shown in RFC 3339, and only such that have that form are taken", async ({
    expect,
  }) => {
    const { job, taskId } = await joined();
    for (const ended_at of ["9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59Z"]) {
      const reply = await putResult(job, taskId, 0, { ...resultBody(), ended_at });
      const message = "ended_at must be between the years 1970 and 9999";
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
    }
    const last = { ...resultBody(), ended_at: "9999-12-31T23:59:59.999Z" };
    expect((await putResult(job, taskId, 0, last)).body.ended_at).toBe("9999-12-31T23:59:59.999Z");
  });

  test("a result that grows beyond what a row can hold when its numbers are written out: 413", async ({
    expect,
  }) => {
    const { job, taskId } = await joined();
    const numbers = `[${Array(49_000).fill("1e20").join(",")},"${"x".repeat(790_000)}"]`;
    const body = JSON.stringify(resultBody({ ...QUICK_MARK_RESULTS, x: "@" })).replace(
      '"@"',
      numbers,
    );
    expect(body.length).toBeLessThan(MIB);
    expectError(expect, await putResult(job, taskId, 0, body), 413, "REQUEST_TOO_LARGE");
    expect((await poll(job, taskId)).body.directive).toBe("run");
  });

  test("20 times the same result at once: one is stored, all get the same reply", async ({
    expect,
  }) => {
    const { job, taskId } = await joined();
    const replies = await Promise.all(Array.from({ length: 20 }, () => putResult(job, taskId, 0)));
    expect(new Set(replies.map((reply) => `${reply.status} ${reply.text}`)).size).toBe(1);
    expect((await detail(job)).body.state).toBe("completed");
  });

  test("a failed step, with its reason", async ({ expect }) => {
    const { job, taskId } = await joined();
    const body = { ...resultBody(), state: "failed", results: undefined, error_message: "no GPU" };
    expect((await putResult(job, taskId, 0, body)).status).toBe(200);
    const seen = (await detail(job)).body;
    expect(seen.state).toBe("failed");
    expect(seen.tasks[0]).toMatchObject({ state: "failed", failed_message: "no GPU" });
    expect(seen.tasks[0].benchmark_results.quick_mark).toMatchObject({
      state: "failed",
      results: null,
      error_message: "no GPU",
      started_at: "2026-01-01T00:00:00.000Z",
      ended_at: "2026-01-01T00:05:00.000Z",
    });
  });

  test.for([
    [
      "a position outside the sequence",
      1,
      resultBody(),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "position must be at most 0",
    ],
    ["a position that is none", "x", resultBody(), 400, "PARAMETER_INCORRECT_VALUE", undefined],
    [
      "no state",
      0,
      { ...resultBody(), state: undefined },
      400,
      "PARAMETER_INCORRECT_VALUE",
      "state must be one of completed, failed",
    ],
    [
      "completed without results",
      0,
      { ...resultBody(), results: undefined },
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results is required with state completed",
    ],
    [
      "failed without a reason",
      0,
      { ...resultBody(), state: "failed" },
      400,
      "PARAMETER_INCORRECT_VALUE",
      "error_message is required with state failed",
    ],
    [
      "a time that is none",
      0,
      { ...resultBody(), started_at: "yesterday" },
      400,
      "PARAMETER_INCORRECT_VALUE",
      undefined,
    ],
    [
      "results in another form",
      0,
      resultBody({ measurements: [] }),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results.aggregate_results is required",
    ],
    [
      "a figure as text",
      0,
      resultBody({ aggregate_results: { bf16_tflops: "1", memory_bandwidth_gbs: 1 } }),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results.aggregate_results.bf16_tflops must be a number",
    ],
    [
      "a figure missing",
      0,
      resultBody({ aggregate_results: { bf16_tflops: 1 } }),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results.aggregate_results.memory_bandwidth_gbs is required",
    ],
    [
      "a number that is not finite",
      0,
      JSON.stringify(resultBody()).replace("452.2", "1e999"),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results.test_results.0.bf16_tflops is a number too large to represent",
    ],
    [
      "NaN, which is not JSON",
      0,
      JSON.stringify(resultBody()).replace("452.2", "NaN"),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "The body is not valid JSON",
    ],
    [
      "more than 50,000 values",
      0,
      resultBody({ ...QUICK_MARK_RESULTS, extra: Array(50_000).fill(0) }),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results must hold at most 50,000 JSON values in all; send fewer figures",
    ],
    [
      "a body over 1 MiB",
      0,
      resultBody({ ...QUICK_MARK_RESULTS, extra: "x".repeat(MIB) }),
      413,
      "REQUEST_TOO_LARGE",
      "The body must have at most 1048576 bytes",
    ],
  ] as const)(
    "%s: a clear 4xx and no change",
    async ([, position, body, status, code, message], { expect }) => {
      const { job, taskId } = await joined();
      const before = (await poll(job, taskId)).body.version;
      const reply = await call("PUT", `/jobs/current/tasks/${taskId}/results/${position}`, {
        token: job.token,
        body,
      });
      expectError(expect, reply, status, code, message);
      const after = (await poll(job, taskId)).body;
      expect(after).toMatchObject({ version: before, directive: "run" });
    },
  );

  test("a result for a task of another job: 404", async ({ expect }) => {
    const { job } = await joined();
    const other = await joined();
    expectError(expect, await putResult(job, other.taskId, 0), 404, "RESOURCE_NOT_FOUND");
    expect((await detail(other.job)).body.state).toBe("running");
  });

  test("a result for a step that has not begun on this node: 409 STEP_NOT_READY", async ({
    expect,
  }) => {
    const { job, taskId } = await joined({ node_count: 2, benchmarks: ["cluster_network"] });
    expectError(
      expect,
      await putResult(job, taskId, 1, resultBody({ measurements: [] })),
      409,
      "STEP_NOT_READY",
    );
  });

  test("16 MiB of results in one job, and not a byte more", async ({ expect }) => {
    const job = await createJob({ node_count: 17 });
    const big = resultBody({ ...QUICK_MARK_RESULTS, extra: "x".repeat(MIB - 1_000) });
    const statuses: number[] = [];
    for (let rank = 0; rank < 17; rank++) {
      const taskId = (await join(job)).body.id;
      const reply = await putResult(job, taskId, 0, big);
      statuses.push(reply.status);
      // Another instance counts from what is stored.
      if (rank === 8) await evictDurableObject(coordinatorOf(job));
      if (rank < 16) continue;
      expectError(
        expect,
        reply,
        413,
        "REQUEST_TOO_LARGE",
        "The results of a job must have at most 16 MiB in total",
      );
      expect((await putResult(job, taskId, 0)).status, "a small one still fits").toBe(200);
    }
    expect(statuses).toEqual([...Array(16).fill(200), 413]);
    const seen = (await detail(job)).body;
    expect(seen.state).toBe("completed");
    expect(seen.tasks[15].benchmark_results.quick_mark.results.extra).toHaveLength(MIB - 1_000);
  });
});

describe("cluster_network results", () => {
  async function atBarrier() {
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const ids = [(await join(job)).body.id, (await join(job)).body.id] as const;
    for (const id of ids) await putResult(job, id, 0);
    return { job, ids };
  }
  const link = { source_rank: 0, target_rank: 1, bandwidth_gbps: 10, latency_ms: 0.1 };

  test.for([
    [
      "another node's measurements",
      { ...link, source_rank: 1, target_rank: 0 },
      "results.measurements.0.source_rank must be 0, the sending node's rank",
    ],
    [
      "a link to itself",
      { ...link, target_rank: 0 },
      "results.measurements.0.target_rank must be the rank of another node, below 2",
    ],
    [
      "a rank that is not there",
      { ...link, target_rank: 2 },
      "results.measurements.0.target_rank must be the rank of another node, below 2",
    ],
    ["no figures and no error", { source_rank: 0, target_rank: 1 }, undefined],
  ] as const)("%s: 400", async ([, measurement, message], { expect }) => {
    const { job, ids } = await atBarrier();
    const reply = await putResult(job, ids[0], 1, resultBody({ measurements: [measurement] }));
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
  });

  test("completed with fewer links than there are other nodes: 400", async ({ expect }) => {
    const { job, ids } = await atBarrier();
    const reply = await putResult(job, ids[0], 1, resultBody({ measurements: [] }));
    const message = "results.measurements must have one entry for each other node, 1 in total";
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
  });

  test("a reason of 1,000 characters is repeated with the node before it, within its bound", async ({
    expect,
  }) => {
    const { job, ids } = await atBarrier();
    const body = {
      ...resultBody(),
      state: "failed",
      results: null,
      error_message: "x".repeat(1_000),
    };
    for (const id of ids) expect((await putResult(job, id, 1, body)).status).toBe(200);
    expectContract(expect, await detail(job), getJobRoute, 200);
  });

  test("the same link twice: 400", async ({ expect }) => {
    const { job, ids } = await atBarrier();
    const reply = await putResult(job, ids[0], 1, resultBody({ measurements: [link, link] }));
    expectError(
      expect,
      reply,
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results.measurements.1.target_rank must not repeat: one entry per link",
    );
  });

  test("a failed link counts as tested and not in the averages", async ({ expect }) => {
    const { job, ids } = await atBarrier();
    await putResult(job, ids[0], 1, resultBody({ measurements: [link] }));
    const dead = { source_rank: 1, target_rank: 0, error: "connection refused" };
    const body = {
      ...resultBody({ measurements: [dead] }),
      state: "failed",
      error_message: "no link of this node could be measured",
    };
    expect((await putResult(job, ids[1], 1, body)).status).toBe(200);
    const seen = (await detail(job)).body;
    expect(seen.state).toBe("completed_with_warnings");
    expect(seen.benchmark_results.cluster_network).toMatchObject({
      state: "failed",
      error_message: "node 1: no link of this node could be measured",
      results: {
        avg_bandwidth_gbps: 10,
        avg_latency: 0.1,
        min_bandwidth_gbps: 10,
        total_links_tested: 2,
      },
    });
    const results = await call("GET", `/jobs/${job.id}/results`, { token: job.owner.token });
    expect(results.body.cluster_network.results).toMatchObject({
      node_count: 2,
      measurements: [link, dead],
    });
  });
});
