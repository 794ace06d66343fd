/**
 * `npm run test:all`: everything. Ends with what was skipped, which a summary in the middle of the output would hide: a
 * check that did not run has found nothing.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./lib/project.ts";
import { describeSkipped, skippedTests, type VitestReport } from "./lib/skipped-tests.ts";

const folder = mkdtempSync(join(tmpdir(), "assay-tests-"));
const skipped: string[] = [];
try {
  for (const command of ["test", "test:long"]) {
    const report = join(folder, `${command.replace(":", "-")}.json`);
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const { status } = spawnSync("npm", ["run", "--silent", command, "--", ...reporters], {
      cwd: ROOT,
      stdio: "inherit",
    });
    if (status !== 0) process.exit(status ?? 1);
    const read: VitestReport = JSON.parse(readFileSync(report, "utf8"));
    skipped.push(...skippedTests(read, ROOT));
  }
  console.log(describeSkipped(skipped));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
