/** The messages of the node channel (docs/contract.md, "The node channel"). */
import { z } from "@hono/zod-openapi";
import { text } from "../../api/schemas.ts";
import { toDetails } from "../../http/validation.ts";
import { clockSkewMs, MAX_ACTIVITY } from "../wire/task.ts";

/** The longest message, a hello, has half of this. */
const MAX_MESSAGE_CHARACTERS = 4_096;

const ID = /^[0-9]{1,16}$/;
/** Random text that only the server can repeat. */
const NONCE = /^[\w-]{22}$/;

const hello = z.object({
  type: z.literal("hello"),
  task_id: z.string().regex(ID, "must be an id: decimal digits").transform(Number),
  task_token: z.string().max(2_048).nullish(),
  known_etag: z.string().max(128).nullish(),
  nonce: z.string().regex(NONCE, "must be 22 characters of A-Z, a-z, 0-9, - and _").nullish(),
});

const progress = z.object({
  type: z.literal("progress"),
  progress: z.number().min(0).max(1).optional(),
  message: text({ max: MAX_ACTIVITY, description: "The node's current activity." }).optional(),
  clock_skew_ms: clockSkewMs.optional(),
});

const clientMessage = z.discriminatedUnion("type", [hello, progress], {
  error: "must be hello or progress",
});

export type Hello = z.infer<typeof hello>;
export type ProgressMessage = z.infer<typeof progress>;

/** Codes of closed sockets, and what each means (docs/contract.md, "The node channel"). */
export const CLOSE = {
  ended: 1000,
  binary: 1003,
  refused: 1008,
  tooLarge: 1009,
  busy: 1013,
  replaced: 4001,
  /** The credential is no longer that of the task. */
  revoked: 4003,
  silent: 4008,
} as const;

/** Reads a message, or says why it is none and how to close the socket. */
export function readMessage(
  sent: string | ArrayBuffer,
): { ok: true; message: Hello | ProgressMessage } | { ok: false; code: number; why: string } {
  if (typeof sent !== "string") {
    return { ok: false, code: CLOSE.binary, why: "messages are JSON text, not binary" };
  }
  if (sent.length > MAX_MESSAGE_CHARACTERS) {
    const why = `a message has at most ${MAX_MESSAGE_CHARACTERS} characters`;
    return { ok: false, code: CLOSE.tooLarge, why };
  }
  const refused = { ok: false, code: CLOSE.refused } as const;
  let value: unknown;
  try {
    value = JSON.parse(sent);
  } catch {
    return { ...refused, why: "the message is no JSON" };
  }
  const parsed = clientMessage.safeParse(value);
  if (parsed.success) return { ok: true, message: parsed.data };
  const [first] = toDetails(parsed.error.issues);
  const { field, message } = first ?? { field: "", message: "unknown message" };
  return { ...refused, why: `${field === "" ? "type" : field} ${message}` };
}

/** @param view JSON of the view; null when the client has it already */
export function viewMessage(etag: string, view: string | null, nonce?: string | null): string {
  const proof = nonce === null || nonce === undefined ? "" : `,"nonce":${JSON.stringify(nonce)}`;
  return `{"type":"view","etag":${JSON.stringify(etag)},"view":${view}${proof}}`;
}
