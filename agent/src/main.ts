import { constants } from "node:os";
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { runCli } from "./cli.ts";
import { parseProbeOptions } from "./gpu/messages.ts";
import { createOutput } from "./output.ts";

/** For a reader to take what was written; and for a name to be resolved that nobody waits for any more. */
const LAST_WRITES_MS = 3_000;

// The measuring processes and their threads are this program, too, since the agent is one file. Signals end them at once.
if (!isMainThread && parentPort !== null) {
  const { runThread } = await import("./host/thread.ts");
  runThread(workerData, parentPort);
  await new Promise(() => {});
}
if (process.argv[2] === "--host-mark") {
  const { parseHostOptions, runHostMeasurement } = await import("./host/run.ts");
  await runHostMeasurement(parseHostOptions(process.argv[4]), process.argv[1] ?? "");
  process.exit();
}
if (process.argv[2] === "--probe") {
  const { runProbe } = await import("./gpu/probe.ts");
  runProbe(parseProbeOptions(process.argv[3]), process.env);
  process.exit();
}

const stop = new AbortController();
let interrupted: number = 0;
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    interrupted = 128 + constants.signals[name];
    // A second signal ends the process, whatever still holds it.
    if (stop.signal.aborted) process.exit(interrupted);
    stop.abort(name);
  });
}

try {
  process.exitCode = await runCli(
    process.argv.slice(2),
    process.env,
    { stdout: createOutput(process.stdout), stderr: createOutput(process.stderr) },
    stop.signal,
  );
} catch (error) {
  if (!stop.signal.aborted) throw error;
  process.exitCode = interrupted;
}
// The reader of the output may have stopped reading without closing it.
setTimeout(() => process.exit(), LAST_WRITES_MS).unref();
