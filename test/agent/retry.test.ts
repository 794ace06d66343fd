import { describe, expect, test } from "vitest";
import { backoffMs, parseRetryAfter } from "../../agent/src/retry.ts";

describe("backoff", () => {
  test("is full jitter below a ceiling that doubles from 0.5 s to 30 s", () => {
    expect([1, 2, 3, 6, 7, 8, 50].map((failures) => backoffMs(failures, 1, null))).toEqual([
      500, 1000, 2000, 16_000, 30_000, 30_000, 30_000,
    ]);
    expect(backoffMs(7, 0, null)).toBe(0);
    expect(backoffMs(7, 0.5, null)).toBe(15_000);
  });

  test("never comes sooner than Retry-After", () => {
    expect(backoffMs(1, 0, 7_000)).toBe(7_000);
    expect(backoffMs(3, 0.5, 7_000)).toBe(8_000);
  });
});

describe("Retry-After", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");
  test.each([
    ["5", 5_000],
    ["0", 0],
    ["86400", 120_000],
    ["Thu, 01 Jan 2026 00:00:09 GMT", 9_000],
    ["Wed, 31 Dec 2025 23:59:00 GMT", 0],
    ["soon", null],
    [null, null],
  ])("%s is %s ms", (header, ms) => {
    expect(parseRetryAfter(header, now)).toBe(ms);
  });
});
