/**
 * Which job an idle runner takes: pure decisions from facts of D1 and the time (docs/runners.md, "Order of jobs").
 *
 * - The customer whose jobs hold the fewest runners comes first; within it, the oldest job.
 * - A gang job, which has a cluster step, takes all its runners at once or none. While it is first, runners that
 *   become free are held for it.
 * - Nothing is held that more runners than are online would have to wait for.
 */

/** A reserved gang meets within this time, or its reservation is void. */
export const MEET_MS = 2 * 60_000;
/** A gang job whose reservation was void is behind all other jobs for this long. */
export const BEHIND_AFTER_MEETING_MS = 2 * 60_000;
/** A gang job holds free runners for this long at most. */
export const HOLD_MS = 10 * 60_000;
/** A gang job that has held runners in vain is behind all other jobs for this long. */
export const BEHIND_AFTER_HOLDING_MS = 10 * 60_000;

/** A job that expects nodes. */
export interface OpenJob {
  id: number;
  customerId: number;
  spec: string;
  createdAt: number;
  /** Nodes that it still expects. */
  wants: number;
  /** Its nodes have not met yet: it takes runners all at once. */
  isGang: boolean;
  /** Time of its latest reservation, ms. */
  reservedAt: number | null;
  /** Time since which it holds runners, ms. */
  heldSince: number | null;
}

/** The latest times at which gang jobs of a customer reserved or held runners in vain; the jobs may have ended. */
export type Tries = Pick<OpenJob, "customerId" | "reservedAt" | "heldSince">;

/** Runners of a spec that are in contact. */
export interface Pool {
  /** Without a job. */
  idle: number;
  /** With or without a job. */
  online: number;
}

/** The facts that a claim is decided by: read together, and at most a few seconds old. */
export interface Facts {
  jobs: readonly OpenJob[];
  /** For each spec and customer with gang jobs. */
  tries: readonly Tries[];
  /** Number of runners that each customer's jobs hold. */
  held: Map<number, number>;
  /** By spec; those with gang jobs alone. */
  pools: Map<string, Pool>;
}

export type Choice =
  /** Take one place. */
  | { kind: "join"; job: OpenJob }
  /** Reserve all runners that the job wants. */
  | { kind: "gather"; job: OpenJob }
  /** Take nothing: the runner is held for the job. `isNew`: the job's time of holding begins now. */
  | { kind: "hold"; job: OpenJob; isNew: boolean };

/** @param isOut the runner has been refused by the job, or has ended its part of it */
export function chooseJob(
  { jobs, tries, held, pools }: Facts,
  now: number,
  isOut: (job: OpenJob) => boolean,
): Choice | null {
  const gangs = jobs.filter((job) => job.isGang);
  // A customer must not hold runners with one gang job after the other, nor with one that is made again.
  const behind = [...gangs, ...tries].filter((each) => isBehind(each, now));
  const late = new Set(behind.map(({ customerId }) => customerId));
  const isLate = (job: OpenJob) => job.isGang && late.has(job.customerId);
  const turn = (job: OpenJob) => (isLate(job) ? 2 : isHolding(job, now) ? 0 : 1);
  const order = (a: OpenJob, b: OpenJob) =>
    turn(a) - turn(b) ||
    (turn(a) === 0 ? (a.heldSince ?? 0) - (b.heldSince ?? 0) : 0) ||
    (held.get(a.customerId) ?? 0) - (held.get(b.customerId) ?? 0) ||
    queuedAt(a) - queuedAt(b) ||
    a.id - b.id;
  for (const job of jobs.filter((each) => !isOut(each)).sort(order)) {
    if (!job.isGang) return { kind: "join", job };
    const { idle, online } = pools.get(job.spec) ?? { idle: 0, online: 0 };
    if (isMeeting(job, now) || online < job.wants) continue;
    if (idle >= job.wants) return { kind: "gather", job };
    if (!isLate(job)) return { kind: "hold", job, isNew: !isHolding(job, now) };
  }
  return null;
}

/** The job's runners are reserved and meet. */
export function isMeeting({ reservedAt }: Tries, now: number): boolean {
  return reservedAt !== null && now < reservedAt + MEET_MS;
}

/** A gang job that has tried in vain queues anew, so that it does not keep its customer's other jobs back. */
function queuedAt({ createdAt, reservedAt, heldSince }: OpenJob): number {
  return Math.max(createdAt, reservedAt ?? 0, heldSince ?? 0);
}

function isHolding({ heldSince }: Tries, now: number): boolean {
  return heldSince !== null && now < heldSince + HOLD_MS;
}

function isBehind(tries: Tries, now: number): boolean {
  const { reservedAt, heldSince } = tries;
  const isVoid = reservedAt !== null && !isMeeting(tries, now);
  if (isVoid && now < reservedAt + MEET_MS + BEHIND_AFTER_MEETING_MS) return true;
  const hasHeld = heldSince !== null && !isHolding(tries, now);
  return hasHeld && now < heldSince + HOLD_MS + BEHIND_AFTER_HOLDING_MS;
}
