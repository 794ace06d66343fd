/** The end of a job while its nodes are still talking, and a database that does not answer. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { DAY_MS, systemClock } from "../../src/lib/clock.ts";
import {
  call,
  coordinatorOf,
  createJob,
  detail,
  expectError,
  flushed,
  join,
  poll,
  putResult,
  QUICK_MARK_RESULTS,
  reported,
  type TestJob,
} from "./harness.ts";
import { heldTimeouts, shortTimeouts } from "./platform-faults.ts";

const abort = (job: TestJob) => call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
const heartbeat = (job: TestJob, taskId: string, body: object) =>
  call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body });

async function joined(nodes: number): Promise<{ job: TestJob; ids: string[] }> {
  const job = await createJob({ node_count: nodes });
  const replies = await Promise.all(Array.from({ length: nodes }, () => join(job)));
  return { job, ids: replies.map(({ body }) => String(body.id)) };
}

const tasksInD1 = async (job: TestJob) =>
  (
    await env.DB.prepare(
      `SELECT t.state, (SELECT count(*) FROM task_results r WHERE r.task_id = t.id) AS results
       FROM tasks t WHERE job_id = ? ORDER BY id`,
    )
      .bind(Number(job.id))
      .all<{ state: string; results: number }>()
  ).results;

describe("abort while results are in flight", () => {
  test("each result is accepted and kept, or refused with stop: never one of them in part", async ({
    expect,
  }) => {
    for (let round = 0; round < 10; round++) {
      const { job, ids } = await joined(4);
      const [aborted, ...puts] = await Promise.all([
        abort(job),
        ...ids.map((id) => putResult(job, id, 0)),
      ]);
      const accepted = puts.filter(({ status }) => status === 200).length;
      for (const put of puts.filter(({ status }) => status !== 200)) {
        expectError(expect, put, 409, "JOB_ENDED");
        expect(put.body.directive).toBe("stop");
      }
      await flushed(job);
      const { body } = await detail(job);
      // All four may have come first: the job has completed then, and cannot be aborted.
      expect(aborted.status).toBe(accepted === 4 ? 400 : 200);
      expect(body.state).toBe(accepted === 4 ? "completed" : "aborted");
      const kept = await tasksInD1(job);
      expect(kept.map(({ state }) => (state === "completed" ? 1 : 0))).toEqual(
        kept.map(({ results }) => results),
      );
      expect(kept.filter(({ results }) => results === 1)).toHaveLength(accepted);
      // A repeat of what was accepted gets its reply, the others their refusal.
      const again = await Promise.all(ids.map((id) => putResult(job, id, 0)));
      expect(again.map(({ status }) => status)).toEqual(puts.map(({ status }) => status));
    }
  });

  test("owners see why, and when: the task's message, and the events", async ({ expect }) => {
    const { job, ids } = await joined(2);
    await putResult(job, ids[0] ?? "", 0);
    await abort(job);
    const { body } = await detail(job);
    expect(body.tasks).toMatchObject([
      { state: "completed", failed_message: null },
      {
        state: "aborted",
        failed_message: "the job was aborted",
        benchmark_results: {
          quick_mark: { state: "aborted", error_message: "the job was aborted" },
        },
      },
    ]);
    expect(body.events.at(-1)).toMatchObject({ kind: "settled", at: body.ended_at });
    const times = body.events.map(({ at }: { at: string }) => Date.parse(at));
    expect(times).toEqual(times.toSorted((a: number, b: number) => a - b));
  });

  test("whatever its nodes say after that changes nothing, here or in D1", async ({ expect }) => {
    const { job, ids } = await joined(2);
    await abort(job);
    await reported(job);
    const before = [(await detail(job)).body, await tasksInD1(job)];
    const [one = "", two = ""] = ids;
    for (const reply of [
      await putResult(job, one, 0),
      await heartbeat(job, two, { progress: 0.9 }),
      await heartbeat(job, two, { state: "failed", failed_message: "late" }),
      await join(job),
    ]) {
      expectError(expect, reply, 409, "JOB_ENDED");
    }
    for (const id of [one, two, undefined]) {
      expect((await poll(job, id)).body).toMatchObject({ directive: "stop", state: "aborted" });
    }
    await evictDurableObject(coordinatorOf(job));
    await runDurableObjectAlarm(coordinatorOf(job));
    expect([(await detail(job)).body, await tasksInD1(job)]).toEqual(before);
  });
});

test("a job deleted while agents hold on: they are told to stop, and bring nothing back", async ({
  expect,
}) => {
  const { job, ids } = await joined(2);
  const [one = "", two = ""] = ids;
  await abort(job);
  const deleted = await call("DELETE", "/jobs/delete", {
    token: job.owner.token,
    body: { id: job.id },
  });
  expect(deleted.body.requires_agent_stop).toBe(true);
  expect((await poll(job, one)).body.directive).toBe("stop");
  expectError(expect, await putResult(job, one, 0), 409, "JOB_ENDED");
  expectError(expect, await heartbeat(job, two, { progress: 1 }), 409, "JOB_ENDED");
  await flushed(job);
  const rows = await env.DB.prepare(
    "SELECT count(*) AS n FROM tasks WHERE job_id = ? AND deleted_at IS NULL",
  )
    .bind(Number(job.id))
    .first();
  expect(rows).toEqual({ n: 0 });
  expectError(expect, await detail(job), 404, "RESOURCE_NOT_FOUND");
});

/** Waits until what follows the end of earlier jobs is done: every batch after it is of a test's own. */
const calm = () =>
  vi.waitFor(
    async () => {
      const open = "ended_at IS NOT NULL AND report_hash IS NULL AND deleted_at IS NULL";
      const row = await env.DB.prepare(`SELECT count(*) AS n FROM jobs WHERE ${open}`).first();
      if (row?.n !== 0) throw new Error(`${row?.n} jobs have no report yet`);
    },
    { timeout: 20_000, interval: 20 },
  );

