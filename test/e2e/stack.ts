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

/** A place for a server of one test: a free port, state and secrets of its own, gone when it finishes. */
export interface Stack {
  folder: string;
  options: ServerOptions;
  /** Starts the server here; again after it was stopped. */
  start(): Promise<RunningServer>;
}

export async function createStack(): Promise<Stack> {
  const folder = mkdtempSync(join(tmpdir(), "assay-e2e-"));
  const running: RunningServer[] = [];
  onTestFinished(async () => {
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
