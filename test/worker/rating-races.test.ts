/** What happens to verdicts when baselines and rules change between the steps of a rating, or these fail. */
import { env } from "cloudflare:workers";
import { onTestFinished, test, vi } from "vitest";
import { createMeter, openDatabase } from "../../src/db/client.ts";
import { readConfig } from "../../src/lib/config.ts";
import { rateSettledJob } from "../../src/scoreboard/rating.ts";
import { writeVerdict } from "../../src/scoreboard/rating-store.ts";
import { recomputeBaselines, rerate } from "../../src/scoreboard/upkeep.ts";
import { call, createPerson, detail, machineUuid, measureJob, type TestJob } from "./harness.ts";

const db = openDatabase(env.DB, createMeter());
const { rating } = readConfig(env);
const cron = async (thresholds = rating) => {
  const now = Date.now();
  await recomputeBaselines(db, now, thresholds);
  return rerate(db, now, 100, thresholds);
};

// The first run of a new server notes the rules.
await cron();

const machine = (gpu_model: string, machine_uuid = machineUuid(), bf16_tflops = 100) => ({
  ...{ gpu_model, gpu_count: 1, machine_uuid },
  results: { aggregate_results: { bf16_tflops, memory_bandwidth_gbs: 2_000 } },
});

async function pin(model: string, value: number) {
  const { token } = await createPerson({ role: "root_admin" });
  await call("PUT", `/baselines/${model}/bf16_tflops`, { token, body: { value } });
}

/** Takes everything back that the scoreboard knows of a job. */
async function unrate(job: TestJob, model: string) {
  const id = Number(job.id);
  await env.DB.batch([
    env.DB.prepare("UPDATE tasks SET verdict = NULL, performance_status = NULL WHERE id = ?").bind(
      id + 1,
    ),
    env.DB.prepare(
      "UPDATE jobs SET verdict = NULL, performance_status = NULL, baseline_version = NULL, rated_at = NULL WHERE id = ?",
    ).bind(id),
    env.DB.prepare("DELETE FROM task_figures WHERE task_id = ?").bind(id + 1),
    env.DB.prepare(
      "DELETE FROM gpu_models WHERE model = ?1 AND NOT EXISTS (SELECT 1 FROM task_figures WHERE model = ?1)",
    ).bind(model),
  ]);
}

/** Does something just before a batch of D1, counted from here. */
function before(batchNumber: number, act: () => Promise<unknown>) {
  const { batch } = env.DB;
  let count = 0;
  const spy = vi.spyOn(env.DB, "batch").mockImplementation(async (statements) => {
    count++;
    if (count === batchNumber) {
      spy.mockRestore();
      await act();
    }
    // A batch of D1 is of one type of rows to the caller alone.
    return (await batch.call(env.DB, statements)) as never;
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
  const batch = vi.spyOn(env.DB, "batch");
  onTestFinished(() => batch.mockRestore());
  await rateSettledJob(db, Number(job.id), Date.now(), rating);
  expect(batch).toHaveBeenCalledTimes(3);
});

test("figures count as rated only with their job, wherever a crash comes", async ({ expect }) => {
  const job = await measureJob([machine("crashed-1")]);
  const jobId = Number(job.id);
  const verdict = JSON.stringify("x".repeat(300_000));
  const task = (rank: number) => ({ taskId: jobId + 1 + rank, status: "expected", verdict });
  const versions = () =>
    env.DB.prepare(
      "SELECT rated_version AS figures, baseline_version AS job FROM task_figures JOIN jobs ON jobs.id = ?1 WHERE task_id = ?1 + 1",
    )
      .bind(jobId)
      .first<{ figures: number; job: number }>();
  for (let nodes = 1; nodes <= 9; nodes++) {
    const rated = Array.from({ length: nodes }, (_none, rank) => task(rank));
    const whole = { jobId, status: "expected", verdict, version: 1_000 + nodes, ratedAt: 1 };
    for (const batches of [2, 3]) {
      before(batches, () => Promise.reject(new Error("a crash")));
      await writeVerdict(db, [], rated, whole).catch(() => undefined);
      const { figures, job } = (await versions()) ?? {};
      expect(figures, `${nodes} nodes, before batch ${batches}`).toBe(job);
      vi.restoreAllMocks();
    }
  }
});

test("a job deleted while it is rated leaves no figures and counts nowhere", async ({ expect }) => {
  const job = await measureJob([machine("deleted-1")]);
  await unrate(job, "deleted-1");
  await env.DB.prepare("DELETE FROM machine_figures WHERE model = 'deleted-1'").run();
  const { token, id: userId } = job.owner;
  before(3, () => call("DELETE", "/jobs/delete", { token, body: { id: job.id } }));
  await rateSettledJob(db, Number(job.id), Date.now(), rating);
  const counted = await env.DB.prepare(
    `SELECT (SELECT count(*) FROM task_figures WHERE model = 'deleted-1') AS figures,
       (SELECT count(*) FROM machine_figures WHERE model = 'deleted-1') AS machines,
       (SELECT coalesce(sum(jobs), 0) FROM performance_counts WHERE scope = 'user:' || ?) AS jobs`,
  )
    .bind(userId)
    .first();
  expect(counted).toEqual({ figures: 0, machines: 0, jobs: 0 });
});

test("an older job rated late does not take a machine's latest figures", async ({ expect }) => {
  const own = machineUuid();
  const older = await measureJob([machine("late-1", own, 100)]);
  await measureJob([machine("late-1", own, 200)]);
  await unrate(older, "late-1");
  await rateSettledJob(db, Number(older.id), Date.now(), rating);
  const { results } = await env.DB.prepare(
    "SELECT bf16_tflops FROM machine_figures WHERE machine_uuid = ?",
  )
    .bind(own)
    .all();
  expect(results).toEqual([{ bf16_tflops: 200 }]);
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
  const job = await measureJob(Array.from({ length: 4 }, () => machine(model)));
  const { token } = await createPerson();
  const baseline = () => call("GET", `/baselines/${model}/bf16_tflops`, { token });
  const metric = async () => (await detail(job)).body.scoreboard_summary.metrics[0];
  await cron(few);
  expect((await baseline()).body.fleet).toMatchObject({ machines: 4, median: 100 });
  expect(await metric()).toMatchObject({ source: "fleet", sample_size: 4 });
  await cron(rating);
  expect((await baseline()).status).toBe(404);
  expect(await metric()).toMatchObject({ status: "unrated", source: null });
});
