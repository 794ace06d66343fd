/**
 * `npm run demo`: a job from start to end on this machine: the whole stack on a free port with temporary state, 4 nodes, 4
 * agents as processes of their own, this machine's own figures, the verdict and the report. Exits 0 only when all of it
 * has really completed. `-- --fleet`: six runners claim three jobs instead.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { onStage } from "./lib/demo-stage.ts";
import { runFleet } from "./lib/fleet-demo.ts";
import { runJob } from "./lib/job-demo.ts";
import { stopSignal } from "./lib/stop-signal.ts";

const act = readOptions().fleet ? runFleet : runJob;
const stopping = stopSignal();
const folder = mkdtempSync(join(tmpdir(), "assay-demo-"));
try {
  await onStage(folder, stopping.signal, act);
} catch (error) {
  if (stopping.signal.aborted) console.error("\nStopped.");
  else console.error(`\n${error instanceof Error ? error.message : error}`);
  process.exitCode = stopping.exitCode() || 1;
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

function readOptions() {
  try {
    return parseArgs({ options: { fleet: { type: "boolean", default: false } } }).values;
  } catch {
    console.error("Options: npm run demo, npm run demo -- --fleet");
    return process.exit(2);
  }
}
