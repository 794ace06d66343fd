/** `GET /jobs/{job_id}?wait=`: the reply comes when the job has changed, or is 304 in time. */
import { evictDurableObject } from "cloudflare:test";
import { describe, test, vi } from "vitest";
import type { CallCoordinator } from "../../../src/coordinator/client.ts";
import { markOf, Watchers } from "../../../src/coordinator/watchers.ts";
import type { WatchedRow } from "../../../src/jobs/store.ts";
import { beginWaiting, waitForChange } from "../../../src/jobs/waiting.ts";
import type { JobView } from "../../../src/jobs/wire.ts";
import { MINUTE_MS, SECOND_MS } from "../../../src/lib/clock.ts";
import { call, detail, expectError, heartbeat, join, putResult, V0 } from "../harness/client.ts";
import { createJob, createPerson, type TestJob } from "../harness/factories.ts";
import { coordinatorOf, costOf, flushed, reported } from "../harness/instruments.ts";

function view(job: TestJob, query: string, etag?: string) {
  const headers = etag === undefined ? {} : { "if-none-match": etag };
  return call("GET", `/jobs/${job.id}${query}`, { token: job.owner.token, headers });
}

async function etagOf(job: TestJob): Promise<string> {
  return (await detail(job)).headers.get("etag") ?? "";
}

/** A joined job, and its present validator. */
async function watched(input: Record<string, unknown> = {}) {
  const job = await createJob(input);
  const { id } = (await join(job)).body;
  await flushed(job);
  return { job, id, etag: await etagOf(job) };
}

test("0 to 25 whole seconds, anything else is 400", async ({ expect }) => {
  const job = await createJob();
  for (const wrong of ["26", "-1", "1.5", "x", ""]) {
    const reply = await view(job, `?wait=${wrong}`);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.error.details[0].field, wrong).toBe("wait");
  }
});

test("without If-None-Match, or with an older one, the reply comes at once and costs what it did", async ({
  expect,
}) => {
  const { job, etag } = await watched();
  const plain = { status: 200, d1_round_trips: 1, object_hops: 1 };
  expect(await costOf(() => view(job, "?wait=25"))).toMatchObject(plain);
  expect(await costOf(() => view(job, "?wait=25", '"other"'))).toMatchObject(plain);
  expect(await costOf(() => view(job, "?wait=0", etag))).toMatchObject({ ...plain, status: 304 });
});

describe("a live job", () => {
  test("unchanged: 304 after the time, for one hop more", async ({ expect }) => {
    const { job, etag } = await watched();
    const startedAt = performance.now();
    const cost = await costOf(() => view(job, "?wait=1", etag));
    expect(cost).toMatchObject({ status: 304, d1_round_trips: 1, object_hops: 2 });
    expect(performance.now() - startedAt).toBeGreaterThan(900);
  });

  test.for([
    ["progress", (job: TestJob, id: string) => heartbeat(job, id, { progress: 0.5 })],
    ["a message", (job: TestJob, id: string) => heartbeat(job, id, { message: "bf16" })],
    ["a node that joins", (job: TestJob) => join(job)],
    ["a result", (job: TestJob, id: string) => putResult(job, id, 0)],
    [
      "its end",
      (job: TestJob) => call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token }),
    ],
  ] as const)("%s: the new view, long before the time is over", async ([, change], { expect }) => {
    const { job, id, etag } = await watched({ node_count: 2 });
    const startedAt = performance.now();
    const waiting = view(job, "?wait=25", etag);
    // Whether the change comes before or while the request waits, it is seen.
    await new Promise((done) => setTimeout(done, 100));
    await change(job, id);
    const reply = await waiting;
    expect(reply.status, reply.text).toBe(200);
    expect(reply.headers.get("etag")).not.toBe(etag);
    expect(reply.body).toEqual((await detail(job)).body);
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  test("changed while the request is on its way to the object: seen", async ({ expect }) => {
    const { job, id } = await watched();
    const stub = coordinatorOf(job);
    const seen = { mark: markOf(0, []), events: 0 };
    await heartbeat(job, id, { progress: 0.5 });
    const reply = await stub.watch(Number(job.id), seen, 25_000);
    expect(reply).toMatchObject({ ok: true, nodes: [{ rank: 0, progress: 0.5, message: null }] });
    await evictDurableObject(stub);
    const again = await stub.watch(Number(job.id), seen, 0);
    expect(again, "the mark survives the object's memory").toEqual(reply);
  });

  test("100 wait for one job at most; the others are told to come back", async ({ expect }) => {
    const watchers = new Watchers();
    const waiting = Array.from({ length: 100 }, () => watchers.wait("a", 30_000));
    expect(await watchers.wait("a", 30_000)).toBe(false);
    watchers.wake(() => "a");
    watchers.wake(() => "b");
    expect(new Set(await Promise.all(waiting))).toEqual(new Set([true]));
    const computed = vi.fn(() => "c");
    watchers.wake(computed);
    expect(computed, "nobody waits: nothing is computed").not.toHaveBeenCalled();
  });

  test("a failing object is not asked again: 503, and the caller comes back", async ({
    expect,
  }) => {
    const { job, etag } = await watched();
    const failing = vi
      .spyOn((await import("../../../src/coordinator/runtime.ts")).JobRuntime.prototype, "watch")
      .mockRejectedValue(new Error("Network connection lost."));
    const cost = await costOf(() => view(job, "?wait=1", etag));
    expect(failing).toHaveBeenCalledTimes(1);
    failing.mockRestore();
    expect(cost).toMatchObject({ status: 503, d1_round_trips: 1, object_hops: 2 });
  });
});

