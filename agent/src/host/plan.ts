/** How much of the machine is used for how long. Pure. */
import { MAX_THREADS } from "./team.ts";
import { LOOP_BYTES } from "./wasm.ts";

const MIB = 2 ** 20;

/** SHA-256, one thread and all of them in turns. */
export const CPU = { roundMs: 400, window: 5, tolerance: 0.05, maxMs: 6_500 };
export const MEMORY = { roundMs: 100, window: 8, tolerance: 0.05, maxMs: 2_500 };
/** The machine is looked at for so long before anything runs. */
export const LOOK_MS = 500;
/** Busier machines give figures of what the others leave. */
export const BUSY_SHARE = 0.1;

/** Of what is free, for threads and for arrays each. */
const MEMORY_SHARE = 0.125;

/** STREAM's rule: each array has four times the last-level caches together. */
const CACHES = 4;
const LEAST_ARRAY_BYTES = 128 * MIB;
const UNKNOWN_CACHE_BYTES = 64 * MIB;
const ARRAYS = 3;
/** For each thread, beyond the caches that it has for itself. */
const PART_BYTES = 8 * MIB;
/** Less than this for each thread measures the caches next to it. */
const LEAST_PART_BYTES = MIB;

/** What a thread takes for itself, at most. */
const THREAD_BYTES = 32 * MIB;

/**
 * Threads that keep what may be used busy: a part of a CPU needs one, too. `isShort` if memory is short of as many.
 *
 * @param machine `freeBytes`: what may still be used
 */
export function threadsFor(machine: { cpus: number; quota: number | null; freeBytes: number }): {
  threads: number;
  isShort: boolean;
} {
  const { cpus, quota, freeBytes } = machine;
  const wanted = Math.max(1, Math.min(MAX_THREADS, Math.ceil(Math.min(cpus, quota ?? cpus))));
  const most = Math.floor((freeBytes * MEMORY_SHARE) / THREAD_BYTES);
  return { threads: Math.max(1, Math.min(wanted, most)), isShort: most < wanted };
}

/**
 * The bytes of each of a thread's three arrays.
 *
 * @param machine `freeBytes`: what may still be used. `cacheBytes`: the last-level caches together
 */
export function arraysFor(
  threads: number,
  machine: { freeBytes: number; cacheBytes: number | null },
): { bytes: number; isCached: boolean } | null {
  const wanted = Math.max(
    LEAST_ARRAY_BYTES,
    threads * PART_BYTES,
    CACHES * (machine.cacheBytes ?? UNKNOWN_CACHE_BYTES),
  );
  const most = (machine.freeBytes * MEMORY_SHARE) / ARRAYS;
  const whole = Math.min(wanted, most);
  const bytes = Math.floor(whole / threads / LOOP_BYTES) * LOOP_BYTES;
  return bytes < LEAST_PART_BYTES ? null : { bytes, isCached: whole < wanted };
}
