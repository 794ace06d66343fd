import { createHash } from "node:crypto";
import type { Live } from "./life/model.ts";
import { toNodeRecord } from "./projection/projection.ts";
import type { Leases } from "./storage/leases.ts";
import type { Watched } from "./wire/protocol.ts";

/** Callers that wait for one job at a time. */
const MAX_WAITING = 100;
/** No caller waits longer: waiting keeps the object awake. */
const MAX_WAIT_MS = 30_000;

/** A mark of what readers see change: the job's version, and the progress of its nodes by rank. */
export function markOf(
  version: number,
  nodes: readonly { progress: number; message: string | null }[],
): string {
  const seen = [version, nodes.map(({ progress, message }) => [progress, message])];
  return createHash("sha256").update(JSON.stringify(seen)).digest("base64url").slice(0, 22);
}

/** @param events number of events that the caller has */
export function watchedOf({ identity, job }: Live, leases: Leases, events: number): Watched {
  const nodes = job.nodes.map((node) => {
    const { rank } = node;
    const task = toNodeRecord(identity, node, leases.of(rank), job.version);
    return { rank, progress: task.progress, message: task.message };
  });
  const { state, endedAt } = job;
  const mark = markOf(job.version, nodes);
  return { ok: true, mark, state, endedAt, events: job.events.slice(events), nodes };
}

/** Callers that wait for a change of the job, in memory alone: the object stays awake for them. */
export class Watchers {
  readonly #waiting = new Set<{ mark: string; tell: () => void }>();

  /** Tells the callers that have another mark. Free while none waits. */
  wake(markNow: () => string): void {
    if (this.#waiting.size === 0) return;
    const mark = markNow();
    for (const caller of this.#waiting) if (caller.mark !== mark) caller.tell();
  }

  /** Waits until the mark is another one, or the time is over; answers false when too many wait already. */
  async wait(mark: string, waitMs: number): Promise<boolean> {
    if (this.#waiting.size >= MAX_WAITING) return false;
    await new Promise<void>((resolve) => {
      const tell = () => {
        clearTimeout(timer);
        this.#waiting.delete(caller);
        resolve();
      };
      const caller = { mark, tell };
      const timer = setTimeout(tell, Math.min(waitMs, MAX_WAIT_MS));
      this.#waiting.add(caller);
    });
    return true;
  }
}
