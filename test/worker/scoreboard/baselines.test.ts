/** Baselines: what people see and pin, how fleets make them, and how verdicts follow. */
import { createScheduledController } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { describe, test } from "vitest";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { customerFleets, taskFigures } from "../../../src/db/schema/scoreboard.ts";
import { jobs } from "../../../src/db/schema.ts";
import worker from "../../../src/index.ts";
import { readConfig } from "../../../src/lib/config.ts";
import {
  getBaselineRoute,
  listBaselinesRoute,
  pinBaselineRoute,
} from "../../../src/scoreboard/contract.ts";
import { recomputeBaselines, rerate } from "../../../src/scoreboard/upkeep.ts";
import {
  call,
  detail,
  expectContract,
  expectError,
  join,
  machineUuid,
  putResult,
  type Reply,
  resultBody,
} from "../harness/client.ts";
import {
  createJob,
  createPerson,
  measureJob,
  type Person,
  type TestJob,
} from "../harness/factories.ts";
import { costOf, rated } from "../harness/instruments.ts";
import { auditOf, countOf, setJob } from "../harness/rows.ts";
import { jobVerdict, nodeVerdict } from "../harness/verdicts.ts";

const db = openDatabase(env.DB, createMeter());
const { rating } = readConfig(env);
const cron = async (now = Date.now(), limit = 100) => {
  await recomputeBaselines(db, now, rating);
  return rerate(db, now, limit, rating);
};

// The first run of a new server notes the rules.
await cron();

let serial = 0;
/** A GPU that no other test has. */
const newModel = () => `Test GPU ${++serial}X`;
const slugOf = (model: string) => model.toLowerCase().replaceAll(" ", "-").replace("gpu-", "");

const machine = (gpu_model: string, bf16: number, machine_uuid = machineUuid()) => ({
  gpu_model,
  gpu_count: 2,
  machine_uuid,
  results: { aggregate_results: { bf16_tflops: 2 * bf16, memory_bandwidth_gbs: 2_000 } },
});

/** A job of so many machines of a model, each with its figure. */
const fleet = (model: string, figures: readonly number[], owner?: Person) =>
  measureJob(
    figures.map((bf16) => machine(model, bf16)),
    owner,
  );

async function view(model: string, metric = "bf16_tflops") {
  const { token } = await createPerson();
  return call("GET", `/baselines/${encodeURIComponent(model)}/${metric}`, { token });
}

async function pin(model: string, value: unknown, headers: Record<string, string> = {}) {
  const { token } = await createPerson({ role: "root_admin" });
  const path = `/baselines/${encodeURIComponent(model)}/bf16_tflops`;
  return call("PUT", path, { token, body: { value }, headers });
}

async function unpin(model: string, headers: Record<string, string> = {}) {
  const { token } = await createPerson({ role: "root_admin" });
  return call("DELETE", `/baselines/${encodeURIComponent(model)}/bf16_tflops`, { token, headers });
}

const metricOf = (reply: Reply, metric = "bf16_tflops") =>
  // biome-ignore lint/suspicious/noExplicitAny: read as the contract says
  (reply.body.scoreboard_summary as any).nodes[0].metrics.find(
    (each: { metric: string }) => each.metric === metric,
  );

describe("what everyone sees", () => {
  test("shipped medians with their runs, data sheets for information, and the thresholds", async ({
    expect,
  }) => {
    const { token } = await createPerson();
    const reply = await call("GET", "/baselines", { token });
    expectContract(expect, reply, listBaselinesRoute, 200);
    expect(reply.body.thresholds).toEqual({
      underperforming_below: 0.9,
      outperforming_above: 1.1,
      straggler_below: 0.95,
      drop_below: 0.9,
      fleet_min_machines: 30,
    });
    const of = (model: string) =>
      reply.body.baselines.find(
        (each: Record<string, unknown>) => each.model === model && each.metric === "bf16_tflops",
      );
    expect(of("h100-80gb-hbm3")).toMatchObject({
      gpu_model: "NVIDIA H100 80GB HBM3",
      source: "shipped",
      value: 708.9,
      data_sheet: 989,
      shipped: { median: 708.9, min: 686.8, max: 731.5, runs: 17, lower_quartile: null },
    });
    expect(of("h200")).toMatchObject({ source: null, value: null, shipped: null, data_sheet: 989 });
    const etag = reply.headers.get("etag") ?? "";
    const again = await call("GET", "/baselines", { token, headers: { "if-none-match": etag } });
    expect(again.status).toBe(304);
  });

  test("one of them, by any usual spelling; what is unknown is 404, a wrong metric 400", async ({
    expect,
  }) => {
    for (const spelling of ["a100-sxm4-80gb", "NVIDIA A100-SXM4-80GB", "Tesla A100 SXM4 80 GB"]) {
      const reply = await view(spelling);
      expectContract(expect, reply, getBaselineRoute, 200);
      expect(reply.body).toMatchObject({ model: "a100-sxm4-80gb", value: 265.2, version: 0 });
    }
    expectError(expect, await view("Nobody's GPU"), 404, "RESOURCE_NOT_FOUND");
    const wrong = await view("a100-sxm4-80gb", "temperature_centigrade");
    expectError(expect, wrong, 400, "PARAMETER_INCORRECT_VALUE");
    expect(wrong.body.error.details[0].field).toBe("metric");
    expect((await view("®")).body.error.details[0].field).toBe("model");
  });

  test("each of the calls costs one D1 round trip", async ({ expect }) => {
    const { token } = await createPerson({ role: "root_admin" });
    await call("GET", "/benchmarks", { token });
    const path = `/baselines/${slugOf(newModel())}/bf16_tflops`;
    const calls = [
      () => call("PUT", path, { token, body: { value: 100 } }),
      () => call("GET", path, { token }),
      () => call("GET", "/baselines", { token }),
      () => call("DELETE", path, { token }),
    ];
    for (const each of calls) {
      expect(await costOf(each)).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
    }
  });
});