describe("a database that hangs", () => {
  test("one flush at a time, given up in time, and done from the alarm; results are answered meanwhile", async ({
    expect,
  }) => {
    await calm();
    const { job, ids } = await joined(3);
    await flushed(job);
    const lines = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const real = env.DB.batch.bind(env.DB);
    let hanging = 0;
    const unheard: (() => Promise<unknown>)[] = [];
    const batch = vi.spyOn(env.DB, "batch").mockImplementation((statements) => {
      hanging++;
      unheard.push(() => real(statements));
      return new Promise(() => {});
    });
    const timeouts = heldTimeouts();
    await putResult(job, ids[0] ?? "", 0);
    await vi.waitFor(() => expect(hanging).toBe(1));
    // News while the first flush hangs: it starts no second one.
    await putResult(job, ids[1] ?? "", 0);
    await putResult(job, ids[2] ?? "", 0);
    expect(hanging).toBe(1);
    timeouts.letGo();
    shortTimeouts();
    await evictDurableObject(coordinatorOf(job));
    await runDurableObjectAlarm(coordinatorOf(job));
    expect(hanging).toBeGreaterThanOrEqual(2);
    const failures = lines.mock.calls.map(([line]) => JSON.parse(String(line)).failure);
    expect(failures).toContain("hang");
    batch.mockRestore();
    await runDurableObjectAlarm(coordinatorOf(job));
    const settled = [await tasksInD1(job), (await detail(job)).body];
    expect(settled[0]).toEqual(
      Array.from({ length: 3 }, () => ({ state: "completed", results: 1 })),
    );
    // What hung arrives after all: it is old news.
    for (const late of unheard) await late();
    expect([await tasksInD1(job), (await detail(job)).body]).toEqual(settled);
  });
});

test("whenever within a call a job's time runs out, a result is accepted and stored, or neither", async ({
  expect,
}) => {
  const clock = vi.spyOn(systemClock, "now");
  onTestFinished(() => clock.mockRestore());
  const seen = new Set<string>();
  for (let looks = 0; looks < 8; looks++) {
    clock.mockRestore();
    const job = await createJob();
    const { id } = (await join(job)).body;
    await flushed(job);
    const [before, after] = [systemClock.now(), systemClock.now() + DAY_MS];
    const kept = await runInDurableObject(coordinatorOf(job), async (object, { storage }) => {
      let left = looks;
      vi.spyOn(systemClock, "now").mockImplementation(() => (left-- > 0 ? before : after));
      const reply = await object.putResult(Number(job.id), Number(id), 0, {
        ...{ state: "completed", startedAt: 1, endedAt: 2, errorMessage: null, hash: "a" },
        results: JSON.stringify(QUICK_MARK_RESULTS),
      });
      vi.restoreAllMocks();
      const rows = storage.sql.exec("SELECT 1 FROM result").toArray().length;
      return `${reply.ok ? "accepted" : reply.reason}, ${rows} stored`;
    });
    seen.add(kept);
  }
  expect([...seen].sort()).toEqual(["accepted, 1 stored", "ended, 0 stored"]);
});
