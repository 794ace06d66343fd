import { describe, expect, test } from "vitest";
import type { Accepted, Ended, Refused, Unavailable } from "../../agent/src/api-client.ts";
import { keepInContact, type Pace, type Progress } from "../../agent/src/heartbeat.ts";

type Reply = Accepted | Ended | Refused | Unavailable;
const accepted: Reply = {
  kind: "accepted",
  status: 200,
  body: null,
  etag: null,
  retryAfterMs: null,
  claimRepeated: false,
  serverNow: null,
};

/**
 * Runs the heartbeat on a clock that advances by whatever is slept, for `forSeconds`.
 * `progressAt` is the step's progress at a second.
 */
async function beats(options: {
  forSeconds: number;
  progressAt: (second: number) => number;
  messageAt?: (second: number) => string;
  reply?: (attempt: number) => Reply;
  paceAt?: (second: number) => Pace;
}) {
  const { forSeconds, progressAt, messageAt = () => "", reply = () => accepted, paceAt } = options;
  const abort = new AbortController();
  const sent: { second: number; progress: number }[] = [];
  const logs: string[] = [];
  let now = 0;
  const how = await keepInContact({
    latest: (): Progress => ({
      progress: progressAt(now / 1000),
      message: messageAt(now / 1000),
    }),
    send: async ({ progress }) => {
      sent.push({ second: now / 1000, progress });
      return reply(sent.length);
    },
    clock: {
      now: () => now,
      elapsed: () => now,
      random: () => 0,
      sleep: async (ms, signal) => {
        now += ms;
        if (now > forSeconds * 1000) abort.abort();
        signal.throwIfAborted();
      },
    },
    log: (line) => logs.push(line),
    signal: abort.signal,
    ...(paceAt === undefined ? {} : { pace: () => paceAt(now / 1000) }),
  });
  return { how, seconds: sent.map((beat) => beat.second), logs };
}

describe("heartbeat", () => {
  test("moving progress is sent every 2 s and no more", async () => {
    const { seconds } = await beats({ forSeconds: 9, progressAt: (s) => s / 10 });
    expect(seconds).toEqual([0, 2, 4, 6, 8]);
  });

  test("a change below 0.01 waits, one of 0.01 is sent", async () => {
    const { seconds } = await beats({
      forSeconds: 20,
      progressAt: (s) => (s < 5 ? 0.28 : s < 11 ? 0.289 : 0.29),
    });
    expect(seconds).toEqual([0, 12]);
  });

  test("standing progress is sent every 30 s", async () => {
    const { seconds, how } = await beats({ forSeconds: 100, progressAt: () => 0.5 });
    expect(seconds).toEqual([0, 30, 60, 90]);
    expect(how).toBe("aborted");
  });

  test("by a channel nothing is repeated, and what is new waits until it may be sent", async () => {
    const quiet = { isReady: true, repeats: false };
    const standing = { forSeconds: 200, progressAt: () => 0.5 };
    expect((await beats({ ...standing, paceAt: () => quiet })).seconds).toEqual([0]);
    const message = (s: number) => (s < 50 ? "warm-up" : "measuring");
    const renamed = await beats({ ...standing, messageAt: message, paceAt: () => quiet });
    expect(renamed.seconds).toEqual([0, 50]);
    const ready = (s: number) => ({ ...quiet, isReady: s % 6 === 0 });
    const moving = await beats({ forSeconds: 20, progressAt: (s) => s / 20, paceAt: ready });
    expect(moving.seconds).toEqual([0, 6, 12, 18]);
    // The channel is lost after 40 s: contact is kept by requests again.
    const lost = await beats({
      ...standing,
      forSeconds: 80,
      paceAt: (s) => ({ isReady: true, repeats: s > 40 }),
    });
    expect(lost.seconds).toEqual([0, 42, 72]);
  });

  test("a failed one is repeated, no sooner than Retry-After, and logged once", async () => {
    const { seconds, logs } = await beats({
      forSeconds: 30,
      progressAt: () => 0.5,
      reply: (attempt) =>
        attempt < 3 ? { kind: "unavailable", message: "503", retryAfterMs: 9_000 } : accepted,
    });
    expect(seconds).toEqual([0, 9, 18]);
    expect(logs).toHaveLength(1);
  });

  test("it ends when the job has", async () => {
    const { how, seconds } = await beats({
      forSeconds: 100,
      progressAt: () => 0.5,
      reply: (attempt) => (attempt === 2 ? { kind: "ended", message: "over" } : accepted),
    });
    expect(how).toBe("ended");
    expect(seconds).toEqual([0, 30]);
  });
});
