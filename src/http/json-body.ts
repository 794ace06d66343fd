import { createMiddleware } from "hono/factory";
import type { RequestEnv } from "./context.ts";
import { ApiError, invalidField } from "./errors.ts";

export const KIB = 1_024;
export const MIB = 1_024 * KIB;

/** The bound on JSON bodies where a route names no other (contract §2, Limits). */
export const JSON_BODY_LIMIT = 256 * KIB;

/**
 * Reads the body once, counting while it arrives (a header can lie, a chunked body has none), decodes
 * it strictly as UTF-8 and refuses JSON numbers that JavaScript would silently change. What the
 * validators read afterwards is the text kept here.
 */
export function readBody(limitBytes: number) {
  return createMiddleware<RequestEnv>(async (c, next) => {
    if (c.req.raw.body !== null) {
      const bytes = await readBounded(c.req.raw.body, limitBytes);
      const body = decodeUtf8(bytes);
      if (/^application\/(.+\+)?json/i.test(c.req.header("content-type") ?? "")) {
        const value = parseExactJson(body);
        // Validators call this: the body is parsed once, here. The cast keeps Hono's generic signature.
        c.req.json = (() => Promise.resolve(value)) as typeof c.req.json;
      }
      // Hono awaits what it finds here; its type says string.
      c.req.bodyCache.text = Promise.resolve(body) as unknown as string;
    }
    await next();
  });
}

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

function parseExactJson(body: string): object {
  let value: unknown;
  try {
    value = MAY_BE_INEXACT.test(body) ? JSON.parse(body, refuseInexact) : JSON.parse(body);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError("PARAMETER_INCORRECT_VALUE", "The body is not valid JSON", { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new ApiError("PARAMETER_INCORRECT_VALUE", "The body must be a JSON object");
  }
  return value;
}

/** A JSON.parse reviver; `source` is the number as it was written. */
function refuseInexact(key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number") return value;
  if (!Number.isFinite(value)) throw invalidField(key, `${key} is a number too large to represent`);
  if (
    Number.isInteger(value) &&
    !Number.isSafeInteger(value) &&
    /^-?[0-9]+$/.test(context?.source ?? "")
  ) {
    throw invalidField(key, `${key} is an integer beyond 2^53`);
  }
  return value;
}
