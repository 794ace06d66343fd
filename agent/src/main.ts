import { constants } from "node:os";
import { runCli } from "./cli.ts";

const interrupt = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    process.exitCode = 128 + constants.signals[name];
    // A second signal ends the process even if something still holds it.
    if (interrupt.signal.aborted) process.exit();
    process.stderr.write(`${new Date().toISOString()} ${name}: stopping; the task stays open\n`);
    interrupt.abort();
  });
}

try {
  const code = await runCli(
    process.argv.slice(2),
    process.env,
    {
      stdout: (text) => process.stdout.write(text),
      stderr: (text) => process.stderr.write(text),
    },
    interrupt.signal,
  );
  process.exitCode ??= code;
} catch (error) {
  if (!interrupt.signal.aborted) throw error;
}
