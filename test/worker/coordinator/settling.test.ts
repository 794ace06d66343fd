/** The end of a job while its nodes are still talking, and a database that does not answer. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, onTestFinished, test, vi } from "vitest";
import { DAY_MS, systemClock } from "../../../src/lib/clock.ts";
import { call, detail, expectError, join, poll, putResult, resultBody } from "../harness/client.ts";
import { createJob, type TestJob } from "../harness/factories.ts";
import {
  coordinatorOf,
  farAhead,
  flushed,
  onBatchesOf,
  reported,
  travel,
} from "../harness/instruments.ts";
import { taskRows } from "../harness/rows.ts";
import { eventually, holdTimeouts } from "../harness/time.ts";

const abort = (job: TestJob) => call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
const heartbeat = (job: TestJob, taskId: string, body: object) =>
  call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body });

async function joined(nodes: number): Promise<{ job: TestJob; ids: string[] }> {
  const job = await createJob({ node_count: nodes });
  const replies = await Promise.all(Array.from({ length: nodes }, () => join(job)));
  return { job, ids: replies.map(({ body }) => String(body.id)) };
}

async function tasksInD1(job: TestJob): Promise<{ state: string; results: number }[]> {
  const nodes = await taskRows(job);
  return nodes.map(({ state, bodies }) => ({ state, results: bodies.length }));
}

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
  expect((await taskRows(job)).filter(({ deletedAt }) => deletedAt === null)).toEqual([]);
  expectError(expect, await detail(job), 404, "RESOURCE_NOT_FOUND");
});

describe("a database that hangs", () => {
  test("one flush at a time, given up in time, and done from the alarm; results are answered meanwhile", async ({
    expect,
  }) => {
    travel().to(farAhead());
    const { job, ids } = await joined(3);
    await flushed(job);
    const lines = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const timeouts = holdTimeouts();
    let hanging = 0;
    let areGivenUp = false;
    const unheard: (() => Promise<unknown>)[] = [];
    const hang = onBatchesOf(job, (run) => {
      hanging++;
      unheard.push(run);
      if (areGivenUp) timeouts.end();
      return new Promise(() => {});
    });
    await putResult(job, ids[0] ?? "", 0);
    await eventually(() => expect(hanging).toBe(1));
    // News while the first flush hangs: it starts no second one.
    await putResult(job, ids[1] ?? "", 0);
    await putResult(job, ids[2] ?? "", 0);
    expect(hanging).toBe(1);
    areGivenUp = true;
    timeouts.end();
    await evictDurableObject(coordinatorOf(job));
    await runDurableObjectAlarm(coordinatorOf(job));
    expect(hanging).toBeGreaterThanOrEqual(2);
    const failures = lines.mock.calls
      .map(([line]) => JSON.parse(String(line)))
      .filter((line) => line.job === Number(job.id))
      .map(({ failure }) => failure);
    expect(failures).toContain("hang");
    hang.restore();
    await runDurableObjectAlarm(coordinatorOf(job));
    const settled = [await tasksInD1(job), (await detail(job)).body];
    expect(settled[0]).toEqual(
      Array.from({ length: 3 }, () => ({ state: "completed", results: 1 })),
    );
    // The flush that hung arrives after all: it is old news.
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
      const body = JSON.stringify(resultBody());
      const reply = await object.putResult(Number(job.id), Number(id), 0, body);
      vi.restoreAllMocks();
      const rows = storage.sql.exec("SELECT 1 FROM result").toArray().length;
      return `${reply.ok ? "accepted" : reply.reason}, ${rows} stored`;
    });
    seen.add(kept);
  }
  expect([...seen].sort()).toEqual(["accepted, 1 stored", "ended, 0 stored"]);
});
