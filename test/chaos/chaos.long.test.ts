/** A server killed at any moment loses no acknowledged write. */
import { expect, test } from "vitest";
import { runCommand } from "../e2e/processes.ts";
import { patient } from "../patience.ts";

/** `npm run chaos` kills two hundred times. */
const KILLS = 6;

test.each(["poll", "channel"] as const)(
  "workerd is killed at random moments while agents work, told by %s",
  {
    timeout: patient(600_000),
  },
  async (transport) => {
    // A separate process, so that its only workerd is the one to kill.
    const options = ["--kills", String(KILLS), "--seed", "1", "--transport", transport];
    const run = runCommand([process.execPath, "scripts/chaos.ts", ...options]);
    const code = await run.exitCode;
    const output = run.output();
    console.log(output);
    expect(code, output).toBe(0);
    // Repeated calls prove that kills hit calls under way; the results prove that data was at stake.
    expect(output).toMatch(/^6 kills; [1-9]\d* jobs, [1-9]\d* results, .*, [1-9]\d* made again$/m);
    if (transport === "channel") {
      // More sockets than tasks: nodes come back by themselves, and are told.
      const [, sockets, tasks, pushed] =
        /^(\d+) channels opened by (\d+) nodes, (\d+) views/m.exec(output) ?? [];
      expect(Number(sockets)).toBeGreaterThan(Number(tasks));
      expect(Number(pushed)).toBeGreaterThan(0);
    }
    expect(output).toContain("0 lost, 0 different, 0 duplicates, 0 unsettled, 0 faults");
    expect(run.processes(), "nothing is left running").toEqual([]);
  },
);
