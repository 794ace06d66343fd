/** Time limits of each part of a cluster step, in milliseconds. Together they rule out a hang. */
export interface Bounds {
  /**
   * From the step's start, how long connecting is repeated: all eight addresses that a node may have, and the best
   * ones again. Nodes learn of the step by polling every few seconds, so "refused" only means "not there" once the
   * slowest poller has had its turn.
   */
  connectMs: number;
  /**
   * The time after which a higher rank dials a lower one that has not reached it: two addresses of its own were tried,
   * and all eight of the other's can be before `connectMs`.
   */
  headStartMs: number;
  /** One address of a peer: the retransmission of a lost SYN after 1 s and the greeting still fit. */
  attemptMs: number;
  /** Pause between two tries to connect. */
  redialMs: number;
  /** The whole greeting, as the acceptor waits for it: four small frames, so seconds are generous. */
  handshakeMs: number;
  /** Sign of life on connections that wait for their round. */
  keepaliveMs: number;
  /** A waiting partner this silent is dead: several keepalives are missing. */
  silenceMs: number;
  /** All pings of one direction: allows round trips of 230 ms. */
  pingMs: number;
  /** A stream is dead when nothing arrives for so long: beyond TCP's usual retransmission pauses. */
  stallMs: number;
  /** Everything of one pair, both directions, besides four times the streaming time. */
  pairFixedMs: number;
}

export const defaultBounds: Bounds = {
  connectMs: 30_000,
  headStartMs: 6_000,
  attemptMs: 3_000,
  redialMs: 500,
  handshakeMs: 5_000,
  keepaliveMs: 2_000,
  silenceMs: 10_000,
  pingMs: 5_000,
  stallMs: 5_000,
  pairFixedMs: 15_000,
};

/** After this long from the step's start, a peer that is not connected counts as absent. */
export function meetMs(bounds: Bounds): number {
  return bounds.connectMs + bounds.handshakeMs;
}

/** The most one pair may take. */
export function pairMs(bounds: Bounds, durationMs: number): number {
  return bounds.pairFixedMs + 4 * durationMs;
}

/**
 * The longest time after the step's start for which a living partner may be busy with earlier rounds:
 * it started at most `connectMs` later, waited for absent peers, and spent at most `pairMs` on each
 * round before this one. Later than that it will not come.
 */
export function turnMs(bounds: Bounds, durationMs: number, round: number): number {
  return bounds.connectMs + meetMs(bounds) + round * pairMs(bounds, durationMs);
}
