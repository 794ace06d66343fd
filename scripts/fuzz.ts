/**
 * `npm run fuzz -- --cases N --seed S`: the conformance fuzz of the tests, for as long as you like.
 * `--only operationId` and `--path` go back to a failure that was printed.
 */
import { parseArgs } from "node:util";
import { describeReport, fuzz } from "../test/fuzz/run.ts";

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "300" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    only: { type: "string" },
    path: { type: "string" },
  },
});
const cases = Number(values.cases);
const seed = Number(values.seed);
if (!Number.isInteger(cases) || cases < 1 || !Number.isInteger(seed)) {
  console.error("--cases and --seed are whole numbers");
  process.exit(2);
}
console.log(`Seed ${seed}, ${cases} valid and ${2 * cases} hostile requests per operation`);
const report = await fuzz({ cases, seed, only: values.only, path: values.path });
console.log(describeReport(report));
for (const failure of report.failures) console.error(`\n${failure}`);
if (report.failures.length > 0) {
  console.error(`\n${report.failures.length} failures`);
  process.exitCode = 1;
}
