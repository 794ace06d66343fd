/** Every reply of the running Worker conforms to the document, whatever the request. */
import { expect, test } from "vitest";
import { patient } from "../patience.ts";
import { describeReport, fuzz, successShare } from "./run.ts";

/** Fixed so that failures repeat everywhere; `npm run fuzz` draws a new seed. */
const SEED = 20_240_315;
const CASES = 8;

test("requests drawn from the document: valid, on and beyond each bound, hostile", {
  timeout: patient(1_200_000),
}, async () => {
  const report = await fuzz({ cases: CASES, seed: SEED });
  console.log(describeReport(report));
  expect(report.failures, report.failures.join("\n\n")).toHaveLength(0);
  expect(successShare(report.operations)).toBeGreaterThanOrEqual(0.6);
  // An operation that never succeeds is not really fuzzed, and needs a provider. `setUp` is open to a new deployment alone,
  // and this one has its administrator: test/worker/identity/setup.test.ts.
  const idle = report.operations.filter(({ succeeded }) => succeeded === 0);
  expect(idle.map(({ id }) => id)).toEqual(["setUp"]);
});
