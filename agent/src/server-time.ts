/** The server's clock as seen from here: by the `Date` of its replies, against a clock that nobody sets. */
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";

/** A reply of the server; times by `Clock.elapsed`, ms. */
export interface TimedReply {
  sentAt: number;
  receivedAt: number;
  /** Its `Date` header, milliseconds since the epoch; null without one. */
  date: number | null;
}

export interface ServerTime {
  learn(reply: TimedReply): void;
  /** The server's clock at a moment of `Clock.elapsed`, milliseconds since the epoch; null before the first reply. */
  at(elapsed: number): number | null;
}

/** Of a slower reply nobody knows when the server wrote its time. */
const MAX_ROUND_TRIP_MS = 2_000;
/** `Date` has whole seconds, cut off: on average half a second is missing. */
const CUT_OFF_MS = 500;
const SAMPLES = 5;

/** The median of the last replies. A machine's own clock may be set at any time: that changes nothing here. */
export function createServerTime(): ServerTime {
  /** The server's clock minus `elapsed`, oldest first. */
  let offsets: number[] = [];
  return {
    learn({ sentAt, receivedAt, date }) {
      if (date === null || receivedAt - sentAt > MAX_ROUND_TRIP_MS) return;
      offsets = [...offsets, date + CUT_OFF_MS - (sentAt + receivedAt) / 2].slice(-SAMPLES);
    },
    at(elapsed) {
      const sorted = offsets.toSorted((a, b) => a - b);
      const middle = sorted[Math.floor(sorted.length / 2)];
      const below = sorted[Math.ceil(sorted.length / 2) - 1];
      return middle === undefined || below === undefined ? null : elapsed + (middle + below) / 2;
    },
  };
}

/** A machine's clock that is this far off is worth a line. */
const NOTABLE_MS = 5_000;

/** How far this machine's clock is ahead of the server's, ms; null before the first reply. */
export interface Skew {
  now(): number | null;
  /** @param shown by the machine's clock at `elapsed`, milliseconds since the epoch */
  of(shown: number, elapsed: number): number | null;
  /** Says it once, if it is more than a few seconds. */
  tell(): void;
}

export function createSkew(options: { clock: Clock; serverTime: ServerTime; log: Log }): Skew {
  const { clock, serverTime, log } = options;
  let hasTold = false;
  const of: Skew["of"] = (shown, elapsed) => {
    const server = serverTime.at(elapsed);
    return server === null ? null : Math.round(shown - server);
  };
  const now = () => of(clock.now(), clock.elapsed());
  return {
    of,
    now,
    tell() {
      const skew = now();
      if (hasTold || skew === null || Math.abs(skew) <= NOTABLE_MS) return;
      hasTold = true;
      const seconds = Math.round(Math.abs(skew) / 1000);
      const where = skew > 0 ? "ahead of" : "behind";
      log(
        `this machine's clock is ${seconds} s ${where} the server's; the agent sends the difference with its times`,
      );
    },
  };
}
