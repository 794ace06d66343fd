import type { FieldFault } from "./faults.ts";
import { closingQuote } from "./json.ts";

/** A fault that keeps a body from being read. `field` is null for a fault of the body as a whole, else `message` follows it. */
export interface JsonFault {
  field: string | null;
  message: string;
}

export type JsonBody =
  | { ok: true; value: { [key: string]: unknown } }
  | { ok: false; fault: JsonFault };

/** Valid bodies are nested less than a tenth as deep; deeper ones could exhaust a stack later. */
const MAX_DEPTH = 100;
/** Each value costs memory and time at every stage, however few bytes it has. */
const MAX_VALUES = 50_000;

const TOO_MANY: JsonFault = {
  field: null,
  message: "The body must hold at most 50,000 JSON values: numbers, texts, lists and objects",
};

/**
 * Parses the JSON object of a request body, and refuses numbers that JavaScript would silently change:
 * integers beyond 2^53 and numbers that overflow. The last of repeated keys wins. The text is parsed a second
 * time only when it holds a number whose spelling decides. Nesting and values are counted before anything is built.
 *
 * @param tooMany the fault of a body with more than 50,000 values, which are those of lists and members, and both themselves
 */
export function parseJsonBody(text: string, tooMany: JsonFault = TOO_MANY): JsonBody {
  const refuse = (message: string): JsonBody => ({ ok: false, fault: { field: null, message } });
  const excess = excessOf(text);
  if (excess === "depth") return refuse(`The body is nested more than ${MAX_DEPTH} levels deep`);
  if (excess === "values") return { ok: false, fault: tooMany };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse("The body is not valid JSON");
  }
  if (!isJsonObject(value)) return refuse("The body must be a JSON object");
  const fault = mayBeInexact(value) ? findInexact(JSON.parse(text, markInexact), []) : null;
  return fault === null ? { ok: true, value } : { ok: false, fault };
}

function isJsonObject(value: unknown): value is { [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The bound that a JSON text exceeds, or null; of any other text, either. One pass, which ends at the excess. */
function excessOf(text: string): "depth" | "values" | null {
  let depth = 0;
  let values = 1;
  /** A list or an object has just been opened. */
  let isOpen = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code <= 0x20) continue; // white space
    const isClosing = code === 0x5d || code === 0x7d; // ] }
    // The first value inside; each later one follows a comma.
    if (code === 0x2c || (isOpen && !isClosing)) values++; // ,
    if (values > MAX_VALUES) return "values";
    isOpen = code === 0x5b || code === 0x7b; // [ {
    if (isOpen && ++depth > MAX_DEPTH + 1) return "depth";
    if (isClosing) depth--;
    if (code === 0x22) at = closingQuote(text, at); // "
  }
  return null;
}

/** True for a value with a number whose spelling decides. */
function mayBeInexact(value: object): boolean {
  return Object.values(value).some((inner) =>
    typeof inner === "number"
      ? isInexact(inner)
      : typeof inner === "object" && inner !== null && mayBeInexact(inner),
  );
}

/** Too large for a number, or an integer that may have been rounded: its spelling decides (`markInexact`). */
function isInexact(value: number): boolean {
  return !Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value));
}

/** Marks the place of a number that cannot be represented in a parsed value. */
class Inexact {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

/** A JSON.parse reviver; `source` is the number as it was written. Exponents, as in `1e20`, are accepted. */
function markInexact(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== "number" || !isInexact(value)) return value;
  if (!Number.isFinite(value)) return new Inexact("is a number too large to represent");
  const isWrittenOut = /^-?[0-9]+$/.test(context?.source ?? "");
  if (!isWrittenOut) return value;
  const limit = value < 0 ? "at least -9007199254740991" : "at most 9007199254740991";
  return new Inexact(`must be ${limit} (2^53 - 1): larger integers are not exact`);
}

/** The fault of the first marked number. */
function findInexact(value: object, path: string[]): FieldFault | null {
  for (const [key, inner] of Object.entries(value)) {
    if (typeof inner !== "object" || inner === null) continue;
    const place = [...path, key];
    if (inner instanceof Inexact) {
      return { field: place.join("."), message: inner.reason };
    }
    const fault = findInexact(inner, place);
    if (fault !== null) return fault;
  }
  return null;
}
