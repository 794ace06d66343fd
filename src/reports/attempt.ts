/**
 * Attempts at a job's reports. Drawing takes much of what an isolate has, so there is one attempt at a time, it ends
 * itself in time, and a job whose attempts do not end is given up.
 */
import { openBucket } from "../db/bucket.ts";
import { createMeter, openDatabase } from "../db/client.ts";
import { type Clock, MINUTE_MS, SECOND_MS, systemClock } from "../lib/clock.ts";
import { readConfig } from "../lib/config.ts";
import { logEvent } from "../lib/log.ts";
import { TimeoutError } from "../lib/platform-failure.ts";
import { countAttempt, discountAttempt, giveUp } from "./attempt-store.ts";
import { type MakeDeps, makeReports } from "./make.ts";

/** Attempts in a row that did not end, after which only a person's request begins another. */
export const MAX_ATTEMPTS = 3;
/** An attempt draws nothing more after this time; the last files and rows may take 40 seconds. */
export const ATTEMPT_MS = 20 * SECOND_MS;
/** By then, an attempt has ended, or was cut off with its request. */
export const LEASE_MS = MINUTE_MS;

export const REPORT_ERROR =
  "The report could not be made: three attempts took too long. POST /jobs/{job_id}/report tries again.";

/**
 * The end of this isolate's lease, ms; 0 while nobody has it. Nobody waits for it: a request that is cut off never
 * releases it.
 */
let leasedUntil = 0;

/**
 * `busy`: this isolate makes other reports, and nothing has begun. `none`: the job gets no reports. `given_up`: see
 * `MAX_ATTEMPTS`.
 */
export type Attempt = "made" | "busy" | "none" | "given_up";

export interface AttemptDeps extends Omit<MakeDeps, "goOn" | "now"> {
  clock: Clock;
}

/**
 * Makes a job's missing reports, unless this isolate makes others. Safe to repeat. Two round trips and those of
 * `makeReports`.
 *
 * @param isAsked true for a person's request, which begins whatever became of earlier attempts
 * @throws TimeoutError when the time is over; the next attempt continues after the last recorded report
 */
export async function attemptReports(
  deps: AttemptDeps,
  jobId: number,
  { isAsked = false }: { isAsked?: boolean } = {},
): Promise<Attempt> {
  const { db, clock } = deps;
  const now = clock.now();
  // A lease further ahead was taken by a clock that has been set back.
  if (now < leasedUntil && leasedUntil <= now + LEASE_MS) return "busy";
  const lease = now + LEASE_MS;
  leasedUntil = lease;
  try {
    const limit = isAsked ? null : MAX_ATTEMPTS;
    if (!(await countAttempt(db, jobId, limit))) return await explain(deps, jobId);
    return await carryOut(deps, jobId, now);
  } finally {
    if (leasedUntil === lease) leasedUntil = 0;
  }
}

async function explain({ db }: AttemptDeps, jobId: number): Promise<"none" | "given_up"> {
  const isGivenUp = await giveUp(db, jobId, { limit: MAX_ATTEMPTS, reportError: REPORT_ERROR });
  if (!isGivenUp) return "none";
  logEvent("error", "report_given_up", { job: jobId });
  return "given_up";
}

async function carryOut(deps: AttemptDeps, jobId: number, began: number): Promise<Attempt> {
  const { db, clock } = deps;
  let isLate = false;
  const goOn = () => {
    isLate ||= clock.now() - began >= ATTEMPT_MS;
    if (isLate) throw new TimeoutError(`Reports took over ${ATTEMPT_MS} ms`);
  };
  try {
    const drawn = await makeReports({ ...deps, now: began, goOn }, jobId);
    return drawn === null ? "none" : "made";
  } catch (error) {
    // A failure of the platform says nothing about the report.
    if (!isLate) await discountAttempt(db, jobId).catch(() => {});
    throw error;
  }
}

/** Makes the reports of a settled job once it has been rated (`coordinator/followups.ts`). */
export const stage = {
  async run({ jobId, env }: { jobId: number; env: Env }): Promise<"later" | undefined> {
    const meter = createMeter();
    const db = openDatabase(env.DB, meter);
    const bucket = openBucket(env.BUCKET, meter);
    const { rating: thresholds, reportSeeds: seeds } = readConfig(env);
    const deps = { db, bucket, thresholds, seeds, clock: systemClock };
    const attempt = await attemptReports(deps, jobId);
    return attempt === "busy" ? "later" : undefined;
  },
};
