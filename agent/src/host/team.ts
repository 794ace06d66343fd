/** Threads that begin a piece of work at the same moment, and how fast they were together. */
import { Worker } from "node:worker_threads";
import type { Round, ThreadReport, ThreadStart } from "./thread.ts";

/** More threads would need more memory than they tell. */
export const MAX_THREADS = 512;
/** A round takes a fraction of a second: a thread that is silent for so long hangs. */
const SILENT_MS = 20_000;

export interface Team {
  /** Bytes a second of the first `threads` of the team together. */
  run(round: Round, threads?: number): Promise<number>;
  end(): Promise<void>;
}

/**
 * @param program the file of this agent: a thread runs it, too
 * @param start what each thread needs
 */
export async function createTeam(
  program: string,
  threads: number,
  start: Omit<ThreadStart, "gate">,
): Promise<Team> {
  const gate = new Int32Array(new SharedArrayBuffer(4));
  const workers = Array.from(
    { length: threads },
    () =>
      new Worker(program, {
        workerData: { ...start, gate } satisfies ThreadStart,
        resourceLimits: { maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 4 },
      }),
  );
  try {
    await Promise.all(workers.map((worker) => heardFrom(worker, "ready")));
  } catch (error) {
    await Promise.all(workers.map((worker) => worker.terminate()));
    throw error;
  }
  return {
    async run(round, count = threads) {
      const members = workers.slice(0, count);
      Atomics.store(gate, 0, 0);
      const waiting = members.map((worker) => heardFrom(worker, "waiting"));
      for (const worker of members) worker.postMessage(round);
      await Promise.all(waiting);
      const done = members.map((worker) => heardFrom(worker, "done"));
      Atomics.store(gate, 0, 1);
      Atomics.notify(gate, 0);
      return rateOf(await Promise.all(done));
    },
    async end() {
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

/** All bytes over the time from the first thread's start to the last one's end. */
function rateOf(reports: readonly ThreadReport[]): number {
  const bytes = reports.reduce((sum, each) => sum + each.bytes, 0);
  const from = Math.min(...reports.map(({ from }) => from));
  const to = Math.max(...reports.map(({ to }) => to));
  return bytes / ((to - from) / 1_000);
}

function heardFrom(worker: Worker, state: ThreadReport["state"]): Promise<ThreadReport> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      worker.off("message", hear);
      worker.off("error", fail);
      worker.off("exit", leave);
    };
    const hear = (report: ThreadReport) => {
      if (report.state !== state) return;
      stop();
      resolve(report);
    };
    const fail = (error: unknown) => {
      stop();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const leave = (code: number) => fail(new Error(`a thread ended with code ${code}`));
    const timer = setTimeout(() => fail(new Error("a thread hangs")), SILENT_MS);
    worker.on("message", hear);
    worker.on("error", fail);
    worker.on("exit", leave);
  });
}
