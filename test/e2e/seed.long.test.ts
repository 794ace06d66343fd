/** The seeding tool as a command: it fills the very database that `npm start` serves. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runWrangler } from "../../scripts/lib/project.ts";
import { runCommand } from "./processes.ts";

async function seed(...args: string[]): Promise<{ code: number | null; output: string }> {
  const run = runCommand([process.execPath, "bench/seed.ts", ...args]);
  const code = await run.exitCode;
  expect(run.processes()).toEqual([]);
  return { code, output: run.output() };
}

test("seeds a state folder as wrangler reads it; the same seed twice is refused", async () => {
  const state = mkdtempSync(join(tmpdir(), "assay-seed-"));
  onTestFinished(() => rmSync(state, { recursive: true, force: true }));
  const first = await seed("--jobs", "200", "--seed", "3", "--state", state);
  expect(first.output).toMatch(
    /^200 jobs, \d+ tasks in [\d.]+ s; database [\d.]+ MB before, [\d.]+ MB after: [\d,]+ bytes a job, neither rated nor reported$/m,
  );
  expect(first.code).toBe(0);
  const again = await seed("--jobs", "1", "--seed", "3", "--state", state);
  expect(again).toEqual({
    code: 1,
    output: "Seed 3 was already used there: choose another --seed\n",
  });
  const other = await seed("--jobs", "100", "--seed", "4", "--state", state);
  expect(other.code, other.output).toBe(0);
  const sql =
    "SELECT (SELECT count(*) FROM jobs) AS jobs, (SELECT sum(jobs) FROM job_counts WHERE scope = 'all') + (SELECT count(*) FROM jobs WHERE deleted_at IS NOT NULL) AS counted";
  const target = ["--local", "--persist-to", state, "--json", "--command", sql];
  const output = await runWrangler(["d1", "execute", "DB", ...target], { offline: true });
  expect(JSON.parse(output.slice(output.indexOf("[")))[0].results).toEqual([
    { jobs: 300, counted: 300 },
  ]);
});

test.each([
  ["--jobs", ["--state", "x"]],
  ["--jobs", ["--jobs", "0", "--state", "x"]],
  ["--jobs", ["--jobs", "1e3", "--state", "x"]],
  ["--seed", ["--jobs", "1", "--seed=-1", "--state", "x"]],
])("says what is wrong with %s: %j", async (option, args) => {
  const { code, output } = await seed(...args);
  expect(output).toContain(`${option} must be a whole number above 0`);
  expect(code).toBe(2);
});
