/** Building blocks for query parameters: each is text that is given once, and says so in the document. */
import { z } from "@hono/zod-openapi";
import {
  CONTROL,
  CONTROL_CHARACTER,
  codePoints,
  type IntegerOptions,
  integerDocumentation,
} from "./schemas.ts";

/** A whole number in the query: plain decimal digits, given once. */
export function queryInteger(options: IntegerOptions & { default: number }) {
  const range = `must be an integer between ${options.min} and ${options.max}`;
  return z
    .string("must be given once")
    .regex(/^[0-9]{1,16}$/, range)
    .transform(Number)
    .refine((value) => value >= options.min && value <= options.max, range)
    .optional()
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

/** Text in the query, given once; an empty one is as absent. */
export function queryText(options: { max: number; description: string; example?: string }) {
  const { max, ...documentation } = options;
  return z
    .string("must be given once")
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

/** A word of a known form in the query, given once. */
export function queryWord(options: { pattern: RegExp; max: number; description: string }) {
  const { pattern, max, description } = options;
  return z
    .string("must be given once")
    .regex(pattern, "has signs that it cannot have")
    .max(max)
    .optional()
    .openapi({ minLength: 1, description });
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
