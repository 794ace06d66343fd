/**
 * `npm run demo`: the main job from start to end on this machine: the whole stack on a free port with
 * temporary state, a 4-node job, 4 agents as processes of their own; then HostMark, which measures this
 * machine. Exits 0 only when both jobs have really completed. `npm run demo -- --fleet`: six runners that claim three jobs; exits 0 only when all
 * of them have been claimed and completed.
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

const { fleet } = parseArgs({ options: { fleet: { type: "boolean", default: false } } }).values;
const stopping = stopSignal();
const folder = mkdtempSync(join(tmpdir(), "assay-demo-"));
try {
  await onStage(
    folder,
    stopping.signal,
    fleet
      ? runFleet
      : async (stage) => {
          await runJob(stage);
          await runHost(stage);
        },
  );
} catch (error) {
  if (stopping.signal.aborted) console.error("\nStopped.");
  else console.error(`\n${error instanceof Error ? error.message : error}`);
  process.exitCode = stopping.exitCode() || 1;
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}