describe("pinning", () => {
  test("sets what rates, is written to the trail, and has the model's jobs rated again", async ({
    expect,
  }) => {
    const model = newModel();
    const job = await fleet(model, [100]);
    expect(metricOf(await detail(job))).toMatchObject({ status: "unrated", baseline: null });
    const pinned = await pin(model, 200);
    expectContract(expect, pinned, pinBaselineRoute, 200);
    expect(pinned.body).toMatchObject({ source: "pinned", value: 200, pinned: { value: 200 } });
    expect(await auditOf(`${slugOf(model)}/bf16_tflops`)).toMatchObject([
      { action: "baseline_pinned", subject_kind: "baseline", details: '{"value":200}' },
    ]);
    expect(metricOf(await detail(job)), "until cron comes by").toMatchObject({ baseline: null });
    await cron();
    const { scoreboard_summary: summary } = (await detail(job)).body;
    expect(summary).toMatchObject({
      status: "underperforming",
      baseline_version: pinned.body.version,
    });
    expect(metricOf(await detail(job))).toMatchObject({
      value: 100,
      baseline: 200,
      ratio: 0.5,
      source: "pinned",
      sample_size: null,
    });
    expect((await unpin(model)).status).toBe(204);
    expect((await auditOf(`${slugOf(model)}/bf16_tflops`)).map(({ action }) => action)).toEqual([
      "baseline_pinned",
      "baseline_unpinned",
    ]);
    await cron();
    expect(metricOf(await detail(job))).toMatchObject({ status: "unrated", baseline: null });
    expect(await cron(), "then there is nothing left to do").toBe(0);
  });

  test("the same value again changes nothing; taking back what is not there is 404", async ({
    expect,
  }) => {
    const model = newModel();
    const first = await pin(model, 200);
    const again = await pin(model, 200);
    expect(again.body).toEqual(first.body);
    expect(await auditOf(`${slugOf(model)}/bf16_tflops`)).toHaveLength(1);
    expect((await unpin(model)).status).toBe(204);
    expectError(expect, await unpin(model), 404, "RESOURCE_NOT_FOUND");
  });

  test("only in the version that If-Match names", async ({ expect }) => {
    const model = newModel();
    const first = await pin(model, 200);
    const etag = first.headers.get("etag") ?? "";
    const second = await pin(model, 210, { "if-match": etag });
    expect(second.body).toMatchObject({ value: 210 });
    const late = await pin(model, 220, { "if-match": etag });
    expectError(expect, late, 412, "PRECONDITION_FAILED");
    expectError(expect, await unpin(model, { "if-match": etag }), 412, "PRECONDITION_FAILED");
    expect((await view(model)).body).toMatchObject({ value: 210 });
    expect((await view(model)).headers.get("etag")).toBe(second.headers.get("etag"));
    expect((await unpin(model, { "if-match": "*" })).status).toBe(204);
  });

  test("values that cannot be are refused by name", async ({ expect }) => {
    for (const value of [0, -1, 1_000_001, "200", null]) {
      const reply = await pin("a100-sxm4-80gb", value);
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
      expect(reply.body.error.details[0].field).toBe("value");
    }
    expect((await view("a100-sxm4-80gb")).body).toMatchObject({ pinned: null });
  });
});

