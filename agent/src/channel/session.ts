/**
 * A session whose node is told of changes: by the channel where there is one, else by polling. The channel only saves
 * polls. Joins and results are HTTP, and whatever is in doubt is polled.
 */
import { childController } from "../abort.ts";
import type { Accepted } from "../api-client.ts";
import type { Pace } from "../heartbeat.ts";
import { clip } from "../log.ts";
import { type AgentEnd, createSession, MAX_MESSAGE, type Session } from "../session.ts";
import { type ChannelBounds, channelBounds } from "./bounds.ts";
import { type Channel, createChannel, type TransportChoice } from "./channel.ts";

/** Nodes of an expired job look for its end spread over this time, ms. */
const EXPIRY_SPREAD_MS = 60_000;
/** Longest time that Node's timers take, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface PushedSession extends Session {
  /** The server tells this node of changes at present. */
  isPushed(): boolean;
  /** Sleeps until the job has expired; rejects when `signal` aborts. */
  untilExpiry(signal: AbortSignal): Promise<void>;
  /** Calls `wake` when there is a view, or polling is needed; at once if so already. Answers how to end that. */
  onNews(wake: () => void): () => void;
  /** Calls `stop` when the server says that nothing is left to do. Answers how to end that. */
  onStop(stop: () => void): () => void;
  /** Of heartbeats. */
  pace(): Pace;
  transport(): AgentEnd["transport"];
  close(): void;
}

/** See `createSession`. */
export function openSession(
  options: Parameters<typeof createSession>[0] & {
    transport?: TransportChoice | undefined;
    channelBounds?: ChannelBounds | undefined;
  },
): PushedSession {
  const { transport = "auto", channelBounds: bounds = channelBounds } = options;
  const { client, clock, log, signal } = options;
  const session = createSession(options);
  if (transport === "poll") return polling(session);
  const channel = createChannel({
    client,
    choice: transport,
    bounds,
    knownEtag: session.etag,
    log,
    random: clock.random,
    signal,
  });
  return withChannel(session, channel, bounds, clock.random, signal);
}

function polling(session: Session): PushedSession {
  const nothing = () => () => {};
  return {
    ...session,
    isPushed: () => false,
    untilExpiry: async () => {},
    onNews: nothing,
    onStop: nothing,
    pace: () => ({ isReady: true, repeats: true }),
    transport: () => "polling",
    close() {},
  };
}

function withChannel(
  session: Session,
  channel: Channel,
  bounds: ChannelBounds,
  random: () => number,
  signal: AbortSignal,
): PushedSession {
  let used: AgentEnd["transport"] = "polling";
  /** Waits until there is a view, or no channel; for a while at most. */
  const follow = async (): Promise<void> => {
    const { controller, release } = childController(signal);
    const unheed = onNews(() => controller.abort());
    try {
      if (channel.isOpen()) await sleep(bounds.followMs, controller.signal);
    } catch {
      signal.throwIfAborted();
    } finally {
      unheed();
      release();
    }
  };
  const onNews: PushedSession["onNews"] = (wake) => {
    if (channel.latest() !== null) wake();
    return channel.listen(wake);
  };
  return {
    ...session,
    async poll() {
      const pushed = channel.take();
      if (pushed !== null) {
        used = "channel";
        return { ok: true, value: session.learn(pushed.etag, pushed.view) };
      }
      const polled = await session.poll();
      used = channel.isOpen() ? "channel" : "polling";
      const own = session.own();
      if (polled.ok && own !== null && session.hasJoined()) channel.hold(own);
      return polled;
    },
    async heartbeat(progress, message, beat) {
      if (!channel.isOpen()) return session.heartbeat(progress, message, beat);
      const clock_skew_ms = session.skew.now() ?? undefined;
      const text = clip(message, MAX_MESSAGE);
      channel.send({ type: "progress", progress, message: text, clock_skew_ms });
      return SENT;
    },
    async putResult(position, body) {
      const receipt = await session.putResult(position, body);
      if (!receipt.ok || receipt.value.kind !== "settled") return receipt;
      // A view that still asks for this result is out of date; the next one is under way.
      if (channel.latest()?.view.step?.position === position) channel.take();
      await follow();
      return receipt;
    },
    isPushed: channel.isOpen,
    untilExpiry: (wait) => sleep(session.restMs() + random() * EXPIRY_SPREAD_MS, wait),
    onNews,
    onStop: (stop) => {
      const look = () => {
        if (channel.latest()?.view.directive === "stop") stop();
      };
      look();
      return channel.listen(look);
    },
    pace: () => {
      const isOpen = channel.isOpen();
      return { isReady: !isOpen || channel.takesProgress(), repeats: !isOpen };
    },
    transport: () => used,
    close: channel.close,
  };
}

/** What a heartbeat by the channel answers: that nothing more needs to be done. */
const SENT: Accepted = {
  kind: "accepted",
  status: 202,
  body: null,
  etag: null,
  retryAfterMs: null,
  claimRepeated: false,
  serverNow: null,
};

/** By the machine's real clock, as the channel. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      settle();
    };
    const abort = end(() => reject(signal.reason));
    const timer = setTimeout(end(resolve), Math.min(Math.max(ms, 0), MAX_TIMER_MS));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}
