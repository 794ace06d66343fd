/**
 * A runner inside workerd may fall silent: its last message is waited for by a request that is gone, and
 * Vitest would wait for it without end. A file whose tests have all been reported is ended all the same; a
 * runner that falls silent before that fails its file.
 */
import type { PoolRunnerInitializer, PoolWorker, Vite } from "vitest/node";
import { patient } from "./patience.ts";

/** In ms: from the last report of a file to its end, and the longest silence of a file that still runs. */
export const SILENCE_MS = { ended: patient(20_000), running: patient(600_000) };

/** The update that a runner sends when a suite has ended. A file is a suite whose id names no parent. */
function endsFile(message: { m?: unknown; a?: unknown[] }): boolean {
  if (message?.m !== "onTaskUpdate" || !Array.isArray(message.a?.[1])) return false;
  return message.a[1].some(
    ([id, event]: [string, string]) => event === "suite-finished" && !id.includes("_"),
  );
}

/** A worker of the pool that cannot be waited for without end. */
export function watched(worker: PoolWorker, silence = SILENCE_MS): PoolWorker {
  const { on, send, stop } = worker;
  const listeners = new Map<string, (value: unknown) => void>();
  let timer: NodeJS.Timeout | undefined;
  let given = false;
  const answer = (type: string) =>
    listeners.get("message")?.({ __vitest_worker_response__: true, type });
  const wait = (ms: number, then: () => void) => {
    clearTimeout(timer);
    timer = setTimeout(then, ms);
  };
  const giveUp = () => {
    given = true;
    answer("testfileFinished");
  };
  const fail = () => {
    given = true;
    const seconds = silence.running / 1_000;
    listeners.get("error")?.(new Error(`nothing heard of the tests for ${seconds} s`));
  };
  return Object.assign(worker, {
    on(event: string, listener: (...values: unknown[]) => void) {
      listeners.set(event, listener);
      if (event !== "message") return on.call(worker, event, listener);
      on.call(worker, event, (message) => {
        if (given) return;
        if (message?.__vitest_worker_response__) clearTimeout(timer);
        else if (endsFile(message)) wait(silence.ended, giveUp);
        else wait(silence.running, fail);
        listener(message);
      });
    },
    send(message: Parameters<PoolWorker["send"]>[0]) {
      // A runner that has fallen silent would not answer.
      if (given && message.type === "stop") return void setImmediate(answer, "stopped");
      if (message.type === "stop") wait(silence.ended, () => answer("stopped"));
      send.call(worker, message);
    },
    async stop() {
      clearTimeout(timer);
      await stop.call(worker);
    },
  });
}

/** Comes after `cloudflareTest`, whose pool it watches. */
export function watchRunners(): Vite.Plugin {
  return {
    name: "quiet-runners",
    configureVitest({ project }) {
      const { poolRunner } = project.config;
      if (poolRunner === undefined) throw new Error("there is no pool to watch");
      const createPoolWorker: PoolRunnerInitializer["createPoolWorker"] = (options) =>
        watched(poolRunner.createPoolWorker(options));
      project.config.poolRunner = { ...poolRunner, createPoolWorker };
    },
  };
}
