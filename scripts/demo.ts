/**
 * `npm run demo`: a job from start to end on this machine: the whole stack on a free port with temporary state, 4 nodes, 4
 * agents as processes of their own, the verdict and the report. Exits 0 only when the job has really completed.
 *
 * `-- --host`: HostMark measures this machine instead. `-- --fleet`: six runners claim three jobs.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { onStage } from "./lib/demo-stage.ts";
import { runFleet } from "./lib/fleet-demo.ts";
import { runHost } from "./lib/host-demo.ts";
import { runJob } from "./lib/job-demo.ts";
import { stopSignal } from "./lib/stop-signal.ts";

const { fleet, host } = readOptions();
const act = fleet ? runFleet : host ? runHost : runJob;
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
  const option = { type: "boolean", default: false } as const;
  try {
    return parseArgs({ options: { fleet: option, host: option } }).values;
  } catch {
    console.error("Options: npm run demo, npm run demo -- --host, npm run demo -- --fleet");
    return process.exit(2);
  }
}
