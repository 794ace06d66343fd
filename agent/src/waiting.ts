/** A runner's wait for jobs: by a socket on which the server says when there may be one, or by asking again. */
import { childController } from "./abort.ts";
import type { ApiClient } from "./api-client.ts";
import type { ChannelBounds } from "./channel/bounds.ts";
import type { TransportChoice } from "./channel/channel.ts";
import type { Clock } from "./clock.ts";
import type { TextSocket } from "./http/web-socket.ts";
import { clip, type Log } from "./log.ts";
import { isRecord } from "./protocol.ts";

const PATH = "/channel";
/** An open socket is not believed for longer: then the runner asks once, by the way. */
const ASK_MS = 3_600_000;
/** A runner whose gang meets asks again this soon; it needs no socket. */
const MEETING_MS = 3_000;
/** Of a stranger's text, for a line of the log. */
const MAX_WORDS = 120;

/** Close codes of the runner channel (docs/contract.md). */
const REVOKED = 4003;
const UNUSABLE: Readonly<Record<number, string>> = {
  1003: "the server refused this agent's messages",
  1008: "the server refused this agent's messages",
  4001: "another agent with this key has opened one: was this one started twice?",
};

export interface Waiting {
  /** A claim is on its way: what was said before is no news any more. */
  asks(): void;
  /** Waits after a claim that brought no job: for a word of the server, or for `ms`. Ends early for one that leaves. */
  rest(ms: number): Promise<void>;
  /** The runner has a job, or leaves. */
  close(): void;
}

interface Held {
  socket: TextSocket;
  /** The server has answered a ping on it. */
  isOpen: boolean;
}

export function createWaiting(options: {
  client: Pick<ApiClient, "dial">;
  choice: TransportChoice;
  bounds: ChannelBounds;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
  /** Waits in the ordinary way. */
  pause: (ms: number) => Promise<void>;
}): Waiting {
  const { client, choice, bounds, clock, log, signal, pause } = options;
  let held: Held | null = null;
  let hasNews = false;
  /** What the server decides from may be some seconds old: a claim that heard null too early is repeated once. */
  let isToRepeat = false;
  let notBefore = Number.NEGATIVE_INFINITY;
  let closedAt: number[] = [];
  let failures = 0;
  let said = "";
  let wake: () => void = () => {};

  const say = (line: string): void => {
    if (line !== said) log(line);
    said = line;
  };
  const now = () => performance.now();

  /** Decides when the next socket is worth a try. */
  const lost = (why: string, wasOpen: boolean, isUnusable: boolean, retryAfterMs = 0): void => {
    closedAt = closedAt.filter((at) => now() - at < bounds.closesWithinMs);
    if (wasOpen) closedAt.push(now());
    else failures += 1;
    const isOften = closedAt.length >= bounds.closes || failures >= bounds.failures;
    const isSeldom = isUnusable || isOften;
    const waitMs = isSeldom
      ? bounds.pauseMs * (1 + clock.random())
      : clock.random() * bounds.spreadMs;
    notBefore = now() + retryAfterMs + waitMs;
    if (isSeldom) [closedAt, failures] = [[], 0];
    say(
      `no channel: ${why}; this runner polls every few seconds${isSeldom ? "" : " until it is open"}`,
    );
  };

  /** Opens a socket; true once the server has answered a ping on it. */
  const open = async (): Promise<boolean> => {
    let timer: NodeJS.Timeout | undefined;
    let opened: (isOpen: boolean) => void = () => {};
    const hasAnswered = new Promise<boolean>((resolve) => {
      opened = resolve;
    });
    const own: { current: Held | null } = { current: null };
    const after = (ms: number, act: () => void) => {
      clearTimeout(timer);
      timer = setTimeout(act, ms);
    };
    const end = (why: string, isUnusable: boolean): void => {
      clearTimeout(timer);
      own.current?.socket.close();
      if (held !== own.current) return;
      const wasOpen = held?.isOpen === true;
      held = null;
      lost(why, wasOpen, isUnusable);
      opened(false);
      wake();
    };
    const ping = (): void => {
      own.current?.socket.send("ping");
      after(bounds.pongMs, () =>
        end(`no answer to a ping within ${bounds.pongMs / 1_000} s`, false),
      );
    };
    const hear = (text: string): void => {
      if (held === null || held !== own.current) return;
      const message = text === "pong" ? text : parse(text);
      if (message === "pong") {
        const [least, most] = bounds.pingMs;
        after(least + clock.random() * (most - least), ping);
        if (!held.isOpen) {
          held.isOpen = true;
          failures = 0;
          say("waiting for jobs on an open channel");
          opened(true);
        }
      } else if (message === "work") {
        hasNews = true;
        isToRepeat = true;
        wake();
      } else if (message !== "unknown") end(message, true);
    };
    const listener = {
      text: hear,
      closed(code: number, reason: string) {
        const why = reason === "" ? String(code) : `${code}, ${clip(reason, MAX_WORDS)}`;
        // The next claim tells whether the key is still right.
        if (code === REVOKED) hasNews = true;
        end(`${UNUSABLE[code] ?? "the connection was closed"} (${why})`, code in UNUSABLE);
      },
      broken: (why: string, breaksProtocol: boolean) => end(why, breaksProtocol),
    };
    const answer = await client.dial(PATH, listener, bounds.openingMs, signal);
    if (answer === "silence") {
      lost(`no answer within ${bounds.openingMs / 1_000} s: does a proxy block it?`, false, false);
      return false;
    }
    if ("kind" in answer) {
      const retryAfterMs = answer.kind === "unavailable" ? (answer.retryAfterMs ?? 0) : 0;
      lost(answer.message, false, answer.kind === "refused", retryAfterMs);
      return false;
    }
    held = { socket: answer, isOpen: false };
    own.current = held;
    ping();
    return hasAnswered;
  };

  /** Until there is news, the socket has ended, or the time is over. */
  const listen = async (ms: number): Promise<void> => {
    const { controller, release } = childController(signal);
    wake = () => controller.abort();
    if (hasNews || held === null) wake();
    try {
      await clock.sleep(ms, controller.signal);
    } catch (error) {
      if (!controller.signal.aborted) throw error;
    } finally {
      wake = () => {};
      release();
    }
  };

  return {
    asks() {
      hasNews = false;
    },
    async rest(ms) {
      if (signal.aborted || choice === "poll" || ms <= MEETING_MS) return pause(ms);
      if (held === null && now() >= notBefore) {
        const isOpen = await open().catch((error: unknown) => {
          if (signal.aborted) return false;
          throw error;
        });
        // A job may have come before the socket was open: the runner asks once more.
        isToRepeat = isOpen;
        if (isOpen) return;
      }
      if (held?.isOpen !== true && !hasNews) return pause(ms);
      const isSoon = isToRepeat && !hasNews;
      isToRepeat = hasNews;
      return listen(isSoon ? ms : ASK_MS);
    },
    close() {
      const { socket } = held ?? {};
      held = null;
      socket?.close();
    },
  };
}

/** `work`, `unknown` of a newer server, or a text for people if it refuses or is no server of ours. */
function parse(text: string): string {
  try {
    const message: unknown = JSON.parse(text);
    if (!isRecord(message) || typeof message.type !== "string")
      return "its messages are not from the server";
    if (message.type === "error")
      return `the server says: ${clip(String(message.message), MAX_WORDS)}`;
    return message.type === "work" ? "work" : "unknown";
  } catch {
    return "its messages are not from the server";
  }
}
