/** A runner that falls silent ends its file, or fails it; one that speaks is left alone. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { PoolWorker } from "vitest/node";
import { SILENCE_MS, watched } from "../quiet-runners.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const FINISHED = { __vitest_worker_response__: true, type: "testfileFinished" };
const STOPPED = { __vitest_worker_response__: true, type: "stopped" };
const update = (id: string, event: string) => ({ m: "onTaskUpdate", a: [[], [[id, event, {}]]] });

/** A pool's worker, what the pool hears of it and what the worker is sent. */
function runner() {
  const heard: unknown[] = [];
  const failed: unknown[] = [];
  const sent: unknown[] = [];
  let say: (message: unknown) => void = () => {};
  const stop = vi.fn(async () => {});
  const inner: PoolWorker = {
    name: "fake",
    on: (event, listener) => {
      if (event === "message") say = listener;
    },
    off: () => {},
    send: (message) => void sent.push(message),
    deserialize: (data) => data,
    start: async () => {},
    stop,
  };
  const worker = watched(inner);
  worker.on("message", (message) => heard.push(message));
  worker.on("error", (error) => failed.push(error));
  return { worker, heard, failed, sent, stop, say: (message: unknown) => say(message) };
}

test("all tests are reported, then nothing: the file ends, and so does its runner", async () => {
  const { worker, heard, failed, sent, stop, say } = runner();
  say(update("-123", "suite-finished"));
  vi.advanceTimersByTime(SILENCE_MS.ended - 1);
  expect(heard).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(heard.at(-1)).toEqual(FINISHED);
  worker.send({ type: "stop", __vitest_worker_request__: true });
  vi.runAllTimers();
  expect(heard.at(-1)).toEqual(STOPPED);
  expect(sent, "to a runner that is not there").toEqual([]);
  say(FINISHED);
  expect(heard, "a late message").toHaveLength(3);
  await worker.stop();
  expect(stop).toHaveBeenCalledOnce();
  expect(failed).toEqual([]);
});

test("silence in the middle of a file fails it", () => {
  const { heard, failed, say } = runner();
  say(update("-123_0", "suite-finished"));
  vi.advanceTimersByTime(SILENCE_MS.running - 1);
  expect(failed).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(String(failed)).toMatch(/^Error: nothing heard of the tests for \d+ s$/);
  expect(heard).toHaveLength(1);
});

test("a runner that does not answer the request to stop is stopped all the same", () => {
  const { worker, heard, say } = runner();
  say(FINISHED);
  worker.send({ type: "stop", __vitest_worker_request__: true });
  vi.advanceTimersByTime(SILENCE_MS.ended);
  expect(heard).toEqual([FINISHED, STOPPED]);
});

test("a runner that ends by itself is left alone", () => {
  const { worker, heard, failed, sent, say } = runner();
  for (const message of [update("-123", "suite-finished"), FINISHED]) say(message);
  vi.advanceTimersByTime(SILENCE_MS.running * 2);
  worker.send({ type: "stop", __vitest_worker_request__: true });
  expect(sent).toHaveLength(1);
  say(STOPPED);
  expect(heard).toEqual([update("-123", "suite-finished"), FINISHED, STOPPED]);
  expect(failed).toEqual([]);
});
