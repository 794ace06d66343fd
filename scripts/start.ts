/**
 * `npm start`: the whole API on this machine. Settings: PORT, HOST, PUBLIC_ORIGIN, ASSAY_STATE, ASSAY_SECRETS, and
 * LOG=requests for a line of each request. With `-- --rate-replays`
 * recordings are rated, too, and marked as REPLAYED.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { readOrigin } from "../src/lib/config.ts";
import { ROOT } from "./lib/project.ts";
import { startServer } from "./lib/server.ts";
import { withoutRequests } from "./lib/server-output.ts";
import { stopSignal } from "./lib/stop-signal.ts";

const USAGE = "The only option is --rate-replays: npm start -- --rate-replays";
const rateReplays = readOptions();
const port = Number(process.env.PORT ?? 8787);
if (!Number.isInteger(port) || port < 1 || port > 65_535) {
  console.error("PORT must be a number between 1 and 65535.");
  process.exit(2);
}
const { PUBLIC_ORIGIN: publicOrigin = "" } = process.env;
if (publicOrigin !== "" && readOrigin(publicOrigin) === null) {
  console.error("PUBLIC_ORIGIN must be an origin without a path, such as https://assay.example.");
  process.exit(2);
}
const state = resolve(ROOT, process.env.ASSAY_STATE ?? ".wrangler/state");
const secretsFile = resolve(ROOT, process.env.ASSAY_SECRETS ?? ".dev.vars");

const CRON_MS = 60_000;

function readOptions(): boolean {
  try {
    const options = { "rate-replays": { type: "boolean", default: false } } as const;
    return parseArgs({ options }).values["rate-replays"];
  } catch {
    console.error(USAGE);
    return process.exit(2);
  }
}

/** Whether a URL's host is this machine for whoever uses it. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d+){3}$/.test(host);
}

const stopping = stopSignal();
const print = (text: string): void => void process.stdout.write(text);

try {
  console.log("Starting …");
  const server = await startServer(
    {
      port,
      ip: process.env.HOST ?? "127.0.0.1",
      publicOrigin,
      state,
      secretsFile,
      rateReplays,
      onOutput: process.env.LOG === "requests" ? print : withoutRequests(print),
    },
    stopping.signal,
  );
  const { publicOrigin: named, url } = server;
  const links = named
    ? `\n  Links        ${named}`
    : "\n  Links        none for other machines; set PUBLIC_ORIGIN to the address at which they reach this one";
  const isForOthers = !named || !isLoopback(new URL(named).hostname);
  const machines = isForOthers
    ? ""
    : "\n  Machines     only this one; HOST=0.0.0.0 and PUBLIC_ORIGIN let others join (docs/operations.md)";
  const replays = rateReplays
    ? "\n  Recordings   rated, and marked as REPLAYED: only for demos and tests"
    : "";
  console.log(`
Assay is ready.
  API          ${server.url}
  Docs         ${server.url}/docs
  Credentials  ADMIN_EMAIL and ADMIN_PASSWORD in ${secretsFile}
  State        ${state}${named === url ? "" : links}${machines}${replays}
Stop it with Ctrl-C.
`);
  // On an account the platform calls cron; here nobody else does. A tick left out is made up for by the next.
  const tick = () => server.runCron().catch(() => {});
  const cron = setInterval(tick, CRON_MS);
  server.ended.finally(() => clearInterval(cron));
  const stop = () => server.stop();
  if (stopping.signal.aborted) await stop();
  stopping.signal.addEventListener("abort", stop);
  await server.ended;
  if (!stopping.signal.aborted) {
    console.error("The server ended unexpectedly; see above.");
    process.exitCode = 1;
  }
} catch (error) {
  if (!stopping.signal.aborted) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
