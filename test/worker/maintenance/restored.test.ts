/** D1 was restored from a backup of the moment between a job's end and the record of its bodies in R2. */
import { runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { DAY_MS, systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { runTick } from "../../../src/maintenance/tick.ts";
import { call, detail, expectError, join, putResult, resultBody } from "../harness/client.ts";
import { createJob, type TestJob } from "../harness/factories.ts";
import { coordinatorOf, costOf, farAhead, reported, travel } from "../harness/instruments.ts";
import { jobRow, setJob, setTask, taskRows } from "../harness/rows.ts";

type Ended = TestJob & { taskIds: string[] };

const NETWORK = { benchmark_id: "cluster_network", config: { duration_seconds: 1 } };

/** A job of two nodes with results of both kinds, and inventories. */
async function ended(): Promise<Ended> {
  const job = await createJob({ node_count: 2, benchmarks: [NETWORK] });
  const taskIds: string[] = [];
  for (let node = 0; node < 2; node++)
    taskIds.push(String((await join(job, { inventory: { cpu: "測" } })).body.id));
  for (const id of taskIds) await putResult(job, id, 0);
  for (const [rank, id] of taskIds.entries()) {
    const link = { bandwidth_gbps: 10, latency_ms: 0.1 };
    const measurements = [{ ...link, source_rank: rank, target_rank: 1 - rank }];
    await putResult(job, id, 1, resultBody({ measurements }));
  }
  await reported(job);
  return { ...job, taskIds };
}

const tick = () =>
  runTick({
    d1: env.DB,
    bucket: env.BUCKET,
    assets: env.ASSETS,
    coordinators: env.COORDINATOR,
    lobbies: env.LOBBY,
    config: readConfig(env),
    clock: systemClock,
  });

/** As the backup has them. */
async function restore(job: Ended): Promise<void> {
  await setJob(job, { bodyBytes: null, checkAt: 0 });
  for (const id of job.taskIds) await setTask(id, { bodyOffset: null });
}

/** The object has deleted its storage. */
async function forget(job: Ended): Promise<void> {
  const now = systemClock.now();
  const time = travel();
  const { expiresAt } = await jobRow(job);
  for (const days of [1, 2]) {
    time.to(expiresAt + days * DAY_MS);
    await runDurableObjectAlarm(coordinatorOf(job));
  }
  time.to(now);
  const tables = await runInDurableObject(coordinatorOf(job), (_object, { storage }) =>
    storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'job'").toArray(),
  );
  if (tables.length > 0) throw new Error("the object still has its storage");
}

/** Everything that shows results. */
async function shown(job: Ended) {
  const { token } = job.owner;
  return [
    await detail(job),
    await call("GET", `/jobs/${job.id}/results`, { token }),
    await call("GET", `/tasks?job_id=${job.id}&include_results=true`, { token }),
    await call("GET", `/tasks/${job.taskIds[1]}/results`, { token }),
  ];
}

const values = (replies: Awaited<ReturnType<typeof shown>>) =>
  replies.map(({ status, body }) => [status, body]);

function silent() {
  vi.spyOn(console, "error").mockImplementation(() => {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => void vi.restoreAllMocks());
}

describe("the object has forgotten the job", () => {
  test("nothing is shown as lost, and cron finds the bodies in R2", async ({ expect }) => {
    silent();
    travel().to(farAhead());
    const job = await ended();
    const before = await shown(job);
    const { bodyBytes } = await jobRow(job);
    await forget(job);
    await restore(job);
    for (const reply of await shown(job)) {
      expectError(expect, reply, 503, "SERVICE_UNAVAILABLE");
      expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
    }
    const missing = await call("GET", `/tasks/${Number(job.id) + 3}/results`, job.owner);
    expect(missing.status, "a task that the job never had").toBe(404);
    await tick();
    expect(await jobRow(job)).toMatchObject({ bodyBytes, checkAt: null });
    expect(values(await shown(job))).toEqual(values(before));
    const cost = await costOf(() => detail(job));
    expect(cost).toMatchObject({ d1_round_trips: 1, object_hops: 0, r2_calls: 1 });
  });

  test("R2 lacks them, too: readers are refused until they are restored there", async ({
    expect,
  }) => {
    silent();
    const start = farAhead();
    travel().to(start);
    const job = await ended();
    const before = await shown(job);
    await forget(job);
    await restore(job);
    const key = `results/${job.id}`;
    const bytes = await (await env.BUCKET.get(key))?.arrayBuffer();
    await env.BUCKET.put(key, "other");
    await tick();
    expect((await jobRow(job)).bodyBytes).toBeNull();
    expectError(expect, await detail(job), 503, "SERVICE_UNAVAILABLE");
    await env.BUCKET.put(key, bytes ?? "");
    travel().to(start + DAY_MS / 2);
    await tick();
    travel().to(start);
    expect(values(await shown(job))).toEqual(values(before));
  });

  test("the backup had it while it was live: it is aborted without results, and cron has no more to do", async ({
    expect,
  }) => {
    silent();
    travel().to(farAhead());
    const job = await ended();
    const { bodyBytes } = await jobRow(job);
    await forget(job);
    await restore(job);
    await setJob(job, { version: 1, state: "running", endedAt: null, events: [] });
    await setTask(job.taskIds[1] ?? "", { bodies: [[0, 10]] });
    await tick();
    expect((await jobRow(job)).state).toBe("aborted");
    await setJob(job, { checkAt: 0 });
    await tick();
    expect(await jobRow(job), "deletion removes what R2 has").toMatchObject({
      bodyBytes,
      checkAt: null,
    });
    expect((await taskRows(job)).map(({ bodies }) => bodies)).toEqual([[], []]);
    expect((await detail(job)).body).toMatchObject({ state: "aborted" });
  });
});

test("the object still has the job: it hands the bodies over again, even if R2 has lost them", async ({
  expect,
}) => {
  const job = await ended();
  const before = await shown(job);
  const { bodyBytes } = await jobRow(job);
  await restore(job);
  await env.BUCKET.delete(`results/${job.id}`);
  const live = await shown(job);
  expect(live.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  await tick();
  expect(await jobRow(job)).toMatchObject({ bodyBytes, checkAt: null });
  expect(values(await shown(job))).toEqual(values(before));
});
