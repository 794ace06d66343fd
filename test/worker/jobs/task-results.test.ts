/** One task in full: what its node has sent, what is in the machine, what its maker promises. */
import { describe, test } from "vitest";
import { getTaskResultsRoute } from "../../../src/jobs/tasks/contract.ts";
import { call, detail, expectContract, expectError, join, putResult } from "../harness/client.ts";
import { createJob, createPerson, type TestJob } from "../harness/factories.ts";
import { costOf, flushed, rated, rowsReadBy } from "../harness/instruments.ts";

const view = (job: TestJob, taskId: string | number, query = "", token = job.owner.token) =>
  call("GET", `/tasks/${taskId}/results${query}`, { token });

describe("what a task shows", () => {
  test("a settled one, from D1: the detail's task, with inventory and data sheet", async ({
    expect,
  }) => {
    const job = await createJob();
    const inventory = { gpu: { count: 1 }, cpu: ["EPYC"] };
    const { id } = (await join(job, { inventory })).body;
    await putResult(job, id, 0);
    const live = await view(job, id);
    await rated(job);
    const reply = await view(job, id);
    expectContract(expect, reply, getTaskResultsRoute, 200);
    expect(reply.body).toMatchObject({
      inventory,
      performance: { task_id: id, status: "unrated", rank: 0 },
      manufacturer_gpu_spec: {
        gpu_model: "NVIDIA H100 NVL",
        bf16_tflops: 835,
        tf32_tflops: 417,
        fp32_cuda_core_tflops: 60,
        memory_bandwidth_gbs: 3938,
      },
    });
    const {
      inventory: _inventory,
      manufacturer_gpu_spec: _spec,
      performance,
      ...task
    } = reply.body;
    const { tasks, scoreboard_summary } = (await detail(job)).body;
    expect(task).toEqual(tasks[0]);
    expect(performance).toEqual(scoreboard_summary.nodes[0]);
    expect(live.body, "and the same from the object, but for the verdict").toEqual({
      ...reply.body,
      performance: null,
    });
  });

  test("a live one, at once; also before D1 has heard of it", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const { id } = (await join(job, { gpu_model: "Something new" })).body;
    await putResult(job, id, 0);
    const reply = await view(job, id);
    expectContract(expect, reply, getTaskResultsRoute, 200);
    expect(reply.body).toMatchObject({
      id,
      job_id: job.id,
      rank: 0,
      state: "completed",
      inventory: null,
      manufacturer_gpu_spec: null,
      benchmark_results: {
        quick_mark: { results: { aggregate_results: { bf16_tflops: 452.2 } } },
      },
    });
  });

  test("display names when asked for; 304 for the validator", async ({ expect }) => {
    const job = await createJob();
    const { id } = (await join(job)).body;
    await putResult(job, id, 0);
    await flushed(job);
    const named = await view(job, id, "?include_display_name=true");
    expectContract(expect, named, getTaskResultsRoute, 200);
    expect(named.body.benchmark_results.quick_mark.display_names.bf16_tflops).toEqual({
      display_name: expect.any(String),
      unit: "TFLOPS",
    });
    const plain = await view(job, id);
    expect(plain.body.benchmark_results.quick_mark).not.toHaveProperty("display_names");
    const again = await call("GET", `/tasks/${id}/results`, {
      token: job.owner.token,
      headers: { "if-none-match": plain.headers.get("etag") ?? "" },
    });
    expect(again.status).toBe(304);
  });
});

describe("what is not there", () => {
  test("unknown, the job's own id, a rank that nobody has, of a job without nodes: 404", async ({
    expect,
  }) => {
    const live = await createJob({ node_count: 2 });
    await join(live);
    const settled = await createJob();
    await putResult(settled, (await join(settled)).body.id, 0);
    await flushed(settled);
    const untouched = await createJob();
    for (const job of [live, settled, untouched]) {
      for (const offset of [0, 2, 511]) {
        const taskId = Number(job.id) + offset;
        const message = `Task with id ${taskId} not found`;
        expectError(expect, await view(job, taskId), 404, "RESOURCE_NOT_FOUND", message);
      }
    }
    expectError(expect, await view(live, 1), 404, "RESOURCE_NOT_FOUND");
    for (const bad of ["x", "-1", "9007199254740992"]) {
      expectError(expect, await view(live, bad), 400, "PARAMETER_INCORRECT_VALUE");
    }
    const reply = await view(live, 513, "?include_display_name=yes");
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
  });

  test("another's, and what is deleted: 404, live or settled", async ({ expect }) => {
    const { customerId, ...owner } = await createPerson();
    const colleague = await createPerson({ customerId });
    const admin = await createPerson({ customerId, role: "customer_admin" });
    const foreign = await createPerson({ role: "customer_admin" });
    const staff = await createPerson({ role: "staff" });
    const job = await createJob({}, { customerId, ...owner });
    const { id } = (await join(job)).body;
    const look = async () => {
      for (const { token } of [colleague, foreign]) {
        expectError(expect, await view(job, id, "", token), 404, "RESOURCE_NOT_FOUND");
      }
      for (const { token } of [admin, staff])
        expect((await view(job, id, "", token)).status).toBe(200);
    };
    await look();
    await putResult(job, id, 0);
    await flushed(job);
    await look();
    await call("DELETE", "/jobs/delete", { token: owner.token, body: { id: job.id } });
    expectError(expect, await view(job, id), 404, "RESOURCE_NOT_FOUND");
    expectError(expect, await view(job, id, "", staff.token), 404, "RESOURCE_NOT_FOUND");
  });
});

test("costs: one round trip, plus one hop while the job lives; one job's and one task's rows", async ({
  expect,
}) => {
  const job = await createJob({ node_count: 2 });
  const ids = [(await join(job)).body.id, (await join(job)).body.id];
  await detail(job);
  const cost = () => costOf(() => view(job, ids[0]));
  expect(await cost()).toMatchObject({ status: 200, d1_round_trips: 1, object_hops: 1 });
  for (const id of ids) await putResult(job, id, 0);
  await flushed(job);
  expect(await cost()).toMatchObject({ status: 200, d1_round_trips: 1, object_hops: 0 });
  const { read } = await rowsReadBy(() => view(job, ids[0]));
  // The job; it again with the task: none of the other nodes.
  expect(read).toEqual([1, 2]);
});
