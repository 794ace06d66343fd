/** HostMark in a job: how the job settles by it, and how its figures are shown. */
import { describe, test } from "vitest";
import { getJobRoute, listJobsRoute } from "../../../src/jobs/contract.ts";
import { getTaskResultsRoute } from "../../../src/jobs/tasks/contract.ts";
import {
  call,
  detail,
  expectContract,
  expectError,
  join,
  putResult,
  resultBody,
} from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import { flushed, rated } from "../harness/instruments.ts";

const RESULTS = {
  cpu: { model: "AMD EPYC 9354", threads: 64, available: 16, quota: 15.5 },
  cpu_single_gbs: 2.1,
  cpu_all_gbs: 27.7,
  effective_cores: 13.2,
  memory_triad_gbs: 180.5,
  memory_copy_gbs: 150,
  disk_sequential_write_mbs: null,
  disk_reason: "/work is in memory (tmpfs)",
  measurement: { version: 1, settled: false },
};

const failed = (error_message: string) => ({
  state: "failed",
  started_at: "2026-01-01T00:00:00Z",
  ended_at: "2026-01-01T00:00:10Z",
  error_message,
});

describe("settling", () => {
  test("QuickMark failed and HostMark completed: completed_with_warnings, without a rating", async ({
    expect,
  }) => {
    const job = await createJob({ benchmarks: ["host_mark"] });
    const { id } = (await join(job)).body;
    await putResult(job, id, 0, failed("no driver (no_driver)"));
    await putResult(job, id, 1, resultBody(RESULTS));
    await rated(job);
    const reply = await detail(job);
    expectContract(expect, reply, getJobRoute, 200);
    expect(reply.body).toMatchObject({
      state: "completed_with_warnings",
      scoreboard_summary: null,
      quickmark_aggregate_results: null,
      benchmark_results: {},
      tasks: [{ state: "completed_with_warnings", failed_message: "no driver (no_driver)" }],
    });
    const list = await call("GET", "/jobs?include=performance&benchmark_id=host_mark", {
      token: job.owner.token,
    });
    expectContract(expect, list, listJobsRoute, 200);
    expect(list.body.results).toMatchObject([{ id: job.id, performance: null }]);
  });

  test("both failed: failed", async ({ expect }) => {
    const job = await createJob({ benchmarks: ["host_mark"] });
    const { id } = (await join(job)).body;
    await putResult(job, id, 0, failed("no driver"));
    await putResult(job, id, 1, failed("busy"));
    await flushed(job);
    expect((await detail(job)).body.state).toBe("failed");
  });
});

describe("results", () => {
  test("are shown as sent, with names and units, and what cannot be true apart", async ({
    expect,
  }) => {
    const job = await createJob({
      benchmarks: [{ benchmark_id: "host_mark", config: { disk_mib: 100 } }],
    });
    const { id } = (await join(job)).body;
    await putResult(job, id, 0);
    const sent = { ...RESULTS, memory_copy_gbs: -1, effective_cores: 99 };
    await putResult(job, id, 1, resultBody(sent));
    await flushed(job);
    const path = `/tasks/${id}/results?include_display_name=true`;
    const reply = await call("GET", path, { token: job.owner.token });
    expectContract(expect, reply, getTaskResultsRoute, 200);
    const shown = reply.body.benchmark_results.host_mark;
    expect(shown).toMatchObject({
      benchmark_name: "HostMark",
      config: { disk_mib: 100 },
      results: sent,
      state: "completed",
    });
    expect(shown.display_names.memory_triad_gbs).toEqual({
      display_name: "Memory bandwidth, triad",
      unit: "GB/s",
    });
    expect(shown.implausible.map(({ field }: { field: string }) => field)).toEqual([
      "memory_copy_gbs",
      "effective_cores",
    ]);
  });

  test("without the figures that every result has: refused, with the field", async ({ expect }) => {
    const job = await createJob({ benchmarks: ["host_mark"] });
    const { id } = (await join(job)).body;
    await putResult(job, id, 0);
    const reply = await putResult(job, id, 1, resultBody({ memory_triad_gbs: 1 }));
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.error.details[0].field).toBe("results.effective_cores");
  });
});

test("options: the size of the file alone", async ({ expect }) => {
  const { owner } = await createJob();
  const create = (config: object) =>
    call("POST", "/jobs", {
      token: owner.token,
      body: { benchmarks: [{ benchmark_id: "host_mark", config }] },
    });
  expect((await create({ disk_mib: 64 })).status).toBe(201);
  for (const config of [{ disk_mib: 63 }, { disk_mib: 8_193 }, { disk_path: "/" }]) {
    expectError(expect, await create(config), 400, "PARAMETER_INCORRECT_VALUE");
  }
});
