/** Followups of a settled job, and their retries. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { Followups, type Stage } from "../../../src/coordinator/followups.ts";
import type { Live } from "../../../src/coordinator/life/model.ts";
import { CoordinatorStorage } from "../../../src/coordinator/storage/storage.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../../../src/lib/clock.ts";
import { join, putResult } from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import {
  coordinatorOf,
  farAhead,
  flushed,
  onBatchesOf,
  reported,
  travel,
} from "../harness/instruments.ts";

test("while D1 is down, pending followups do not bring the flush forward: it keeps its backoff", async ({
  expect,
}) => {
  const time = travel();
  const start = farAhead();
  time.to(start);
  vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => void vi.restoreAllMocks());
  const job = await createJob();
  const taskId = (await join(job)).body.id;
  await flushed(job);
  const down = onBatchesOf(job, async () => {
    throw new Error("D1_ERROR: no");
  });
  await putResult(job, taskId, 0);
  // Long after its stages were due.
  const later = start + 30 * MINUTE_MS;
  time.to(later);
  await evictDurableObject(coordinatorOf(job));
  await runDurableObjectAlarm(coordinatorOf(job));
  const alarm = await runInDurableObject(coordinatorOf(job), (_object, { storage }) =>
    storage.getAlarm(),
  );
  expect(alarm).toBeGreaterThanOrEqual(later + 2 * SECOND_MS);
  down.restore();
  time.to(Number(alarm));
  await runDurableObjectAlarm(coordinatorOf(job));
  await reported(job);
});

describe("a stage of the followups", () => {
  // Nothing else of a job is looked at.
  const live = { identity: { jobId: 512 } } as Live;

  /** Stages of the test's own, in an object that has no job; each `wake` is a new instance of it. */
  function inObject(
    body: (
      wake: (stages: Record<string, Stage["run"]>) => Followups,
      now: (ms: number) => void,
    ) => Promise<void>,
  ): Promise<void> {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const stub = env.COORDINATOR.get(env.COORDINATOR.newUniqueId());
    return runInDurableObject(stub, (_object, state) => {
      const clock = { at: 0, now: () => clock.at };
      const wake = (stages: Record<string, Stage["run"]>) => {
        const loaded = Object.entries(stages).map(([name, run]) => [
          name,
          async () => ({ stage: { run } }),
        ]);
        const storage = new CoordinatorStorage(state.storage);
        return new Followups({ env, storage, clock, stages: Object.fromEntries(loaded) });
      };
      return body(wake, (ms) => {
        clock.at = ms;
      });
    });
  }

  test("that kills its object is retried ever less often, then skipped", async ({ expect }) => {
    // A dead instance hears of no time-out either.
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    await inObject(async (wake, now) => {
      const next = vi.fn(async () => {});
      let tries = 0;
      /** Ends with the instance: by its death, or because it has no more to do for now. */
      const lifetime = async () => {
        const death = Promise.withResolvers<void>();
        const deadly = () => {
          tries++;
          death.resolve();
          return new Promise<never>(() => {});
        };
        const instance = wake({ deadly, next });
        if (tries === 0) instance.begin();
        await Promise.race([instance.run(live), death.promise]);
      };
      let at = 0;
      for (; next.mock.calls.length === 0 && at < 3 * DAY_MS; at += MINUTE_MS) {
        now(at);
        await lifetime();
      }
      expect(next, "the next one has its turn").toHaveBeenCalledTimes(1);
      expect(at).toBeGreaterThanOrEqual(2 * DAY_MS);
      expect(at).toBeLessThan(2 * DAY_MS + 2 * HOUR_MS);
      expect(tries).toBeGreaterThan(40);
      expect(tries).toBeLessThan(400);
    });
  });

  test("that could not begin comes back within seconds, in every instance, and has not failed", async ({
    expect,
  }) => {
    await inObject(async (wake, now) => {
      let isFree = false;
      const waiting = vi.fn(async () => (isFree ? undefined : "later"));
      const next = vi.fn(async () => {});
      wake({ waiting, next }).begin();
      for (let at = 0; at < 3 * DAY_MS; at += HOUR_MS) {
        now(at);
        const instance = wake({ waiting, next });
        await instance.run(live);
        const wait = Number(instance.retryAt()) - at;
        expect(wait).toBeGreaterThanOrEqual(2 * SECOND_MS);
        expect(wait).toBeLessThanOrEqual(4 * SECOND_MS);
      }
      expect(waiting, "no backoff, and no end after two days").toHaveBeenCalledTimes(72);
      expect(next).not.toHaveBeenCalled();
      isFree = true;
      now(3 * DAY_MS);
      await wake({ waiting, next }).run(live);
      expect(next).toHaveBeenCalledTimes(1);
      expect(wake({ waiting, next }).isPending()).toBe(false);
    });
  });

  test("that fails is skipped after two days, and the next one runs", async ({ expect }) => {
    await inObject(async (wake, now) => {
      const failing = vi.fn(async () => {
        throw new Error("no");
      });
      const next = vi.fn(async () => {});
      const instance = wake({ failing, next });
      instance.begin();
      await instance.run(live);
      now(2 * DAY_MS - 1);
      await instance.run(live);
      expect([failing.mock.calls.length, next.mock.calls.length]).toEqual([2, 0]);
      now(2 * DAY_MS + HOUR_MS + MINUTE_MS);
      await instance.run(live);
      expect(next).toHaveBeenCalledTimes(1);
      expect(instance.isPending()).toBe(false);
      expect(wake({ failing, next }).isPending(), "on disk, too").toBe(false);
    });
  });
});
