/** Verdicts when baselines and rules change between the steps of a rating, or a step fails. */
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { onTestFinished, test, vi } from "vitest";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { gpuModels, machineFigures, taskFigures } from "../../../src/db/schema/scoreboard.ts";
import { performanceCounts } from "../../../src/db/schema.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { rateSettledJob } from "../../../src/scoreboard/rating.ts";
import { writeVerdict } from "../../../src/scoreboard/rating-store.ts";
import { recomputeBaselines, rerate } from "../../../src/scoreboard/upkeep.ts";
import { call, detail, machineUuid } from "../harness/client.ts";
import { createPerson, measureJob, type TestJob } from "../harness/factories.ts";
import { ownD1 } from "../harness/instruments.ts";
import { countOf, jobRow, setJob, setTask } from "../harness/rows.ts";
import { jobVerdict, nodeVerdict } from "../harness/verdicts.ts";

const d1 = ownD1();
const db = openDatabase(d1, createMeter());
const { rating } = readConfig(env);
const cron = async (thresholds = rating) => {
  const now = Date.now();
  await recomputeBaselines(db, now, thresholds);
  return rerate(db, now, 100, thresholds);
};

// The first run of a new server notes the rules.
await cron();

const machine = (gpu_model: string, machine_uuid = machineUuid(), bf16_tflops = 100) => ({
  gpu_model,
  gpu_count: 1,
  machine_uuid,
  results: { aggregate_results: { bf16_tflops, memory_bandwidth_gbs: 2_000 } },
});

async function pin(model: string, value: number) {
  const { token } = await createPerson({ role: "root_admin" });
  await call("PUT", `/baselines/${model}/bf16_tflops`, { token, body: { value } });
}

/** Takes everything back that the scoreboard knows of a job. */
async function unrate(job: TestJob, model: string) {
  const taskId = Number(job.id) + 1;
  await setTask(taskId, { verdict: null, performanceStatus: null });
  const unrated = { verdict: null, performanceStatus: null, baselineVersion: null, ratedAt: null };
  await setJob(job, unrated);
  await db.delete(taskFigures).where(eq(taskFigures.taskId, taskId));
  const left = await countOf(taskFigures, eq(taskFigures.model, model));
  if (left === 0) await db.delete(gpuModels).where(eq(gpuModels.model, model));
}

/** Does something just before a batch of D1, counted from here. */
function before(batchNumber: number, act: () => Promise<unknown>) {
  let count = 0;
  const spy = vi.spyOn(d1, "batch").mockImplementation(async (statements) => {
    count++;
    if (count === batchNumber) {
      spy.mockRestore();
      await act();
    }
    // A batch of D1 is of one type of rows to the caller alone.
    return (await env.DB.batch(statements)) as never;
  });
  onTestFinished(() => spy.mockRestore());
}

test.for([
  ["a model that is known", "raced-1", 2],
  ["a model that nobody had measured", "raced-2", 1],
] as const)(
  "a pin while a job of %s is rated reaches the job",
  async ([, model, jobs], { expect }) => {
    const job = await measureJob([machine(model)]);
    for (let others = 1; others < jobs; others++) await measureJob([machine(model)]);
    await unrate(job, model);
    // Read are the job and what it is compared with; cron finds nothing of it yet.
    before(3, async () => {
      await pin(model, 200);
      await cron();
    });
    await rateSettledJob(db, Number(job.id), Date.now(), rating);
    const metric = async () => (await detail(job)).body.scoreboard_summary.metrics[0];
    expect(await metric(), "it was rated by what was read").toMatchObject({ baseline: null });
    expect(await cron()).toBe(1);
    expect(await metric()).toMatchObject({ baseline: 200, status: "underperforming" });
    expect(await cron(), "then there is nothing left to do").toBe(0);
  },
);

test("a job's first rating costs three D1 round trips", async ({ expect }) => {
  const job = await measureJob([machine("first-1"), machine("first-2")]);
  await unrate(job, "first-1");
  const batch = vi.spyOn(d1, "batch");
  onTestFinished(() => batch.mockRestore());
  await rateSettledJob(db, Number(job.id), Date.now(), rating);
  expect(batch).toHaveBeenCalledTimes(3);
});

