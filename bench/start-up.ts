/** Cost of starting a Worker and answering its first request: CPU time of workerd itself. */
import { convertV4MiniflareOptions, Miniflare, NoOpLog } from "miniflare";
import { cpuMs, workerdProcesses } from "./cpu.ts";
import { median } from "./rounds.ts";

const TIMES = 7;

type WorkerOptions = Parameters<typeof convertV4MiniflareOptions>[0] extends infer Options
  ? Options extends { workers: (infer Worker)[] }
    ? Worker
    : never
  : never;

/** Milliseconds of CPU, median of several starts; null where the system does not say (only Linux does). */
export async function startUpCpuMs(worker: WorkerOptions): Promise<number | null> {
  const costs: number[] = [];
  for (let time = 0; time < TIMES; time++) {
    const before = new Set(workerdProcesses());
    const cost = await firstReply(worker, () => {
      const own = workerdProcesses().filter((pid) => !before.has(pid));
      return own.length === 0 ? null : own.reduce((sum, pid) => sum + cpuMs(pid), 0);
    });
    if (cost === null) return null;
    costs.push(cost);
  }
  return median(costs);
}

/** Starts a Worker and asks it once; `read` is given the text of the reply while the Worker runs. */
export async function firstReply<Read>(
  worker: WorkerOptions,
  read: (text: string) => Read,
): Promise<Read> {
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      workers: [worker],
      host: "127.0.0.1",
      cf: false,
      log: new NoOpLog(),
      handleStructuredLogs: () => {},
    }),
  );
  try {
    const response = await fetch(await miniflare.ready);
    return read(await response.text());
  } finally {
    await miniflare.dispose();
  }
}
