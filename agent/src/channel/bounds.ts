/** Waits and limits of the node channel, ms. They are of the machine's real clock. */
export interface ChannelBounds {
  /** For the answer to the request, once a connection stands. */
  openingMs: number;
  /** For the server's first view. */
  helloMs: number;
  /** Pings are this far apart, at random between the two: proxies close what is idle for longer. */
  pingMs: readonly [number, number];
  /** For the answer to a ping. */
  pongMs: number;
  /** Messages from one ping to the next. */
  messages: number;
  /** Nodes whose sockets were closed at once, as by a deployment, come back spread over this time. */
  spreadMs: number;
  /** So many sockets that close within `closesWithinMs`, or requests in a row that bring none, are enough. */
  closes: number;
  closesWithinMs: number;
  failures: number;
  /** From then on it is tried this seldom, at random up to twice as seldom. */
  pauseMs: number;
  /** Progress messages are this far apart. */
  progressMs: number;
  /** For the view that follows a result. */
  followMs: number;
}

export const channelBounds: ChannelBounds = {
  openingMs: 15_000,
  helloMs: 15_000,
  pingMs: [30_000, 60_000],
  pongMs: 20_000,
  messages: 1_000,
  spreadMs: 30_000,
  closes: 3,
  closesWithinMs: 60_000,
  failures: 5,
  pauseMs: 600_000,
  progressMs: 5_000,
  followMs: 5_000,
};
