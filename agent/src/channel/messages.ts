/** What the server says in the node channel (docs/protocol.md), and what its close codes mean. */
import { clip } from "../log.ts";
import { isRecord, type JobView, parseJobView } from "../protocol.ts";

/** Of a stranger's text, for a line of the log. */
const MAX_WORDS = 120;

export interface ViewMessage {
  type: "view";
  etag: string;
  /** Null where the client knows it already. */
  view: JobView | null;
  /** Of the hello that it answers; null in later ones. */
  nonce: string | null;
}

export type ServerMessage =
  | ViewMessage
  /** Why the server closes the socket next. */
  | { type: "error"; message: string }
  /** Of a newer server. */
  | { type: "unknown" };

/** Null for what no server of ours sends. */
export function parseServerMessage(text: string): ServerMessage | null {
  const message = parseJson(text);
  if (!isRecord(message) || typeof message.type !== "string") return null;
  if (message.type === "error") return { type: "error", message: String(message.message) };
  if (message.type !== "view") return { type: "unknown" };
  const { etag, nonce } = message;
  const view = message.view === null ? null : parseJobView(message.view);
  if (typeof etag !== "string" || (view === null && message.view !== null)) return null;
  return { type: "view", etag, view, nonce: typeof nonce === "string" ? nonce : null };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Why a socket has ended. */
export type Ending =
  /** A new one is worth a try. */
  | { kind: "lost"; why: string; wasOpen: boolean; retryAfterMs: number | null }
  /** The server says that the job has ended, which a poll confirms. */
  | { kind: "ended"; why: string }
  /** None gets through to the server here, at present. */
  | { kind: "swallowed"; why: string }
  /** Another one would end in the same way. */
  | { kind: "unusable"; why: string }
  /** Nobody needs one any more. */
  | { kind: "over" };

/** What to make of a close frame; 1006 is a connection that ended without one. */
export function endingOf(code: number, reason: string, wasOpen: boolean): Ending {
  const said = reason === "" ? String(code) : `${code}, ${clip(reason, MAX_WORDS)}`;
  const unusable = (why: string): Ending => ({ kind: "unusable", why: `${why} (${said})` });
  const lost = (why: string): Ending => {
    return { kind: "lost", why: `${why} (${said})`, wasOpen, retryAfterMs: null };
  };
  switch (code) {
    case 1000:
      return { kind: "ended", why: `the job has ended (${said})` };
    case 1003:
    case 1008:
      return unusable("the server refused this agent's messages");
    case 1009:
      return unusable("the server refused a message of this length");
    case 1013:
      return lost("the server is busy");
    case 4001:
      return unusable(
        "another agent has opened one for the same task: was this one started twice?",
      );
    case 4003:
      return unusable("the task's token is no longer valid");
    case 4008:
      return lost("the server has not heard from this node");
    default:
      return lost("the connection was closed");
  }
}
