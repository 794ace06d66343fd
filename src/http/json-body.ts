import { createMiddleware } from "hono/factory";
import type { RequestEnv } from "./context.ts";
import { ApiError, invalidField } from "./errors.ts";

export const KIB = 1_024;
export const MIB = 1_024 * KIB;

/** The bound on JSON bodies where a route names no other (contract §2, Limits). */
export const JSON_BODY_LIMIT = 256 * KIB;

const MEDIA_TYPES = {
  json: {
    pattern: /^application\/(?:[\w.-]+\+)?json *(?:;|$)/i,
    refusal: "This route does not read that Content-Type",
  },
  form: {
    pattern: /^application\/x-www-form-urlencoded *(?:;|$)/i,
    refusal: "The body must be a form: application/x-www-form-urlencoded",
  },
} as const;

/**
 * Reads the body once, counting while it arrives (a header can lie, a chunked body has none), decodes
 * it strictly as UTF-8 and refuses JSON numbers that JavaScript would silently change. What the
 * validators read afterwards is the text kept here. They look at paths and queries before they look at
 * the media type, so that it is tested here, too (contract §2, check order).
 *
 * @param options `optional`: no body is the same as an empty object
 */
export function readBody(
  limitBytes: number,
  { type = "json", optional = false }: { type?: keyof typeof MEDIA_TYPES; optional?: boolean } = {},
) {
  const { pattern, refusal } = MEDIA_TYPES[type];
  return createMiddleware<RequestEnv>(async (c, next) => {
    const { body: stream } = c.req.raw;
    const bytes = stream === null ? NOTHING : await readBounded(stream, limitBytes);
    if (bytes.byteLength === 0 && optional) {
      // Content-Type is looked at only when there is a body: the validators see that of an empty object.
      const header = c.req.header.bind(c.req) as (name: string) => string | undefined;
      c.req.header = ((name: string) =>
        name.toLowerCase() === "content-type" ? JSON_TYPE : header(name)) as typeof c.req.header;
      c.req.json = (() => Promise.resolve({})) as typeof c.req.json;
      return next();
    }
    if (bytes.byteLength === 0) {
      // Content-Type is looked at only when there is a body (contract §2).
      throw new ApiError("PARAMETER_INCORRECT_VALUE", "The request needs a body");
    }
    if (!pattern.test(c.req.header("content-type") ?? "")) {
      throw new ApiError("UNSUPPORTED_MEDIA_TYPE", refusal);
    }
    const body = decodeUtf8(bytes);
    if (type === "json") {
      const value = parseExactJson(body);
      // Validators call this: the body is parsed once, here. The cast keeps Hono's generic signature.
      c.req.json = (() => Promise.resolve(value)) as typeof c.req.json;
    }
    // Hono awaits what it finds here; its type says string.
    c.req.bodyCache.text = Promise.resolve(body) as unknown as string;
    await next();
  });
}

const JSON_TYPE = "application/json";
const NOTHING = new Uint8Array();

async function readBounded(body: ReadableStream<Uint8Array>, limitBytes: number) {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.byteLength;
    if (size > limitBytes) {
      throw new ApiError("REQUEST_TOO_LARGE", `The body must have at most ${limitBytes} bytes`);
    }
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

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
  } catch {
    throw new ApiError("PARAMETER_INCORRECT_VALUE", "The body is not valid UTF-8");
  }
}

/** Digits enough to pass 2^53, or an exponent: only then is the slow, exact reading needed. */
const MAY_BE_INEXACT = /[0-9]{16}|[0-9][eE]/;
/** Nothing the API takes is nested even a tenth as deep; what is deeper may exhaust a stack further on. */
const MAX_DEPTH = 100;

function parseExactJson(body: string): object {
  const value = parse(body);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ApiError("PARAMETER_INCORRECT_VALUE", "The body must be a JSON object");
  }
  inspect(value, []);
  if (MAY_BE_INEXACT.test(body)) inspect(JSON.parse(body, markInexact), []);
  return value;
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    throw new ApiError("PARAMETER_INCORRECT_VALUE", "The body is not valid JSON", { cause: error });
  }
}

/** Stands in the parsed value where a number cannot be represented, so that its place can be told. */
class Inexact {
  readonly fault: string;

  constructor(fault: string) {
    this.fault = fault;
  }
}

/** A JSON.parse reviver; `source` is the number as it was written. */
function markInexact(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number") return value;
  if (!Number.isFinite(value)) return new Inexact("is a number too large to represent");
  const isBeyond = Number.isInteger(value) && !Number.isSafeInteger(value);
  const isWritten = /^-?[0-9]+$/.test(context?.source ?? "");
  return isBeyond && isWritten ? new Inexact("is an integer beyond 2^53") : value;
}

/** Refuses what is nested too deeply, and numbers that were marked; names the field. */
function inspect(value: object, path: string[]): void {
  if (path.length > MAX_DEPTH) {
    const message = `The body is nested more than ${MAX_DEPTH} levels deep`;
    throw new ApiError("PARAMETER_INCORRECT_VALUE", message);
  }
  for (const [key, inner] of Object.entries(value)) {
    if (typeof inner !== "object" || inner === null) continue;
    path.push(key);
    if (inner instanceof Inexact) {
      const field = path.join(".");
      throw invalidField(field, `${field} ${inner.fault}`);
    }
    inspect(inner, path);
    path.pop();
  }
}
