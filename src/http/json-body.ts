import { createMiddleware } from "hono/factory";
import { type JsonFault, parseJsonBody } from "../lib/exact-json.ts";
import type { RequestEnv } from "./context.ts";
import { ApiError, invalidField } from "./errors.ts";

const JSON_MEDIA_TYPE = {
  pattern: /^application\/(?:[\w.-]+\+)?json *(?:;|$)/i,
  refusal: "The body must be JSON: send Content-Type: application/json",
};

/** Kinds of bodies. The handler passes the text of `unparsed-json` on to be parsed. */
const MEDIA_TYPES = {
  json: JSON_MEDIA_TYPE,
  "unparsed-json": JSON_MEDIA_TYPE,
  form: {
    pattern: /^application\/x-www-form-urlencoded *(?:;|$)/i,
    refusal: "The body must be a form, with Content-Type: application/x-www-form-urlencoded",
  },
} as const;

const NOTHING = new Uint8Array();

/**
 * Reads the body once and decodes it strictly as UTF-8. Without a length that is small enough its bytes are counted while
 * they arrive. JSON is parsed here: validators read the value, and handlers find the text in
 * `c.req.text()`. The media type is tested before paths and queries (docs/contract.md, "HTTP rules").
 *
 * @param options `optional`: a missing body counts as an empty object
 */
export function readBody(
  limitBytes: number,
  { type = "json", optional = false }: { type?: keyof typeof MEDIA_TYPES; optional?: boolean } = {},
) {
  const { pattern, refusal } = MEDIA_TYPES[type];
  return createMiddleware<RequestEnv>(async (c, next) => {
    const bytes = await readBounded(c.req.raw, limitBytes);
    if (bytes.byteLength === 0 && optional) {
      c.req.json = (() => Promise.resolve({})) as typeof c.req.json;
      return next();
    }
    if (bytes.byteLength === 0) {
      throw new ApiError("PARAMETER_INCORRECT_VALUE", "The request must have a body");
    }
    if (!pattern.test(c.req.header("content-type") ?? "")) {
      throw new ApiError("UNSUPPORTED_MEDIA_TYPE", refusal);
    }
    const text = decodeUtf8(bytes);
    if (type === "json") {
      const body = parseJsonBody(text);
      if (!body.ok) throw unreadableBody(body.fault);
      // Validators call this, so that the body is parsed once. The cast keeps Hono's generic signature.
      c.req.json = (() => Promise.resolve(body.value)) as typeof c.req.json;
    }
    // Hono awaits this value, though its type is string.
    c.req.bodyCache.text = Promise.resolve(text) as unknown as string;
    await next();
  });
}

/** The 400 for a body that is no JSON object, or holds numbers that would change. */
export function unreadableBody({ field, message }: JsonFault): ApiError {
  return field === null
    ? new ApiError("PARAMETER_INCORRECT_VALUE", message)
    : invalidField(field, message);
}

async function readBounded(request: Request, limitBytes: number): Promise<Uint8Array> {
  const { body } = request;
  if (body === null) return NOTHING;
  // The server passes on no more bytes than the header says; to read them as a whole costs less.
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) <= limitBytes) {
    const whole = new Uint8Array(await request.arrayBuffer());
    if (whole.byteLength > limitBytes) throw tooLarge(limitBytes);
    return whole;
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Not cancelled: see `readRest`.
  for await (const chunk of body.values({ preventCancel: true })) {
    size += chunk.byteLength;
    if (size > limitBytes) throw tooLarge(limitBytes);
    chunks.push(chunk);
  }
  if (chunks.length === 1 && chunks[0] !== undefined) return chunks[0];
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}

/**
 * Reads what a refusal has left of a body. On Cloudflare the platform does so; elsewhere workerd ends the connection, and
 * the client, which still writes, may miss the reply.
 */
export async function readRest(body: ReadableStream<Uint8Array> | null): Promise<void> {
  if (body === null || body.locked) return;
  const reader = body.getReader();
  try {
    while (!(await reader.read()).done);
  } catch {
    // The client is gone.
  }
}

function tooLarge(limitBytes: number): ApiError {
  return new ApiError("REQUEST_TOO_LARGE", `The body must have at most ${limitBytes} bytes`);
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false });

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new ApiError("PARAMETER_INCORRECT_VALUE", "The body is not valid UTF-8");
  }
}
