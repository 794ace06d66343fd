import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import {
  findFreePort,
  type RunningServer,
  type ServerOptions,
  startServer,
} from "../../scripts/lib/server.ts";

/** A place for a server: a free port, state and secrets of its own. */
export interface Stack {
  folder: string;
  options: ServerOptions;
  /** Starts the server here; again after it was stopped. */
  start(): Promise<RunningServer>;
}

/** @param whenOver takes the cleaning up: at the end of the test by default, or of several with `afterAll` */
export async function createStack(
  whenOver: (cleanUp: () => Promise<void>) => void = onTestFinished,
): Promise<Stack> {
  const folder = mkdtempSync(join(tmpdir(), "assay-e2e-"));
  const running: RunningServer[] = [];
  whenOver(async () => {
    for (const server of running) await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const options = {
    port: await findFreePort(),
    ip: "127.0.0.1",
    state: join(folder, "state"),
    secretsFile: join(folder, ".dev.vars"),
    onOutput: () => {},
  };
  return {
    folder,
    options,
    async start() {
      const server = await startServer(options, new AbortController().signal);
      running.push(server);
      return server;
    },
  };
}
