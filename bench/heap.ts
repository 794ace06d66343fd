/** Peak memory of work in the product's isolate, as the inspector and the system see it. */
import { readFileSync, writeFileSync } from "node:fs";
import { cpuMs } from "./cpu.ts";
import type { Session } from "./inspector.ts";

const SAMPLE_MS = 5;
const MIB = 1_024 * 1_024;

export interface Peak {
  /** Above the idle isolate, MiB: V8's heap, the embedder's, and buffers. */
  heapMib: number;
  /** The part of `heapMib` that is buffers: V8 collects them late. */
  bufferMib: number;
  /** Of the whole process, which simulates D1, R2 and objects too, MiB; null where the system does not say. */
  rssMib: number | null;
  /** Of the whole process; null where the system does not say. */
  cpuMs: number | null;
  wallMs: number;
  /** Times that the heap was read. */
  samples: number;
}

interface HeapUsage {
  usedSize: number;
  embedderHeapUsedSize: number;
  backingStorageSize: number;
}

/** Runs the work while the heap is read every 5 ms. Garbage that nobody has collected yet counts. */
export async function peakOf(
  session: Session,
  pid: number | undefined,
  work: () => Promise<unknown>,
): Promise<Peak> {
  const read = async () => {
    const usage = await session.call<HeapUsage>("Runtime.getHeapUsage");
    const buffers = usage.backingStorageSize;
    return { buffers, all: usage.usedSize + usage.embedderHeapUsedSize + buffers };
  };
  await session.call("HeapProfiler.enable");
  for (let time = 0; time < 2; time++) await session.call("HeapProfiler.collectGarbage");
  const idle = await read();
  const began = performance.now();
  let [peak, samples, isOver] = [idle, 0, false];
  const sample = async () => {
    const used = await read();
    if (used.all > peak.all) peak = used;
    samples++;
  };
  const watch = async () => {
    while (!isOver) {
      await sample();
      await new Promise((done) => setTimeout(done, SAMPLE_MS));
    }
    // What work leaves behind is seen even when the isolate did not answer in the middle of it.
    await sample();
  };
  if (pid !== undefined) writeFileSync(`/proc/${pid}/clear_refs`, "5"); // forgets the peak
  const cpu = pid === undefined ? 0 : cpuMs(pid);
  const watching = watch();
  try {
    await work();
  } finally {
    isOver = true;
    await watching;
  }
  return {
    heapMib: (peak.all - idle.all) / MIB,
    bufferMib: (peak.buffers - idle.buffers) / MIB,
    rssMib: pid === undefined ? null : peakRssMib(pid),
    cpuMs: pid === undefined ? null : cpuMs(pid) - cpu,
    wallMs: performance.now() - began,
    samples,
  };
}

function peakRssMib(pid: number): number | null {
  const kib = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return kib === undefined ? null : Number(kib) / 1_024;
}
