/** A node of the load that is told by the agent's own channel, and polls once when a socket ends, as agents do. */
import { setTimeout as pause } from "node:timers/promises";
import { createApiClient } from "../../agent/src/api-client.ts";
import { type ChannelBounds, channelBounds } from "../../agent/src/channel/bounds.ts";
import { createChannel } from "../../agent/src/channel/channel.ts";
import { systemClock as clock } from "../../agent/src/clock.ts";
import type { Target } from "./client.ts";

/** Agents come back within a moment, since the server lives for less than a second. */
const BOUNDS: ChannelBounds = { ...channelBounds, spreadMs: 100, pauseMs: 200, pongMs: 5_000 };
/** A look besides all news, for the end of the run. */
const LOOK_MS = 500;

export interface Told {
  directive: string;
  step: { position: number; benchmark_id: string } | null;
}

export interface Follower {
  /** The next view that differs from the last one. */
  next(): Promise<Told>;
  report(progress: number): void;
  close(): void;
}

/** @param poll asks for the view by HTTP, until there is an answer */
export function follow(
  target: Target,
  token: string,
  task: { id: string; token: string },
  poll: () => Promise<Told>,
): Follower {
  const { signal } = new AbortController();
  const channel = createChannel({
    client: {
      async dial(...asked) {
        // Each life of the server may have an address of its own.
        const host = target.url().origin;
        const client = createApiClient({ host, token, clock, log: () => {} });
        const answer = await client.dial(...asked);
        if (answer !== "silence" && "send" in answer) target.sockets++;
        return answer;
      },
    },
    choice: "channel",
    bounds: BOUNDS,
    knownEtag: () => etag,
    log: () => {},
    random: Math.random,
    signal,
  });
  let etag: string | null = null;
  let last = "";
  let isPolled = false;
  let wake = () => {};
  channel.listen(() => {
    // A socket has ended, or there was none: the job may have.
    isPolled = false;
    wake();
  });
  channel.hold(task);

  const isNew = ({ directive, step }: Told): boolean => {
    const now = `${directive} ${step?.position}`;
    if (now === last) return false;
    last = now;
    return true;
  };
  const news = async (): Promise<void> => {
    const over = new AbortController();
    wake = () => over.abort();
    await pause(LOOK_MS, undefined, { signal: over.signal }).catch(() => {});
  };

  return {
    async next() {
      for (;;) {
        if (target.stopped !== null) throw target.stopped;
        const push = channel.take();
        if (push !== null) {
          target.pushed++;
          etag = push.etag;
          const { directive, step } = push.view;
          const told = step && { position: step.position, benchmark_id: step.benchmarkId };
          if (isNew({ directive, step: told })) return { directive, step: told };
        } else if (channel.isOpen() || isPolled) {
          await news();
        } else {
          isPolled = true;
          const told = await poll();
          if (isNew(told)) return told;
        }
      }
    },
    report(progress) {
      if (channel.takesProgress()) channel.send({ type: "progress", progress });
    },
    close: channel.close,
  };
}