describe("a settled job", () => {
  test("with verdict and report: 304 at once, for one read of D1", async ({ expect }) => {
    const { job, id } = await watched();
    await putResult(job, id, 0);
    await reported(job);
    await flushed(job);
    const etag = await etagOf(job);
    const startedAt = performance.now();
    const cost = await costOf(() => view(job, "?wait=25", etag));
    expect(cost).toMatchObject({ status: 304, d1_round_trips: 1, object_hops: 0 });
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });
});

test("whoever is locked while waiting is told nothing more", async ({ expect }) => {
  const admin = await createPerson({ role: "root_admin" });
  const { job, etag } = await watched();
  const waiting = view(job, "?wait=2", etag);
  await new Promise((done) => setTimeout(done, 100));
  const url = `${V0}/users/${job.owner.uuid}`;
  const locked = await call("PATCH", url, { token: admin.token, body: { locked: true } });
  expect(locked.status, locked.text).toBe(200);
  expectError(expect, await waiting, 401, "CLIENT_TOKEN_INVALID");
});

describe("what D1 alone knows", () => {
  type Row = JobView["row"];
  const ROW = {
    id: 512,
    userId: 1_000,
    state: "created",
    version: 0,
    coordinated: false,
    endedAt: null,
    events: [],
    ratedAt: null,
    reportHash: null,
    reportError: null,
  } as unknown as Row; // the fields that are read
  const settled: Row = { ...ROW, coordinated: true, endedAt: 1, version: 3 };
  const never: CallCoordinator = () => {
    throw new Error("The object sleeps");
  };

  /** Waits for 25 s with rows that D1 answers one after the other; answers the outcome and the times of reading. */
  async function wait(row: Row, rows: (Partial<WatchedRow> | null)[]) {
    let now = 0;
    const times: number[] = [];
    const changed = await waitForChange(
      { row, job: row as unknown as JobView["job"], tasks: [] }, // a row of D1 is such a record
      25 * SECOND_MS,
      {
        meter: { d1RoundTrips: 0, objectHops: 0, r2Calls: 0 },
        watchCoordinator: never,
        read: async () => {
          times.push(now / SECOND_MS);
          const next = rows[times.length - 1];
          return next === null ? null : { ...row, ...next };
        },
        clock: { now: () => now },
        sleep: async (ms) => {
          now += ms;
        },
      },
    );
    return { changed, times };
  }

  test("before the first node joins it is read every 5 s, and the object sleeps", async ({
    expect,
  }) => {
    expect(await wait(ROW, [])).toEqual({ changed: false, times: [5, 10, 15, 20, 25] });
    expect(await wait(ROW, [{}, { coordinated: true }])).toEqual({ changed: true, times: [5, 10] });
    expect(await wait(ROW, [{ version: 1, endedAt: 5 }]), "aborted").toMatchObject({ times: [5] });
    expect(await wait(ROW, [null]), "deleted").toEqual({ changed: true, times: [5] });
  });

  test("after the end: the verdict, the report or the reason for none, and nothing else", async ({
    expect,
  }) => {
    const isNews = { changed: true, times: [2] };
    expect(await wait(settled, [{ ratedAt: 2 }])).toEqual(isNews);
    const rated = { ...settled, ratedAt: 2 };
    expect(await wait(rated, [{ reportHash: "a" }])).toEqual(isNews);
    expect(await wait(rated, [{ reportError: "too slow" }])).toEqual(isNews);
    const { changed, times } = await wait(settled, [{ version: 4 }]);
    expect([changed, times.length]).toEqual([false, 13]);
    const atOnce = { changed: false, times: [] };
    expect(await wait({ ...rated, reportHash: "a" }, [])).toEqual(atOnce);
    expect(await wait({ ...rated, reportError: "too slow" }, [])).toEqual(atOnce);
    expect(await wait({ ...rated, userId: 0 }, []), "without an account").toEqual(atOnce);
    expect(await wait({ ...settled, coordinated: false }, []), "nobody joined").toEqual(atOnce);
  });
});

test("32 waiting requests of a person at a time; one whose end was not heard is forgotten", ({
  expect,
}) => {
  let now = 0;
  const clock = { now: () => now };
  const ends = Array.from({ length: 32 }, () => beginWaiting("me", clock));
  expect(beginWaiting("me", clock)).toBeNull();
  expect(beginWaiting("you", clock)).not.toBeNull();
  ends[0]?.();
  ends[0]?.();
  expect(beginWaiting("me", clock)).not.toBeNull();
  expect(beginWaiting("me", clock)).toBeNull();
  now += 16 * MINUTE_MS + 1;
  expect(beginWaiting("me", clock)).not.toBeNull();
});
