/** The front door to R2: every call is counted, bounded in time, and tried again only where that is safe. */
import { describe, onTestFinished, test, vi } from "vitest";
import { openBucket } from "../../../src/db/bucket.ts";
import { createMeter } from "../../../src/db/client.ts";
import { SECOND_MS } from "../../../src/lib/clock.ts";
import { TimeoutError } from "../../../src/lib/platform-failure.ts";

const LOST = new Error("get: We encountered an internal error. Please try again. (10001)");
const RANGE = { offset: 0, length: 1 };

/** The front door to a bucket that has only these methods. */
function open(methods: object) {
  const meter = createMeter();
  // Every other method is missing: a call of it fails the test.
  return { bucket: openBucket(methods as unknown as R2Bucket, meter), meter };
}

/** Waits of at least 10 seconds end at once. */
function hurry(): void {
  const wait = globalThis.setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((done: () => void, ms: number) =>
    wait(done, ms >= 10 * SECOND_MS ? 10 : ms)) as typeof setTimeout);
  onTestFinished(() => void vi.restoreAllMocks());
}

describe("a failure of the platform", () => {
  test("a read is tried three times, and each attempt counts", async ({ expect }) => {
    const get = vi.fn().mockRejectedValue(LOST);
    const { bucket, meter } = open({ get });
    await expect(bucket.read("a", RANGE)).rejects.toBe(LOST);
    expect(get).toHaveBeenCalledTimes(3);
    expect(meter).toEqual({ d1RoundTrips: 0, objectHops: 0, r2Calls: 3 });
  });

  test("one failure of a read is not noticed", async ({ expect }) => {
    const head = vi.fn().mockRejectedValueOnce(LOST).mockResolvedValue({ size: 7 });
    const { bucket, meter } = open({ head });
    expect(await bucket.size("a")).toBe(7);
    expect(meter.r2Calls).toBe(2);
  });

  test.for([["put"], ["delete"]])(
    "%s is tried once: it may have taken effect",
    async ([name = ""], { expect }) => {
      const { bucket, meter } = open({ [name]: () => Promise.reject(LOST) });
      const call = name === "put" ? bucket.put("a", new Uint8Array(1), {}) : bucket.delete(["a"]);
      await expect(call).rejects.toBe(LOST);
      expect(meter.r2Calls).toBe(1);
    },
  );

  test.for([
    ["overloaded", "put: Please reduce your concurrent request rate. (10058)"],
    ["a fault of ours", "get: The specified object name is not valid. (10020)"],
  ])("%s is not tried again", async ([, message], { expect }) => {
    const { bucket, meter } = open({ get: () => Promise.reject(new Error(message)) });
    await expect(bucket.stream("a", null)).rejects.toThrow(message);
    expect(meter.r2Calls).toBe(1);
  });
});

describe("a call that hangs", () => {
  const never = () => new Promise<never>(() => {});

  test("ends with a time-out, whatever hangs, and is not tried again", async ({ expect }) => {
    hurry();
    const hanging = { head: never, get: never, put: never, delete: never, list: never };
    const { bucket, meter } = open(hanging);
    const calls = [
      bucket.size("a"),
      bucket.read("a", RANGE),
      bucket.stream("a", null),
      bucket.put("a", new Uint8Array(1), {}),
      bucket.delete(["a"]),
      bucket.list("a"),
    ];
    for (const call of calls) await expect(call).rejects.toBeInstanceOf(TimeoutError);
    expect(meter.r2Calls).toBe(calls.length);
  });

  test("so does one whose bytes do not come", async ({ expect }) => {
    hurry();
    const { bucket } = open({ get: async () => ({ arrayBuffer: never }) });
    await expect(bucket.read("a", RANGE)).rejects.toBeInstanceOf(TimeoutError);
  });

  test("a failure that comes after the time-out is handled", async ({ expect }) => {
    hurry();
    const unhandled = vi.fn((event: PromiseRejectionEvent) => event.preventDefault());
    addEventListener("unhandledrejection", unhandled);
    onTestFinished(() => removeEventListener("unhandledrejection", unhandled));
    const late = Promise.withResolvers<never>();
    const { bucket } = open({ get: () => late.promise, put: () => late.promise });
    const calls = [bucket.stream("a", null), bucket.put("a", new Uint8Array(1), {})];
    for (const call of calls) await expect(call).rejects.toBeInstanceOf(TimeoutError);
    late.reject(LOST);
    await scheduler.wait(20);
    expect(unhandled).not.toHaveBeenCalled();
  });

  test.for([["read"], ["stream"]])(
    "a body that comes after the time-out is let go: %s",
    async ([name], { expect }) => {
      hurry();
      const late = Promise.withResolvers<unknown>();
      const { bucket } = open({ get: () => late.promise });
      const call = name === "read" ? bucket.read("a", RANGE) : bucket.stream("a", null);
      await expect(call).rejects.toBeInstanceOf(TimeoutError);
      const cancel = vi.fn(async () => {});
      const arrayBuffer = vi.fn();
      late.resolve({ body: { cancel }, arrayBuffer });
      await scheduler.wait(20);
      expect(cancel).toHaveBeenCalledTimes(1);
      expect(arrayBuffer).not.toHaveBeenCalled();
    },
  );
});

test("a list is read to its end, a page a call", async ({ expect }) => {
  const pages = [
    { objects: [{ key: "a/1" }], truncated: true, cursor: "next" },
    { objects: [{ key: "a/2" }], truncated: false },
  ];
  const list = vi.fn(async () => pages.shift());
  const { bucket, meter } = open({ list });
  expect(await bucket.list("a/")).toEqual(new Set(["a/1", "a/2"]));
  expect(list.mock.calls).toEqual([[{ prefix: "a/" }], [{ prefix: "a/", cursor: "next" }]]);
  expect(meter.r2Calls).toBe(2);
});

test("a call deletes at most 1,000 keys; nothing to delete costs nothing", async ({ expect }) => {
  const keys = Array.from({ length: 2_001 }, (_, at) => String(at));
  const remove = vi.fn(async (_keys: string[]) => {});
  const { bucket, meter } = open({ delete: remove });
  await bucket.delete([]);
  expect(meter.r2Calls).toBe(0);
  await bucket.delete(keys);
  expect(remove.mock.calls.map(([part]) => part.length)).toEqual([1_000, 1_000, 1]);
  expect(remove.mock.calls.flatMap(([part]) => part)).toEqual(keys);
});

test("what is not there is null", async ({ expect }) => {
  const nothing = async () => null;
  const { bucket } = open({ head: nothing, get: nothing });
  expect(await bucket.size("a")).toBeNull();
  expect(await bucket.read("a", RANGE)).toBeNull();
  expect(await bucket.stream("a", RANGE)).toBeNull();
});
