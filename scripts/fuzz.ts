/**
 * `npm run fuzz -- --cases N --seed S`: what is random in the tests, for longer. First the conformance fuzz
 * (`--only operationId` and `--path` go back to a failure that was printed), then random lives of a job
 * (`--lives`) and histories of concurrent clients (`--histories`), for at most `--minutes`.
 */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeReport, fuzz } from "../test/fuzz/run.ts";
import { spawnSupervised } from "./lib/supervised.ts";

const VITEST = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url));
const RANDOM_TESTS = [
  "test/worker/coordinator/life-model.long.test.ts",
  "test/worker/coordinator/linearizability.long.test.ts",
  "test/worker/jobs/jobs-list-model.long.test.ts",
];

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "300" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    lives: { type: "string", default: "1000" },
    histories: { type: "string", default: "500" },
    minutes: { type: "string", default: "20" },
    only: { type: "string" },
    path: { type: "string" },
  },
});
const [cases = 0, seed = 0, lives = 0, histories = 0, minutes = 0] = [
  values.cases,
  values.seed,
  values.lives,
  values.histories,
  values.minutes,
].map(Number);
const counts = [cases, lives, histories, minutes];
if (!counts.every((count) => Number.isInteger(count) && count >= 0) || !Number.isInteger(seed)) {
  console.error("--cases, --seed, --lives, --histories and --minutes are whole numbers");
  process.exit(2);
}
if (cases > 0) {
  console.log(`Seed ${seed}, ${cases} valid and ${2 * cases} hostile requests per operation`);
  const report = await fuzz({ cases, seed, only: values.only, path: values.path });
  console.log(describeReport(report));
  for (const failure of report.failures) console.error(`\n${failure}`);
  if (report.failures.length > 0) {
    console.error(`\n${report.failures.length} failures`);
    process.exitCode = 1;
  }
}
if (values.only === undefined && !(await runRandomTests())) process.exitCode = 1;

/** Runs the random tests of the Worker with other numbers. Answers whether they passed. */
async function runRandomTests(): Promise<boolean> {
  // Read by vitest.config.ts.
  const FUZZ = JSON.stringify({ seed, lives, histories, minutes });
  const command = [process.execPath, VITEST, "run", "--project", "worker-long", ...RANDOM_TESTS];
  const child = spawnSupervised(command, { ...process.env, FUZZ });
  child.onOutput((text) => process.stdout.write(text));
  return (await child.exitCode) === 0;
}
