/**
 * Writes docs/report-example.pdf: the report of the job that `npm run demo` runs, from start to end on this machine; and
 * its first page as a picture for the README, where poppler-utils is installed. The network is measured anew each time.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onStage } from "./lib/demo-stage.ts";
import { runJob } from "./lib/job-demo.ts";
import { ROOT } from "./lib/project.ts";
import { stopSignal } from "./lib/stop-signal.ts";

const REPORT = join(ROOT, "docs/report-example.pdf");
/** Without its ending. */
const PICTURE = join(ROOT, "docs/report-page-1");
const DOTS_PER_INCH = "110";

const stopping = stopSignal();
const folder = mkdtempSync(join(tmpdir(), "assay-report-"));
try {
  await onStage(folder, stopping.signal, (stage) => runJob(stage, REPORT));
  const options = ["-png", "-singlefile", "-f", "1", "-l", "1", "-r", DOTS_PER_INCH];
  const drawn = spawnSync("pdftoppm", [...options, REPORT, PICTURE], { stdio: "inherit" });
  const isDrawn = drawn.error === undefined && drawn.status === 0;
  console.log(
    isDrawn
      ? `Wrote ${REPORT} and ${PICTURE}.png`
      : `Wrote ${REPORT}. No picture: pdftoppm (Debian's poppler-utils) is missing.`,
  );
} catch (error) {
  console.error(`\n${error instanceof Error ? error.message : error}`);
  process.exitCode = stopping.exitCode() || 1;
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
