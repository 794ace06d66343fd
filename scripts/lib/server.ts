import { mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { createFirstAdmin } from "./first-admin.ts";
import { runWrangler, spawnWrangler } from "./project.ts";
import { ensureSecrets, type Secrets } from "./secrets.ts";
import { lockState, type StateLock } from "./state-lock.ts";

/** From a cold start on a slow machine; what takes longer is broken. */
const READY_TIMEOUT_MS = 120_000;

export interface ServerOptions {
  port: number;
  /** Address to listen on. */
  ip: string;
  /** Folder of the embedded database and objects. */
  state: string;
  /** File with the secrets; made when it is missing. */
  secretsFile: string;
  /** Receives what the server prints, piece by piece. */
  onOutput: (text: string) => void;
}

export interface RunningServer {
  url: string;
  secrets: Secrets;
  /** Resolves when the server has ended, by itself or by `stop`. */
  ended: Promise<void>;
  /** Stops the server and all its processes. May be called more than once. */
  stop(): Promise<void>;
}

/**
 * Starts the whole stack on this machine, offline: secrets, migrations, first admin, then the Worker
 * in workerd. Resolves when `/health` answers 200.
 */
export async function startServer(
  options: ServerOptions,
  abort: AbortSignal,
): Promise<RunningServer> {
  const lock = lockState(options.state);
  try {
    await assertPortIsFree(options.port, options.ip);
    const secrets = ensureSecrets(options.secretsFile);
    const { adminEmail: email, adminPassword: password } = secrets;
    await prepareDatabase(options.state);
    await createFirstAdmin({ remote: false, state: options.state }, { email, password });
    abort.throwIfAborted();
    return await serve(options, secrets, lock, abort);
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function prepareDatabase(state: string): Promise<void> {
  mkdirSync(state, { recursive: true });
  const args = ["d1", "migrations", "apply", "DB", "--local", "--persist-to", state];
  await runWrangler(args, { offline: true });
}

async function serve(
  options: ServerOptions,
  secrets: Secrets,
  lock: StateLock,
  abort: AbortSignal,
): Promise<RunningServer> {
  const { port, ip, state, secretsFile, onOutput } = options;
  const args = ["dev", "--local", "--ip", ip, "--port", String(port), "--persist-to", state];
  const child = spawnWrangler(
    [
      ...args,
      "--env-file",
      secretsFile,
      "--inspector-port",
      "0",
      "--show-interactive-dev-session=false",
      "--var",
      "ENVIRONMENT:development",
    ],
    { offline: true },
  );
  let output = "";
  child.onOutput((text) => {
    output = (output + text).slice(-20_000);
    onOutput(text);
  });
  // Killed without warning, the server lives a moment longer than this process.
  if (child.pid !== undefined) lock.alsoHeldBy(child.pid);
  const ended = child.exitCode.then(() => lock.release());

  const url = `http://${ip.includes(":") ? `[${ip}]` : ip === "0.0.0.0" ? "127.0.0.1" : ip}:${port}`;
  const deadline = Date.now() + READY_TIMEOUT_MS;
  try {
    while (!(await isHealthy(url))) {
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
  const stop = async () => {
    await child.stop();
    await ended;
  };
  return { url, secrets, ended, stop };
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

function assertPortIsFree(port: number, ip: string): Promise<void> {
  const probe = createServer();
  return new Promise((resolve, reject) => {
    probe.once("error", (error) =>
      reject(new Error(`Port ${port} cannot be used (${error.message}). Set PORT to another one.`)),
    );
    probe.listen(port, ip, () => probe.close(() => resolve()));
  });
}
