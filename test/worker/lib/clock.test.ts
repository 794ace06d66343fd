import fc from "fast-check";
import { test } from "vitest";
import { DAY_MS, toTimestamp } from "../../../src/lib/clock.ts";

test("a time is written as the platform writes it, whatever was written before", ({ expect }) => {
  const time = fc.integer({ min: -50 * 365 * DAY_MS, max: 200 * 365 * DAY_MS });
  fc.assert(
    fc.property(time, fc.constantFrom(0, 1, 999, 1_000, 59_999, DAY_MS - 1), (ms, later) => {
      for (const at of [ms, ms + later]) expect(toTimestamp(at)).toBe(new Date(at).toISOString());
    }),
  );
  expect(toTimestamp(null)).toBeNull();
});
