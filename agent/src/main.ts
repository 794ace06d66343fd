import { constants } from "node:os";
import { runCli } from "./cli.ts";

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
    {
      stdout: (text) => process.stdout.write(text),
      stderr: (text) => process.stderr.write(text),
    },
    stop.signal,
  );
} catch (error) {
  if (!stop.signal.aborted) throw error;
  process.exitCode = interrupted;
}
