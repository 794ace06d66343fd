import type { Accepted, Ended, Refused, Unavailable } from "./api-client.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import { backoffMs } from "./retry.ts";

/** Progress is sent at most this often. */
const MIN_GAP_MS = 2_000;
/** Contact is kept at least this often; the server takes a node for lost after 150 s. */
const MAX_GAP_MS = 30_000;
const MIN_CHANGE = 0.01;

export interface Progress {
  /** 0 to 1. */
  progress: number;
  message: string;
}

/** Called by a running step; cheap, keeps only the latest value. */
export type Report = (progress: number, message: string) => void;

export interface Pace {
  /** False for a moment after the latest message. */
  isReady: boolean;
  /** What the server knows already is sent again, to keep contact. */
  repeats: boolean;
}

const ALWAYS: Pace = { isReady: true, repeats: true };

/**
 * Tells the server about a step until `signal` aborts, then resolves. One request at a time; a failed
 * one never touches the step, its next try is the next heartbeat.
 *
 * @returns "ended" when the server says the job is over
 */
export async function keepInContact(options: {
  latest: () => Progress;
  send: (progress: Progress) => Promise<Accepted | Ended | Refused | Unavailable>;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  pace?: () => Pace;
}): Promise<"ended" | "aborted"> {
  const { latest, send, clock, log, signal, pace = () => ALWAYS } = options;
  const never = Number.NEGATIVE_INFINITY;
  let sent = { progress: never, message: "", at: never };
  let failures = 0;
  try {
    while (true) {
      let waitMs = MIN_GAP_MS;
      const current = latest();
      // The tiny tolerance keeps steps of exactly 0.01 from being lost to rounding.
      const moved = Math.abs(current.progress - sent.progress) >= MIN_CHANGE - 1e-9;
      const { isReady, repeats } = pace();
      const isNews = current.progress !== sent.progress || current.message !== sent.message;
      const isOld = clock.elapsed() - sent.at >= MAX_GAP_MS;
      if (isReady && (moved || (isOld && (isNews || repeats)))) {
        const reply = await send(current);
        if (reply.kind === "ended") return "ended";
        if (reply.kind === "accepted") {
          sent = { ...current, at: clock.elapsed() };
          failures = 0;
        } else {
          failures += 1;
          if (failures === 1) log(`heartbeat failed (${reply.message}); the step continues`);
          const retryAfterMs = reply.kind === "unavailable" ? reply.retryAfterMs : MAX_GAP_MS;
          waitMs = Math.max(MIN_GAP_MS, backoffMs(failures, clock.random(), retryAfterMs));
        }
      }
      await clock.sleep(waitMs, signal);
    }
  } catch (error) {
    if (signal.aborted) return "aborted";
    throw error;
  }
}
