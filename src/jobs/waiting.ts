/** Waiting for a change of a job. */
import type { CallCoordinator } from "../coordinator/client.ts";
import { markOf } from "../coordinator/watchers.ts";
import type { Meter } from "../db/client.ts";
import { isAnonymous } from "../identity/anonymous.ts";
import { type Clock, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import type { WatchedRow } from "./store.ts";
import type { JobView } from "./wire.ts";

/** Before the first node joins, D1 alone knows what changes: it is read this often. */
export const READ_D1_MS = 5 * SECOND_MS;
/** As above, for the verdict and the report, which follow the end within seconds. */
const READ_VERDICT_MS = 2 * SECOND_MS;
/** Streams and waiting reads of one person at a time, in one isolate. */
const MAX_OPEN = 32;
/** No request waits longer than a stream lasts; those whose end was not heard are forgotten. */
const FORGET_MS = 16 * MINUTE_MS;

const open = new Map<string, Set<{ since: number }>>();

/** Counts a waiting request of a person; answers the function that ends it, or null when too many wait. */
export function beginWaiting(person: string, clock: Clock): (() => void) | null {
  const now = clock.now();
  const own = open.get(person) ?? new Set();
  for (const request of own) if (now - request.since > FORGET_MS) own.delete(request);
  if (own.size >= MAX_OPEN) return null;
  const request = { since: now };
  own.add(request);
  open.set(person, own);
  return () => {
    own.delete(request);
    if (own.size === 0) open.delete(person);
  };
}

export interface WaitingDeps {
  meter: Meter;
  watchCoordinator: CallCoordinator;
  /** D1's row now; null for a job that the caller no longer sees. */
  read: () => Promise<WatchedRow | null>;
  clock: Clock;
  sleep?: (ms: number) => Promise<void>;
}

export const sleepMs = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/**
 * Waits until a job differs from the view, for at most `waitMs`; answers false when it does not. A settled job
 * changes by its verdict and its report alone, and not at all once it has both.
 */
export async function waitForChange(
  { row, job, tasks }: Pick<JobView, "row" | "job" | "tasks">,
  waitMs: number,
  { meter, watchCoordinator, read, clock, sleep = sleepMs }: WaitingDeps,
): Promise<boolean> {
  if (row.coordinated && job.endedAt === null) {
    const seen = { mark: markOf(job.version, tasks), events: job.events.length };
    const reply = await watchCoordinator({ jobId: row.id, meter }, (coordinator) =>
      coordinator.watch(row.id, seen, waitMs),
    );
    return !reply.ok || reply.mark !== seen.mark;
  }
  const isSettled = job.endedAt !== null;
  if (isSettled && !awaitsVerdict(row)) return false;
  const everyMs = isSettled ? READ_VERDICT_MS : READ_D1_MS;
  const until = clock.now() + waitMs;
  for (let left = waitMs; left > 0; left = until - clock.now()) {
    await sleep(Math.min(everyMs, left));
    const now = await read();
    if (now === null || changesOf(now, isSettled) !== changesOf(row, isSettled)) return true;
  }
  return false;
}

/** A job that a node has joined gets a verdict and, made by a person, a report or the reason for none. */
function awaitsVerdict(row: JobView["row"]): boolean {
  const hasReport = isAnonymous(row) || row.reportHash !== null || row.reportError !== null;
  return row.coordinated && (row.ratedAt === null || !hasReport);
}

function changesOf(row: Omit<WatchedRow, "events">, isSettled: boolean): string {
  const { version, coordinated, ratedAt, reportHash, reportError } = row;
  return JSON.stringify(isSettled ? [ratedAt, reportHash, reportError] : [version, coordinated]);
}
