import { constants } from "node:os";
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { runCli } from "./cli.ts";
import { EXIT, endLine, interruption, wantsJson } from "./ending.ts";
import { parseProbeOptions } from "./gpu/messages.ts";
import { createOutput } from "./output.ts";

/** For a reader to take what was written; and for a name to be resolved that nobody waits for any more. */
const LAST_WRITES_MS = 3_000;

/** What the agent is built for. An older one may fail anywhere; the oldest do not read this file at all. */
const OLDEST_NODE = 20;
if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
  const how = "curl -fsSL HOST/agent | sh -s -- … finds or fetches one";
  process.stderr.write(
    `assay agent: this is Node ${process.versions.node}, but it needs Node ${OLDEST_NODE} or newer: ${how}\n`,
  );
  process.exit(EXIT.usage);
}

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

const terminal = { stdout: createOutput(process.stdout), stderr: createOutput(process.stderr) };
const argv = process.argv.slice(2);
const stop = new AbortController();
let interrupted: number = 0;
let isOver = false;
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    interrupted = 128 + constants.signals[name];
    if (stop.signal.aborted) {
      // A second signal ends the process, whatever still holds it.
      const ending = { ...interruption(stop.signal), exitCode: interrupted };
      if (!isOver && wantsJson(argv)) terminal.stdout(endLine(ending));
      process.exit(interrupted);
    }
    stop.abort(name);
  });
}

try {
  const isVerify = argv[0] === "verify";
  const run = isVerify ? (await import("./verify.ts")).runVerify : runCli;
  process.exitCode = await run(isVerify ? argv.slice(1) : argv, process.env, terminal, stop.signal);
} catch (error) {
  if (!stop.signal.aborted) throw error;
  process.exitCode = interrupted;
} finally {
  isOver = true;
}
// The reader of the output may have stopped reading without closing it.
setTimeout(() => process.exit(), LAST_WRITES_MS).unref();
