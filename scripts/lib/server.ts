import { createServer } from "node:net";
import { createFirstAdmin } from "./first-admin.ts";
import { type Front, startFront } from "./front.ts";
import { prepareDatabase } from "./migrations.ts";
import { spawnWrangler } from "./project.ts";
import { ensureSecrets, type Secrets } from "./secrets.ts";
import { lockState, type StateLock } from "./state-lock.ts";

/** From a cold start on a slow machine; what takes longer is broken. */
const READY_TIMEOUT_MS = 120_000;

export interface ServerOptions {
  port: number;
  /** Address to listen on. */
  ip: string;
  /**
   * Origin that links name, such as `https://assay.example`. By default that of `ip` and `port`; none where `ip` means every
   * address of this machine, since nobody can tell by which of them others reach it.
   */
  publicOrigin?: string | undefined;
  /** Folder of the embedded database and objects. */
  state: string;
  /** File with the secrets; made when it is missing. */
  secretsFile: string;
  /** Rates recordings, and marks them as REPLAYED. */
  rateReplays?: boolean;
  /** Receives what the server prints, piece by piece. */
  onOutput: (text: string) => void;
}

export interface RunningServer {
  url: string;
  /** Origin that links name; empty without one. */
  publicOrigin: string;
  /** Where workerd listens: on this machine alone, behind the front. */
  innerUrl: string;
  secrets: Secrets;
  /** Resolves when the server has ended, by itself or by `stop`. */
  ended: Promise<void>;
  /** Runs cron once, as the platform does every minute. */
  runCron(): Promise<void>;
  /** Stops the server and all its processes. May be called more than once. */
  stop(): Promise<void>;
}

/** Addresses that mean all of a machine's own. */
const ANY_ADDRESS = new Set(["0.0.0.0", "::"]);

/**
 * Starts the whole stack on this machine, offline: the front, secrets, migrations, first admin, then the Worker in workerd
 * behind the front. Resolves when `/health` answers 200.
 */
export async function startServer(
  options: ServerOptions,
  abort: AbortSignal,
): Promise<RunningServer> {
  const lock = lockState(options.state);
  try {
    const innerPort = await findFreePort();
    const front = await listen(options, innerPort);
    try {
      const secrets = ensureSecrets(options.secretsFile);
      const { adminEmail: email, adminPassword: password } = secrets;
      await prepareDatabase(options.state);
      await createFirstAdmin({ remote: false, state: options.state }, { email, password });
      abort.throwIfAborted();
      return await serve(options, { secrets, lock, front, innerPort }, abort);
    } catch (error) {
      await front.close();
      throw error;
    }
  } catch (error) {
    lock.release();
    throw error;
  }
}

interface Parts {
  secrets: Secrets;
  lock: StateLock;
  front: Front;
  innerPort: number;
}

async function serve(
  options: ServerOptions,
  { secrets, lock, front, innerPort }: Parts,
  abort: AbortSignal,
): Promise<RunningServer> {
  const { port, ip, onOutput } = options;
  const own = ANY_ADDRESS.has(ip) ? "" : `http://${bracketed(ip)}:${port}`;
  const publicOrigin = options.publicOrigin || own;
  const child = spawnWrangler(devArguments(options, innerPort, publicOrigin), { offline: true });
  let output = "";
  let isReady = false;
  child.onOutput((text) => {
    output = (output + text).slice(-20_000);
    // Wrangler begins with its own address and how to call cron there, which only concern this process.
    if (isReady) onOutput(text);
  });
  // Killed without warning, the server lives a moment longer than this process.
  if (child.pid !== undefined) lock.alsoHeldBy(child.pid);
  const ended = child.exitCode.then(async () => {
    await front.close();
    lock.release();
  });

  const innerUrl = `http://127.0.0.1:${innerPort}`;
  const deadline = Date.now() + READY_TIMEOUT_MS;
  try {
    while (!(await isHealthy(innerUrl))) {
      abort.throwIfAborted();
      if (child.hasEnded() || Date.now() > deadline) {
        throw new Error(`The server did not become ready:\n${output}`);
      }
      await new Promise((done) => setTimeout(done, 100));
    }
  } catch (error) {
    await child.stop();
    throw error;
  }
  isReady = true;
  const reached = ip === "0.0.0.0" ? "127.0.0.1" : ip === "::" ? "::1" : ip;
  return {
    url: `http://${bracketed(reached)}:${port}`,
    publicOrigin,
    innerUrl,
    secrets,
    ended,
    runCron: () => runCron(innerUrl),
    async stop() {
      await child.stop();
      await ended;
    },
  };
}

function devArguments(options: ServerOptions, innerPort: number, publicOrigin: string): string[] {
  const { state, secretsFile, rateReplays = false } = options;
  return [
    ...["dev", "--local", "--ip", "127.0.0.1", "--port", String(innerPort)],
    ...["--persist-to", state, "--env-file", secretsFile, "--inspector-port", "0"],
    "--show-interactive-dev-session=false",
    ...["--var", "ENVIRONMENT:development", "--var", `PUBLIC_ORIGIN:${publicOrigin}`],
    // Given either way, so that no file of secrets decides it.
    ...["--var", `RATE_REPLAYS:${rateReplays}`],
  ];
}

async function runCron(innerUrl: string): Promise<void> {
  const reply = await fetch(`${innerUrl}/cdn-cgi/handler/scheduled`);
  if (!reply.ok) throw new Error(`Cron answered ${reply.status}`);
}

function bracketed(ip: string): string {
  return ip.includes(":") ? `[${ip}]` : ip;
}

async function listen({ port, ip }: ServerOptions, innerPort: number): Promise<Front> {
  try {
    return await startFront({ host: ip, port, innerPort });
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new Error(`Port ${port} cannot be used (${reason}). Set PORT to another one.`);
  }
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(5_000) });
    return response.status === 200;
  } catch {
    return false;
  }
}

/** A port that nobody listens on now. */
export async function findFreePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once("error", reject).listen(0, "127.0.0.1", resolve);
  });
  const address = probe.address();
  await new Promise((done) => probe.close(done));
  if (address === null || typeof address === "string") throw new Error("No free port");
  return address.port;
}
