/** Every reply of the running Worker is what the document says, whatever was asked. */
import { expect, test } from "vitest";
import { describeReport, fuzz, successShare } from "./run.ts";

/** Fixed, so that a failure here is a failure everywhere; `npm run fuzz` draws another. */
const SEED = 20_240_315;
const CASES = 16;

test("requests drawn from the document: valid, on and beyond each bound, hostile", {
  timeout: 600_000,
}, async () => {
  const report = await fuzz({ cases: CASES, seed: SEED });
  console.log(describeReport(report));
  expect(report.failures, report.failures.join("\n\n")).toHaveLength(0);
  expect(successShare(report.operations)).toBeGreaterThanOrEqual(0.6);
  // An operation that never succeeds is not fuzzed: give it a provider.
  const idle = report.operations.filter(({ succeeded }) => succeeded === 0);
  expect(idle.map(({ id }) => id)).toEqual([]);
});
