/** `npm start`: the whole API on this machine. Settings: PORT, HOST, ASSAY_STATE. */
import { resolve } from "node:path";
import { ROOT } from "./lib/project.ts";
import { startServer } from "./lib/server.ts";
import { stopSignal } from "./lib/stop-signal.ts";

const port = Number(process.env.PORT ?? 8787);
if (!Number.isInteger(port) || port < 1 || port > 65_535) {
  console.error("PORT must be a number between 1 and 65535.");
  process.exit(2);
}
const state = resolve(ROOT, process.env.ASSAY_STATE ?? ".wrangler/state");
const secretsFile = resolve(ROOT, ".dev.vars");

const CRON_MS = 60_000;

const stopping = stopSignal();

try {
  console.log("Starting …");
  const server = await startServer(
    {
      port,
      ip: process.env.HOST ?? "127.0.0.1",
      state,
      secretsFile,
      onOutput: (text) => process.stdout.write(text),
    },
    stopping.signal,
  );
  console.log(`
Assay is ready.
  API          ${server.url}
  Docs         ${server.url}/docs
  Credentials  ADMIN_EMAIL and ADMIN_PASSWORD in ${secretsFile}
  State        ${state}
Stop it with Ctrl-C.
`);
  // On an account the platform calls cron; here nobody else does. A tick left out is made up for by the next.
  const tick = () => fetch(`${server.url}/cdn-cgi/handler/scheduled`).catch(() => {});
  const cron = setInterval(tick, CRON_MS);
  server.ended.finally(() => clearInterval(cron));
  const stop = () => server.stop();
  if (stopping.signal.aborted) await stop();
  stopping.signal.addEventListener("abort", stop);
  await server.ended;
  if (!stopping.signal.aborted) {
    console.error("The server ended by itself; see above.");
    process.exitCode = 1;
  }
} catch (error) {
  if (!stopping.signal.aborted) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
