/** A server that is killed at any moment loses nothing that it has acknowledged. */
import { expect, test } from "vitest";
import { chaos, describeChaos, failuresOf } from "./run.ts";

/** `npm run chaos` kills two hundred times. */
const KILLS = 10;

test("workerd is killed at random moments while agents work", { timeout: 600_000 }, async () => {
  const report = await chaos({ kills: KILLS, seed: 20_240_315 });
  console.log(describeChaos(report));
  const failures = failuresOf(report);
  expect(failures, failures.join("\n")).toHaveLength(0);
  expect(report.results).toBeGreaterThan(0);
  expect(report.repeated, "calls were under way").toBeGreaterThan(0);
});
