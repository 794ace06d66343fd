/** The verdict that a node of a settled job gets with its poll. */
import { describe, test } from "vitest";
import { pollRoute } from "../../../src/nodes/contract.ts";
import {
  detail,
  expectContract,
  join,
  joinSecret,
  poll,
  putResult,
  resultBody,
} from "../harness/client.ts";
import { createJob, createSpec, measureJob } from "../harness/factories.ts";
import { costOf, flushed, rated } from "../harness/instruments.ts";

const A100 = "NVIDIA A100-SXM4-80GB";
const NOTHING = { performance: null, findings: null, spec_check: null };
/** Far below the shipped baseline. */
const SLOW = {
  aggregate_results: { bf16_tflops: 100, memory_bandwidth_gbs: 1_700 },
  test_results: [{ bf16_tflops: 100, memory_bandwidth_gbs: 1_700 }],
};

async function slowJob() {
  const job = await createJob({});
  const { body } = await join(job, { gpu_model: A100, gpu_count: 1 });
  await putResult(job, body.id, 0, resultBody(SLOW));
  await rated(job);
  return { job, taskId: body.id as string };
}

describe("a poll with task_id", () => {
  test("of a rated job: the verdict and findings of the node, as its owner reads them", async ({
    expect,
  }) => {
    const { job, taskId } = await slowJob();
    const reply = await poll(job, taskId);
    expectContract(expect, reply, pollRoute, 200);
    const [node] = (await detail(job)).body.scoreboard_summary.nodes;
    expect(node).toMatchObject({ task_id: taskId, status: "underperforming" });
    expect(reply.body).toMatchObject({
      directive: "stop",
      unfinished_nodes: 0,
      performance: node,
      findings: node.findings,
      spec_check: null,
    });
  });

  test("has the spec check where the job expects a spec", async ({ expect }) => {
    const spec = await createSpec();
    const job = await measureJob([{ gpu_model: A100, gpu_count: 1, results: SLOW }], undefined, {
      expected_spec: spec.uuid,
    });
    const [task] = (await detail(job)).body.tasks;
    const reply = await poll(job, task.id);
    expectContract(expect, reply, pollRoute, 200);
    expect(reply.body.spec_check).toEqual(task.spec_check);
  });

  test("of a live job has none of it, and costs no D1 round trip", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const { id } = (await join(job)).body;
    let reply = await poll(job, id);
    const cost = await costOf(async () => {
      reply = await poll(job, id);
    });
    expect(cost).toMatchObject({ status: 200, d1_round_trips: 0, object_hops: 1 });
    expect(reply.body).toMatchObject({ ...NOTHING, unfinished_nodes: 2 });
  });

  test("of a node that has ended before the others: how many are missing", async ({ expect }) => {
    const job = await createJob({ node_count: 3 });
    const { id } = (await join(job)).body;
    await putResult(job, id, 0);
    const { body } = await poll(job, id);
    expect(body).toMatchObject({ directive: "stop", unfinished_nodes: 2, ...NOTHING });
  });

  test("of a settled job costs one D1 round trip; an unchanged verdict is 304", async ({
    expect,
  }) => {
    const { job, taskId } = await slowJob();
    let reply = await poll(job, taskId);
    const etag = reply.headers.get("etag") ?? "";
    const cost = await costOf(async () => {
      reply = await poll(job, taskId, { "if-none-match": etag });
    });
    expect(reply.text).toBe("");
    expect(cost).toMatchObject({ status: 304, d1_round_trips: 1, object_hops: 1 });
  });

  test("its validator changes with the verdict", async ({ expect }) => {
    const job = await createJob({});
    const { id } = (await join(job, { gpu_model: A100, gpu_count: 1 })).body;
    const live = (await poll(job, id)).headers.get("etag") ?? "";
    await putResult(job, id, 0, resultBody(SLOW));
    await flushed(job);
    await rated(job);
    const reply = await poll(job, id, { "if-none-match": live });
    expect(reply.status).toBe(200);
    expect(reply.headers.get("etag")).not.toBe(live);
  });

  test.each(["no token", "another node's token"])(
    "with %s: nothing of the verdict",
    async (which) => {
      const { expect } = await import("vitest");
      const job = await createJob({ node_count: 2 });
      const secret = joinSecret();
      const one = (await join(job, { gpu_model: A100, gpu_count: 1, join_secret: secret })).body;
      const two = (await join(job, { gpu_model: A100, gpu_count: 1, join_secret: joinSecret() }))
        .body;
      for (const { id, task_token: taskToken } of [one, two])
        await putResult({ ...job, taskToken }, id, 0, resultBody(SLOW));
      await rated(job);
      const own = await poll({ ...job, taskToken: one.task_token }, one.id);
      expect(own.body.performance).not.toBeNull();
      const taskToken = which === "no token" ? null : two.task_token;
      const reply = await poll({ ...job, taskToken }, one.id);
      expect(reply.status === 200 ? reply.body : NOTHING).toMatchObject(NOTHING);
    },
  );

  test("a job that measured nothing has no performance", async ({ expect }) => {
    const job = await createJob({});
    const { id } = (await join(job)).body;
    const failed = {
      ...resultBody(),
      state: "failed",
      error_message: "no GPU",
      results: undefined,
    };
    await putResult(job, id, 0, failed);
    await rated(job);
    const { body } = await poll(job, id);
    expect(body).toMatchObject({ directive: "stop", state: "failed", ...NOTHING });
  });
});
