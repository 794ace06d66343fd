/** One socket of the node channel, from the request for it to its end. */
import type { ApiClient } from "../api-client.ts";
import { freshNonce } from "../http/transport.ts";
import type { TextSocket } from "../http/web-socket.ts";
import type { JobView } from "../protocol.ts";
import type { ChannelBounds } from "./bounds.ts";
import { type Ending, endingOf, parseServerMessage, type ViewMessage } from "./messages.ts";

const PATH = "/channel";

export interface Hello {
  taskId: string;
  taskToken: string | null;
  /** Validator of the view that the node has. */
  knownEtag: string | null;
}

/** A view that the server has sent by itself. */
export interface Push {
  etag: string;
  view: JobView;
}

/**
 * Opens a socket and holds it until it ends. It is open once the server has repeated the hello's nonce: what comes
 * before, or without it, is a gateway's.
 *
 * @param onOpen called with the way to send on it
 * @param signal aborts when nobody needs it any more
 */
export async function converse(options: {
  client: Pick<ApiClient, "dial">;
  hello: Hello;
  bounds: ChannelBounds;
  random: () => number;
  onOpen: (send: (text: string) => void) => void;
  onView: (push: Push) => void;
  signal: AbortSignal;
}): Promise<Ending> {
  const { client, hello, bounds, random, onOpen, onView, signal } = options;
  const nonce = freshNonce();
  let socket: TextSocket | null = null;
  let isOpen = false;
  let hasAnsweredPing = false;
  let isOver = false;
  let heard = 0;
  let timer: NodeJS.Timeout | undefined;
  let finish: (ending: Ending) => void = () => {};
  const ended = new Promise<Ending>((resolve) => {
    finish = (ending) => {
      isOver = true;
      resolve(ending);
    };
  });
  const after = (ms: number, act: () => void): void => {
    clearTimeout(timer);
    timer = setTimeout(act, ms);
  };
  const lost = (why: string) => finish({ kind: "lost", why, wasOpen: isOpen, retryAfterMs: null });
  const unusable = (why: string) => finish({ kind: "unusable", why });
  const seconds = (ms: number) => `within ${ms / 1_000} s`;

  const ping = (): void => {
    heard = 0;
    socket?.send("ping");
    after(bounds.pongMs, () => {
      const why = `no answer to a ping ${seconds(bounds.pongMs)}`;
      // One that has answered before is a connection that broke; the other was never whole.
      if (hasAnsweredPing) lost(why);
      else finish({ kind: "swallowed", why: `${why}: does a proxy block it?` });
    });
  };

  const hearView = ({ etag, view, nonce: repeated }: ViewMessage): void => {
    if (!isOpen && repeated !== nonce) {
      unusable("something in front of the server answers it");
      return;
    }
    if (!isOpen) {
      isOpen = true;
      onOpen((sent) => socket?.send(sent));
      ping();
    }
    if (view !== null) onView({ etag, view });
  };

  const hear = (text: string): void => {
    if (isOver) return;
    heard += 1;
    const message = text === "pong" && isOpen ? text : parseServerMessage(text);
    if (heard > bounds.messages) unusable("the other side sends too much");
    else if (message === null) unusable("its messages are not from the server");
    else if (message === "pong") {
      hasAnsweredPing = true;
      const [least, most] = bounds.pingMs;
      after(least + random() * (most - least), ping);
    } else if (message.type === "view") hearView(message);
  };

  const onAbort = () => finish({ kind: "over" });
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const listener = {
      text: hear,
      closed: (code: number, reason: string) => finish(endingOf(code, reason, isOpen)),
      broken: (why: string, breaksProtocol: boolean) =>
        breaksProtocol
          ? unusable(`the other side does not speak WebSocket: ${why}`)
          : lost(`the connection broke: ${why}`),
    };
    const answer = await client.dial(PATH, listener, bounds.openingMs, signal);
    if (answer === "silence") {
      const why = `no answer ${seconds(bounds.openingMs)}: does a proxy block it?`;
      return { kind: "swallowed", why };
    }
    if ("kind" in answer) {
      if (answer.kind === "ended") return { kind: "over" };
      const { message: why, retryAfterMs } = answer;
      if (answer.kind === "refused") return { kind: "unusable", why };
      return { kind: "lost", why, wasOpen: false, retryAfterMs };
    }
    socket = answer;
    const { taskId: task_id, taskToken: task_token, knownEtag: known_etag } = hello;
    socket.send(JSON.stringify({ type: "hello", task_id, task_token, known_etag, nonce }));
    after(bounds.helloMs, () => {
      const why = `no answer to its first message ${seconds(bounds.helloMs)}`;
      finish({ kind: "swallowed", why: `${why}: does a proxy block it?` });
    });
    return await ended;
  } catch (error) {
    if (signal.aborted) return { kind: "over" };
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
    clearTimeout(timer);
    // `as`: the type sees only what it was before the wait.
    (socket as TextSocket | null)?.close();
  }
}
