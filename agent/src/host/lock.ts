/**
 * One measurement at a time. Two that overlap would each measure half of the machine.
 *
 * The lock is a name in Linux's abstract socket space: the kernel frees it when its process ends, however that ends, while
 * the file of a killed process would lock for ever. It holds within one network namespace.
 */
import { createServer } from "node:net";
import type { Clock } from "../clock.ts";

const NAME = "assay-host-mark";
const RETRY_MS = 2_000;
/** Another measurement takes half a minute; two of them fit in. */
export const LOCK_WAIT_MS = 120_000;

export interface Lock {
  free(): void;
}

/** Null if others have held the lock for all of `waitMs`. Systems other than Linux have no lock: it succeeds at once. */
export async function takeLock(
  { elapsed, sleep }: Pick<Clock, "elapsed" | "sleep">,
  signal: AbortSignal,
  {
    onWait = () => {},
    waitMs = LOCK_WAIT_MS,
    name = NAME,
    platform = process.platform as string,
  }: { onWait?: () => void; waitMs?: number; name?: string; platform?: string } = {},
): Promise<Lock | null> {
  if (platform !== "linux") return { free() {} };
  const giveUpAt = elapsed() + waitMs;
  for (;;) {
    const lock = await tryLock(`\0${name}`);
    if (lock !== null) return lock;
    if (elapsed() >= giveUpAt) return null;
    onWait();
    await sleep(RETRY_MS, signal);
  }
}

/** @throws what is not about another holder */
function tryLock(path: string): Promise<Lock | null> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      error.code === "EADDRINUSE" ? resolve(null) : reject(error),
    );
    server.listen(path, () => {
      server.unref();
      resolve({ free: () => void server.close() });
    });
  });
}
