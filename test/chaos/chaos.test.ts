/** A server that is killed at any moment loses nothing that it has acknowledged. */
import { expect, test } from "vitest";
import { runCommand } from "../e2e/processes.ts";

/** `npm run chaos` kills two hundred times. */
const KILLS = 10;

test("workerd is killed at random moments while agents work", { timeout: 600_000 }, async () => {
  // A process of its own, whose only workerd is the one that is killed.
  const command = [process.execPath, "scripts/chaos.ts", "--kills", String(KILLS), "--seed", "1"];
  const run = runCommand(command);
  const code = await run.exitCode;
  const output = run.output();
  console.log(output);
  expect(code, output).toBe(0);
  // Calls were under way when it was killed, and results were there to be lost.
  expect(output).toMatch(/^10 kills; [1-9]\d* jobs, [1-9]\d* results, .*, [1-9]\d* made again$/m);
  expect(output).toContain("0 lost, 0 different, 0 duplicates, 0 unsettled, 0 faults");
  expect(run.processes(), "nothing is left running").toEqual([]);
});