describe("figures that count in no fleet", () => {
  const machinesOf = async (model: string) => {
    const rows = await db
      .select()
      .from(customerFleets)
      .where(eq(customerFleets.model, slugOf(model)));
    return rows.map(({ machines, bf16Machines }) => [machines, bf16Machines]);
  };

  test("implausible ones, and those of a job deleted before it was rated; others stay", async ({
    expect,
  }) => {
    const model = newModel();
    const owner = await createPerson();
    await fleet(model, [100, 100, 100, 0, 4_001], owner);
    await cron();
    expect(await machinesOf(model)).toEqual([[5, 3]]);
    const kept = () => countOf(taskFigures, eq(taskFigures.userId, owner.id));
    expect(await kept()).toBe(5);
    const [job] = await db.select().from(jobs).where(eq(jobs.userId, owner.id));
    const { token } = owner;
    const gone = await call("DELETE", "/jobs/delete", { token, body: { id: job?.id } });
    expect(gone.status).toBe(200);
    expect(await kept()).toBe(0);
    expect(await machinesOf(model)).toEqual([[5, 3]]);
  });

  test("those of jobs without an account, which are rated, and have no past", async ({
    expect,
  }) => {
    const model = newModel();
    const run = async (bf16: number, uuid = machineUuid()) => {
      const { body } = await call("POST", "/jobs/anonymous", { body: {} });
      const job = { id: body.id, token: body.token, owner: await createPerson({ role: "staff" }) };
      const { gpu_model, gpu_count, results } = machine(model, bf16);
      const joined = await join(job, { gpu_model, gpu_count, machine_uuid: uuid });
      await putResult(job, joined.body.id, 0, resultBody(results));
      await rated(job);
      return job;
    };
    const own = machineUuid();
    await run(400, own);
    const { scoreboard_summary: summary } = (await detail(await run(100, own))).body;
    expect(summary.nodes[0]).toMatchObject({ status: "unrated", drops: [] });
    expect(summary.nodes[0].metrics[0]).toMatchObject({ value: 100 });
    expect(await machinesOf(model)).toEqual([]);
  });
});

describe("cron's steps are bounded", () => {
  test("the Worker's own cron does them", async ({ expect }) => {
    const model = newModel();
    const job = await fleet(model, [100]);
    await pin(model, 200);
    await worker.scheduled(createScheduledController(), env);
    expect(metricOf(await detail(job))).toMatchObject({ baseline: 200 });
  });

  test("jobs are rated again a few at a time, each once", async ({ expect }) => {
    const model = newModel();
    const jobs: TestJob[] = [];
    for (let n = 0; n < 5; n++) jobs.push(await fleet(model, [100, 101]));
    await pin(model, 200);
    const rounds: number[] = [];
    while (rounds.at(-1) !== 0) rounds.push(await cron(Date.now(), 2));
    expect(rounds).toEqual([2, 2, 1, 0]);
    for (const job of jobs) expect(metricOf(await detail(job))).toMatchObject({ baseline: 200 });
  });

  test("a job that nobody has rated is rated once its own object has had its time", async ({
    expect,
  }) => {
    const job = await createJob();
    const { gpu_model, results } = machine("NVIDIA A100-SXM4-80GB", 265);
    const { id } = (await join(job, { gpu_model, gpu_count: 2 })).body;
    await putResult(job, id, 0, resultBody(results));
    await rated(job);
    await setJob(job, { ratedAt: null, verdict: null });
    expect(await cron(Date.now() + 60_000)).toBe(0);
    expect(await cron(Date.now() + 11 * 60_000)).toBe(1);
    expect((await detail(job)).body.scoreboard_summary).toMatchObject({
      status: "underperforming",
    });
  });

  test("other thresholds have everything rated again", async ({ expect }) => {
    const model = newModel();
    const job = await fleet(model, [100]);
    await pin(model, 120);
    await cron();
    expect(metricOf(await detail(job))).toMatchObject({ status: "underperforming" });
    const lenient = { ...rating, underperformingBelow: 0.8 };
    await recomputeBaselines(db, Date.now(), lenient);
    await rerate(db, Date.now(), 1_000, lenient);
    expect(metricOf(await detail(job))).toMatchObject({ status: "expected" });
    await cron(Date.now(), 1_000);
  });

  test("a verdict by older baselines never takes the place of one by newer", async ({ expect }) => {
    const model = newModel();
    const job = await fleet(model, [100]);
    await pin(model, 120);
    await cron();
    const newest = (await detail(job)).body.scoreboard_summary;
    const { writeVerdict } = await import("../../../src/scoreboard/rating-store.ts");
    await writeVerdict(db, [], [{ taskId: Number(job.id) + 1, verdict: nodeVerdict() }], {
      jobId: Number(job.id),
      verdict: jobVerdict(),
      version: 0,
      ratedAt: 1,
    });
    expect((await detail(job)).body.scoreboard_summary).toEqual(newest);
  });
});
