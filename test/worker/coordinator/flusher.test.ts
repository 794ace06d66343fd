/** One flush after another, until D1 knows everything. */
import { onTestFinished, test, vi } from "vitest";
import type { Live } from "../../../src/coordinator/life/model.ts";
import { Flusher } from "../../../src/coordinator/projection/flusher.ts";
import type { Projection } from "../../../src/coordinator/projection/projection.ts";
import type { CoordinatorStorage } from "../../../src/coordinator/storage/storage.ts";
import { SECOND_MS, systemClock } from "../../../src/lib/clock.ts";

test("16 MiB reach a D1 that takes two seconds for each batch: every batch is bounded, not all of them", async ({
  expect,
}) => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  onTestFinished(() => void vi.useRealTimers());
  const tasks = Array.from({ length: 16 }, (_, rank) => ({
    id: 513 + rank,
    jobId: 512,
    rank,
    message: "x".repeat(1_000_000),
  }));
  const job = { version: 5, state: "completed", steps: [], events: [], endedAt: 1 };
  const statement = { bind: () => statement };
  const batch = vi.fn(
    (statements: unknown[]) =>
      new Promise((done) => setTimeout(() => done(statements.map(() => ({}))), 2 * SECOND_MS)),
  );
  const setFlushedVersion = vi.fn();
  // Of each no more than a flush uses.
  const live = { identity: { jobId: 512 }, job: { version: 5 }, flushedVersion: 1 } as Live;
  const flusher = new Flusher({
    d1: { prepare: () => statement, batch } as unknown as D1Database,
    storage: { setFlushedVersion } as unknown as CoordinatorStorage,
    projection: { since: () => ({ job, tasks }) } as unknown as Projection,
    clock: systemClock,
    live,
  });
  let isOver = false;
  void flusher.flush(live).then(() => {
    isOver = true;
  });
  // Its code loads in real time, and so passes the turn before the first batch.
  for (let second = 0; second < 1_000 && !isOver; second++) {
    await vi.advanceTimersByTimeAsync(SECOND_MS);
    await scheduler.wait(1);
  }
  expect(batch.mock.calls.length).toBeGreaterThanOrEqual(16);
  expect(setFlushedVersion.mock.calls).toEqual([[5]]);
});

test("events go to D1 when there are new ones, until it has acknowledged them, and again after it was restored", async ({
  expect,
}) => {
  const statement = { bind: () => statement };
  const sent: string[] = [];
  const prepare = (sql: string) => {
    sent.push(sql);
    return statement;
  };
  let isDown = false;
  const batch = async (statements: unknown[]) => {
    if (isDown) throw new Error("D1 is away");
    return statements.map(() => ({}));
  };
  let now = 0;
  const event = { at: 1, kind: "joined", rank: 0, message: "node 0 joined (1 of 2)" };
  const job = { version: 1, state: "running", steps: [], events: [event], endedAt: null };
  // Of each no more than a flush uses.
  const live = { identity: { jobId: 512 }, job: { version: 1 }, flushedVersion: 0 } as {
    -readonly [Key in keyof Live]: Live[Key];
  };
  const flusher = new Flusher({
    d1: { prepare, batch } as unknown as D1Database,
    storage: { setFlushedVersion: () => {} } as unknown as CoordinatorStorage,
    projection: { since: () => ({ job, tasks: [] }) } as unknown as Projection,
    clock: { now: () => now },
    live,
  });
  const sendsEvents = async () => {
    sent.length = 0;
    live.job = { ...live.job, version: live.job.version + 1 };
    await flusher.flush(live);
    return sent.some((sql) => sql.includes('"events" ='));
  };
  expect(await sendsEvents()).toBe(true);
  expect(await sendsEvents()).toBe(false);
  job.events.push(event);
  isDown = true;
  expect(await sendsEvents()).toBe(true);
  isDown = false;
  expect(await sendsEvents()).toBe(true);
  expect(await sendsEvents()).toBe(false);
  now += 3_600_000;
  expect(flusher.hasForgotten(live, 1)).toBe(true);
  expect(await sendsEvents()).toBe(true);
});