test("figures count as rated only with their job, wherever a crash comes", async ({ expect }) => {
  const job = await measureJob([machine("crashed-1")]);
  const jobId = Number(job.id);
  const gpu = { gpu: 0, metric: "bf16_tflops", value: 1, median: 2, ratio: 0.5 };
  const verdict = nodeVerdict({ stragglers: [{ ...gpu, gpuId: "x".repeat(300_000) }] });
  const task = (rank: number) => ({ taskId: jobId + 1 + rank, verdict });
  const versions = async () => {
    const figures = await db
      .select()
      .from(taskFigures)
      .where(eq(taskFigures.taskId, jobId + 1));
    return { figures: figures[0]?.ratedVersion, job: (await jobRow(job)).baselineVersion };
  };
  for (let nodes = 1; nodes <= 9; nodes++) {
    const rated = Array.from({ length: nodes }, (_none, rank) => task(rank));
    const whole = { jobId, verdict: jobVerdict(), version: 1_000 + nodes, ratedAt: 1 };
    for (const batches of [2, 3]) {
      before(batches, () => Promise.reject(new Error("a crash")));
      await writeVerdict(db, [], rated, whole).catch(() => undefined);
      const { figures, job } = await versions();
      expect(figures, `${nodes} nodes, before batch ${batches}`).toBe(job);
      vi.restoreAllMocks();
    }
  }
});

test("a job deleted while it is rated leaves no figures and counts nowhere", async ({ expect }) => {
  const job = await measureJob([machine("deleted-1")]);
  await unrate(job, "deleted-1");
  const isOfModel = eq(machineFigures.model, "deleted-1");
  await db.delete(machineFigures).where(isOfModel);
  const { token, id: userId, customerId } = job.owner;
  before(3, () => call("DELETE", "/jobs/delete", { token, body: { id: job.id } }));
  await rateSettledJob(db, Number(job.id), Date.now(), rating);
  expect(await countOf(taskFigures, eq(taskFigures.model, "deleted-1"))).toBe(0);
  expect(await countOf(machineFigures, isOfModel)).toBe(0);
  const { scope, jobs } = performanceCounts;
  const counts = await db
    .select({ jobs })
    .from(performanceCounts)
    .where(eq(scope, `user:${userId}:${customerId}`));
  expect(counts.filter((count) => count.jobs !== 0)).toEqual([]);
});

test("an older job rated late does not take a machine's latest figures", async ({ expect }) => {
  const own = machineUuid();
  const owner = await createPerson();
  const older = await measureJob([machine("late-1", own, 100)], owner);
  await measureJob([machine("late-1", own, 200)], owner);
  await unrate(older, "late-1");
  await rateSettledJob(db, Number(older.id), Date.now(), rating);
  const figures = await db.select().from(machineFigures).where(eq(machineFigures.machineUuid, own));
  expect(figures.map(({ bf16Tflops }) => bf16Tflops)).toEqual([200]);
});

test("a machine with other GPUs than before has no drop", async ({ expect }) => {
  const own = machineUuid();
  const owner = await createPerson();
  await measureJob([machine("before-1", own, 200)], owner);
  const changed = await measureJob([machine("after-1", own, 100)], owner);
  const drops = async (job: TestJob) => (await detail(job)).body.scoreboard_summary.nodes[0].drops;
  expect(await drops(changed)).toEqual([]);
  const back = await measureJob([machine("before-1", own, 150)], owner);
  expect(await drops(back)).toMatchObject([{ previous_value: 200, value: 150 }]);
});

test("a higher FLEET_MIN_MACHINES ends the fleets that are too small for it", async ({
  expect,
}) => {
  const model = "small-fleet-1";
  const few = { ...rating, fleetMinMachines: 3 };
  const owner = await createPerson();
  await measureJob(
    Array.from({ length: 4 }, () => machine(model)),
    owner,
  );
  await cron();
  const job = await measureJob([machine(model)], owner);
  const metric = async () => (await detail(job)).body.scoreboard_summary.metrics[0];
  expect(await metric()).toMatchObject({ status: "unrated", source: null });
  await cron(few);
  expect(await metric()).toMatchObject({ source: "own_fleet", sample_size: 4, baseline: 100 });
  await cron(rating);
  expect(await metric()).toMatchObject({ status: "unrated", source: null });
});
