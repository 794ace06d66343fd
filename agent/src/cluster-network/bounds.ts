/** How long each part of a cluster step may take, in milliseconds. Together they rule out a hang. */
export interface Bounds {
  /**
   * From the step's start, how long connecting is repeated. Nodes learn of the step by polling every
   * few seconds, so "refused" only means "not there" once the slowest poller has had its turn.
   */
  connectMs: number;
  /** One TCP connect: two retransmissions of a lost SYN (after 1 and 3 s) still fit. */
  attemptMs: number;
  /** Pause between two tries to connect. */
  redialMs: number;
  /** The whole greeting: four small frames, so seconds are generous even across continents. */
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
  connectMs: 20_000,
  attemptMs: 5_000,
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
  return bounds.connectMs + bounds.attemptMs + bounds.handshakeMs;
}

/** The most one pair may take. */
export function pairMs(bounds: Bounds, durationMs: number): number {
  return bounds.pairFixedMs + 4 * durationMs;
}

/**
 * How long after the step's start a living partner may still be busy with earlier rounds: it started
 * at most `connectMs` later, waited for absent peers, and spent at most `pairMs` on each round before
 * this one. Later than that it will not come.
 */
export function turnMs(bounds: Bounds, durationMs: number, round: number): number {
  return bounds.connectMs + meetMs(bounds) + round * pairMs(bounds, durationMs);
}
