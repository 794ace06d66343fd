/**
 * Runs a command for as long as whoever started this process lives: its end, however sudden, closes
 * this process's standard input, and then the whole process group goes. Without it, a killed `npm start`
 * would leave a server behind that still writes to its state.
 *
 * Usage, as the leader of a process group: node supervisor.mjs COMMAND [ARGUMENT …]
 */
import { spawn } from "node:child_process";

const GRACE_MS = 5_000;
const [command, ...args] = process.argv.slice(2);
const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"] });

let ending = false;
function end() {
  if (ending) return;
  ending = true;
  process.kill(-process.pid, "SIGTERM");
  setTimeout(() => process.kill(-process.pid, "SIGKILL"), GRACE_MS).unref();
}

// The group's signals reach the command too; this process outlives it, to tell how it ended.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, end);
process.stdin.on("end", end).on("error", end).resume();
// Asks the command alone to end, in its own time.
process.on("SIGUSR2", () => child.kill("SIGTERM"));
child.on("error", (error) => {
  console.error(error.message);
  process.exit(127);
});
child.on("close", (code) => {
  // Processes that the command has left behind end too.
  if (ending) process.kill(-process.pid, "SIGKILL");
  process.exit(code ?? 1);
});
