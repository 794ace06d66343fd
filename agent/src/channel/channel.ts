/** The node channel of one job: one socket after the other, or why no socket can be opened. */
import { setTimeout as delay } from "node:timers/promises";
import { childController } from "../abort.ts";
import type { ApiClient } from "../api-client.ts";
import type { Log } from "../log.ts";
import type { ChannelBounds } from "./bounds.ts";
import { converse, type Push } from "./conversation.ts";
import type { Ending } from "./messages.ts";

/** `channel`: it is tried again and again, whatever comes of it. */
export type TransportChoice = "auto" | "channel" | "poll";

interface OwnTask {
  id: string;
  token: string | null;
}

export interface Channel {
  /** Holds a socket for the task from now on. The same task again changes nothing. */
  hold(task: OwnTask): void;
  /** The server tells this node of changes by itself. */
  isOpen(): boolean;
  /** The latest view that nobody has taken yet. */
  latest(): Push | null;
  /** Takes it, whether for use or because it is out of date. */
  take(): Push | null;
  /** Calls `listener` at each view and whenever a socket ends, until what it answers is called. */
  listen(listener: () => void): () => void;
  /** Progress is not sent more often than the server takes it. */
  takesProgress(): boolean;
  /** Sends a message, if a socket is open. It may get lost. */
  send(message: Record<string, unknown>): void;
  close(): void;
}

export function createChannel(options: {
  client: Pick<ApiClient, "dial">;
  choice: Exclude<TransportChoice, "poll">;
  bounds: ChannelBounds;
  /** Validator of the view that the node has, at the time of each hello. */
  knownEtag: () => string | null;
  log: Log;
  random: () => number;
  signal: AbortSignal;
}): Channel {
  const { client, choice, bounds, knownEtag, log, random, signal } = options;
  const listeners = new Set<() => void>();
  let held: { task: OwnTask; stop: () => void } | null = null;
  let sendText: ((text: string) => void) | null = null;
  let latest: Push | null = null;
  let progressAt = Number.NEGATIVE_INFINITY;
  let said = "";

  const tell = (): void => {
    for (const listener of [...listeners]) listener();
  };
  const say = (line: string): void => {
    if (line !== said) log(line);
    said = line;
  };

  /** One socket after the other, until nobody needs any or there is no use in it. */
  const keep = async (task: OwnTask, stop: AbortSignal): Promise<void> => {
    let closedAt: number[] = [];
    let failures = 0;
    for (;;) {
      const ending = await converse({
        client,
        hello: { taskId: task.id, taskToken: task.token, knownEtag: knownEtag() },
        bounds,
        random,
        onOpen(send) {
          failures = 0;
          sendText = send;
          say("waiting for changes on an open channel");
        },
        onView(push) {
          latest = push;
          tell();
        },
        signal: stop,
      });
      if (stop.aborted) return;
      sendText = null;
      // The job may have changed after this view without this node's knowledge, unless it has ended.
      if (latest?.view.directive !== "stop") latest = null;
      tell();
      if (ending.kind === "over") return;
      const now = performance.now();
      const hasClosed = ending.kind === "ended" || (ending.kind === "lost" && ending.wasOpen);
      closedAt = closedAt.filter((at) => now - at < bounds.closesWithinMs);
      if (hasClosed) closedAt.push(now);
      else failures += 1;
      const isOften = closedAt.length >= bounds.closes || failures >= bounds.failures;
      if (ending.kind === "unusable" && choice === "auto") {
        return say(`polling the server; a channel is not possible: ${ending.why}`);
      }
      const isBrief = ending.kind === "lost" || ending.kind === "ended";
      if (!isBrief || (isOften && choice === "auto")) {
        say(`polling the server, and rarely trying the channel: ${ending.why}`);
        closedAt = [];
        failures = 0;
        await delay(bounds.pauseMs * (1 + random()), undefined, { signal: stop });
      } else {
        say(wordsOf(ending));
        const leastMs = ending.kind === "lost" ? (ending.retryAfterMs ?? 0) : 0;
        // After the end of the job the next poll ends this; only something in between says so of a live one.
        await delay(leastMs + random() * bounds.spreadMs, undefined, { signal: stop });
      }
    }
  };

  return {
    hold(task) {
      if (held?.task.id === task.id && held.task.token === task.token) return;
      held?.stop();
      sendText = null;
      latest = null;
      const { controller, release } = childController(signal);
      held = { task, stop: () => controller.abort() };
      keep(task, controller.signal)
        .catch((error: unknown) => {
          // A fault of this program must not end the agent, which can poll.
          if (!controller.signal.aborted) log(`no channel: ${String(error)}; polling the server`);
        })
        .finally(release);
    },
    isOpen: () => sendText !== null,
    latest: () => latest,
    take() {
      const taken = latest;
      latest = null;
      return taken;
    },
    listen(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    takesProgress: () => performance.now() - progressAt >= bounds.progressMs,
    send(message) {
      if (message.type === "progress") progressAt = performance.now();
      sendText?.(JSON.stringify(message));
    },
    close() {
      held?.stop();
      held = null;
      sendText = null;
    },
  };
}

/** What the log says of the end of a socket that another may follow. */
function wordsOf(ending: Extract<Ending, { kind: "lost" | "ended" }>): string {
  if (ending.kind === "ended") return `the server has closed the channel: ${ending.why}`;
  const until = ending.wasOpen ? "until it is back" : "until it is open";
  return `no channel: ${ending.why}; polling the server ${until}`;
}
