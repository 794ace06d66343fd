import type { Channel } from "./channel.ts";

export type Link = { ok: true; channel: Channel } | { ok: false; message: string };

/**
 * The connections with the other nodes of a step, at most one with each.
 *
 * Both nodes of a pair may dial, and then both must keep the same connection. The lower rank decides: it admits a
 * connection from the higher one unless its own stands or may stand at any moment, since it has proved itself there
 * and waits for the answer. Having admitted one, it proves itself on no other. The higher rank admits what the lower one has
 * decided for, and proves itself nowhere once it has a connection.
 */
export interface Links {
  /** Whether a connection stands, or had its turn. */
  isMet(rank: number): boolean;
  /** Before this node proves itself where it has dialled; false if it must not any more. Until `release`. */
  commit(rank: number): boolean;
  release(rank: number): void;
  /** A connection that this node has dialled, proved by both. */
  arrive(rank: number, channel: Channel): void;
  /** The same for one whose dialler has proved itself; false if it does not count. */
  admit(rank: number, channel: Channel): boolean;
  /** The connection as soon as it is there. Never rejects. */
  linkTo(rank: number): Promise<Link>;
  /** From now on nobody waits: whoever does is told the message, and so is whoever asks later and has no connection. */
  giveUp(message: (rank: number, hadLink: boolean) => string): void;
  /** Calls `use` with each open connection. */
  each(use: (channel: Channel) => void): void;
  close(): void;
}

const OVER = "the step is over";

export function createLinks(self: number): Links {
  const links = new Map<number, { channel: Channel; isOwn: boolean }>();
  const waiting = new Map<number, (link: Link) => void>();
  /** Ranks that this node has proved itself to, whose answer is under way. */
  const committed = new Set<number>();
  /** Ranks whose connection was given out. */
  const taken = new Set<number>();
  let over: ((rank: number, hadLink: boolean) => string) | null = null;
  let isClosed = false;

  const stands = (rank: number): boolean => links.get(rank)?.channel.isOpen() === true;
  const give = (rank: number, channel: Channel): Link => {
    taken.add(rank);
    return { ok: true, channel };
  };
  const put = (rank: number, channel: Channel, isOwn: boolean): void => {
    if (isClosed) {
      channel.close(OVER);
      return;
    }
    // The peer itself has given up the older one, for instance because it was restarted.
    links.get(rank)?.channel.close("replaced by a newer connection");
    links.set(rank, { channel, isOwn });
    const waiter = waiting.get(rank);
    waiting.delete(rank);
    waiter?.(give(rank, channel));
  };
  const isMet = (rank: number): boolean => taken.has(rank) || stands(rank);
  const giveUp: Links["giveUp"] = (message) => {
    over = message;
    for (const [rank, resolve] of waiting) {
      resolve({ ok: false, message: message(rank, links.has(rank)) });
    }
    waiting.clear();
  };

  return {
    isMet,
    commit: (rank) => {
      if (isClosed || isMet(rank)) return false;
      committed.add(rank);
      return true;
    },
    release: (rank) => void committed.delete(rank),
    arrive: (rank, channel) => put(rank, channel, true),
    admit: (rank, channel) => {
      const ownStands = stands(rank) && links.get(rank)?.isOwn === true;
      const ownMayStand = self < rank && committed.has(rank);
      if (isClosed || ownStands || ownMayStand) return false;
      put(rank, channel, false);
      return true;
    },
    linkTo: (rank) => {
      const channel = links.get(rank)?.channel;
      if (channel?.isOpen()) return Promise.resolve(give(rank, channel));
      if (over !== null) {
        return Promise.resolve({ ok: false, message: over(rank, links.has(rank)) });
      }
      return new Promise((resolve) => waiting.set(rank, resolve));
    },
    giveUp,
    each: (use) => {
      for (const { channel } of links.values()) if (channel.isOpen()) use(channel);
    },
    close: () => {
      isClosed = true;
      for (const { channel } of links.values()) channel.close(OVER);
      giveUp(() => OVER);
    },
  };
}
