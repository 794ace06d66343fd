/** Building blocks for query parameters: each is text that is given once unless it says otherwise. */
import { z } from "@hono/zod-openapi";
import { toNfc } from "../lib/text.ts";
import {
  CONTROL,
  CONTROL_CHARACTER,
  codePoints,
  type IntegerOptions,
  integerDocumentation,
} from "./schemas.ts";

/** A whole number in the query: plain decimal digits, given once. */
export function queryInteger(options: IntegerOptions & { default: number }) {
  return optionalQueryInteger(options)
    .transform((value) => value ?? options.default)
    .openapi({ type: "integer", default: options.default, ...integerDocumentation(options) });
}

/** A boolean in the query: `true` or `false`, given once. */
export function queryBoolean(options: { default: boolean; description: string }) {
  return z
    .enum(["true", "false"], "must be true or false, given once")
    .optional()
    .transform((value) => (value === undefined ? options.default : value === "true"))
    .openapi({ type: "boolean", default: options.default, description: options.description });
}

/** A text parameter, given once. An empty value is ignored. A name is compared in NFC, as it is stored. */
export function queryText(options: {
  max: number;
  description: string;
  example?: string;
  isName?: boolean;
  trim?: boolean;
}) {
  const { max, isName = false, trim = false, ...documentation } = options;
  const given = z.string("must be given once");
  const once = trim ? given.trim() : given;
  return (isName ? once.overwrite(toNfc) : once)
    .check((context) => {
      const { value } = context;
      const fail = (message: string) =>
        context.issues.push({ code: "custom", input: value, message });
      if (codePoints(value) > max) fail(`must have at most ${max} characters`);
      if (CONTROL_CHARACTER.test(value)) fail("must not contain control characters");
    })
    .optional()
    .transform((value) => (value === "" ? undefined : value))
    .openapi({ type: "string", maxLength: max, pattern: `^[^${CONTROL}]*$`, ...documentation });
}

/** A value of a known form in the query, given once. */
export function queryPatternText(options: { pattern: RegExp; max: number; description: string }) {
  const { pattern, max, description } = options;
  return z
    .string("must be given once")
    .regex(pattern, "contains invalid characters")
    .max(max)
    .optional()
    .openapi({ minLength: 1, description });
}

/** As `queryInteger`, without a value when it is absent. */
export function optionalQueryInteger(options: IntegerOptions) {
  const range = `must be an integer between ${options.min} and ${options.max}`;
  return z
    .string("must be given once")
    .regex(/^[0-9]{1,16}$/, range)
    .transform(Number)
    .refine((value) => value >= options.min && value <= options.max, range)
    .optional()
    .openapi({ type: "integer", ...integerDocumentation(options) });
}

/** One of a few values in the query, given once. */
export function queryChoice<const Words extends readonly string[]>(
  words: Words,
  description: string,
) {
  return z.enum(words, `must be one of ${words.join(", ")}, given once`).openapi({ description });
}

/** A parameter that may be given several times; an empty list when it is absent. */
export function queryList<Item extends z.ZodType>(item: Item) {
  return z.preprocess(
    (value) => (value === undefined ? [] : Array.isArray(value) ? value : [value]),
    z.array(item),
  );
}

const ISO_8601 =
  /^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:[.,](\d{1,9}))?)?)([Zz]|[+\- ]\d{2}(?::?\d{2})?)?)?$/;
const NO_TIME = "must be an ISO 8601 date or time, such as 2024-03-15T10:30:00Z, given once";

/**
 * A time in the query, in ms (as `parseIso8601` says): a date, a time without a zone, which is UTC, or one
 * with an offset. A `+` that came as a space is understood.
 */
export function queryTime(description: string) {
  return z
    .string(NO_TIME)
    .transform((text, context) => {
      const ms = parseIso8601(text);
      if (ms === null) context.addIssue({ code: "custom", message: NO_TIME });
      return ms ?? 0;
    })
    .optional()
    .openapi({ type: "string", format: "date-time", maxLength: 40, description });
}

/**
 * Reads an ISO 8601 time, in ms. A time between two milliseconds gets half a millisecond more than the first.
 * Null for any other text, and for a day that does not exist, such as 2024-02-30.
 */
export function parseIso8601(text: string): number | null {
  const [, date, time = "00:00", fraction = "", zone = "Z"] = ISO_8601.exec(text) ?? [];
  if (date === undefined) return null;
  const [hours = "", minutes = "00"] = zone.slice(1).match(/\d{2}/g) ?? [];
  const sign = zone.startsWith("-") ? -1 : 1;
  const offset = sign * (Number(hours) * 60 + Number(minutes));
  const [clock = ""] = time.split(/[.,]/);
  const local = Date.parse(`${date}T${clock.length === 5 ? `${clock}:00` : clock}Z`);
  // `Date.parse` reads a day that the month does not have as a day of the next month.
  const isReal = !Number.isNaN(local) && new Date(local).toISOString().startsWith(date);
  if (!isReal || Number(hours) > 23 || Number(minutes) > 59) return null;
  const ms = Number(fraction.padEnd(3, "0").slice(0, 3));
  // A number has no room for nanoseconds beside today's milliseconds; half a millisecond keeps the order.
  const isBetween = /[1-9]/.test(fraction.slice(3));
  return local + ms + (isBetween ? 0.5 : 0) - offset * 60_000;
}

/** An id of a job or a task in the query, given once. */
export function queryId(description: string) {
  return z
    .string("must be given once")
    .regex(/^[0-9]{1,16}$/, "must be an id: decimal digits")
    .transform(Number)
    .refine(Number.isSafeInteger, "must be an id below 2^53")
    .optional()
    .openapi({ maxLength: 16, description });
}
