import { randomUUID } from "node:crypto";
import createClient, { type Client } from "openapi-fetch";
import { unreachable } from "../failure.ts";
import { VERSION } from "../version.ts";
import { failureOf } from "./errors.ts";
import { type Sending, send } from "./transport.ts";
import type { paths } from "./types.ts";

export type Api = Client<paths>;

/** Where requests go, and who sends them. */
export interface Caller {
  /** Origin of the server, without a slash at its end. */
  host: string;
  /** The token to send; null to send none. Asked before every request. */
  token: () => Promise<string | null>;
  /** Called for a 401: answers a newer token to try once, or null. */
  renew?: (refused: string) => Promise<string | null>;
}

/** The typed client of the API: the operations of the published types, sent by `send`. */
export function createApi(caller: Caller, sending: Sending = {}): Api {
  return createClient<paths>({
    baseUrl: caller.host,
    fetch: (request: Request) => call(caller, request, sending),
  });
}

/** Sends a request with the caller's token, and once more with a newer one where it is refused. */
export async function call(
  caller: Caller,
  request: Request,
  sending: Sending = {},
): Promise<Response> {
  request.headers.set("user-agent", `assay-cli/${VERSION}`);
  const token = await caller.token();
  const reply = await send(authorized(request, token), sending);
  if (reply.status !== 401 || token === null) return reply;
  const newer = await caller.renew?.(token);
  if (newer == null) return reply;
  await reply.body?.cancel();
  return send(authorized(request, newer), sending);
}

function authorized(request: Request, token: string | null): Request {
  const copy = request.clone();
  if (token !== null) copy.headers.set("authorization", `Bearer ${token}`);
  return copy;
}

interface Reply<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/**
 * The body of a reply, and the reply.
 *
 * @throws Failure for error replies, and for replies that are no JSON
 */
export async function whole<Data>(
  reply: Promise<Reply<Data>>,
): Promise<{ data: Data; response: Response }> {
  let answered: Reply<Data>;
  try {
    answered = await reply;
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw unreachable("the server's reply is not JSON: check that --host names an Assay server");
    }
    throw error;
  }
  const { data, error, response } = answered;
  if (!response.ok) throw failureOf(response, error);
  // `as`: a reply without a body has the type `undefined` or `never`.
  return { data: data as Data, response };
}

/** The body of a reply alone. */
export async function body<Data>(reply: Promise<Reply<Data>>): Promise<Data> {
  return (await whole(reply)).data;
}

/** A header that makes a creation safe to repeat. */
export function onlyOnce(key: string = randomUUID()): { "Idempotency-Key": string } {
  return { "Idempotency-Key": key };
}
