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
