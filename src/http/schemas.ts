import { z } from "@hono/zod-openapi";

/**
 * Building blocks for wire schemas. Each one bounds what it accepts and says so in the API document;
 * lengths count Unicode code points (contract §2), as JSON Schema does and JavaScript does not.
 */

const CONTROL_CHARACTER = /\p{Cc}/u;
const CONTROL_CHARACTER_BUT_LINES = /[^\P{Cc}\t\n\r]/u;

interface TextOptions {
  min?: number;
  max: number;
  description: string;
  example?: string;
  /** Tabs and line breaks are part of the text. */
  multiline?: boolean;
  /** White space at the ends is dropped before lengths are tested. */
  trim?: boolean;
}

/** Text typed by people: well-formed Unicode of bounded length, without control characters. */
export function text(options: TextOptions) {
  const { min = 0, max } = options;
  const forbidden = options.multiline === true ? CONTROL_CHARACTER_BUT_LINES : CONTROL_CHARACTER;
  const base = options.trim === true ? z.string().trim() : z.string();
  return base
    .check((context) => {
      const fail = (message: string) =>
        context.issues.push({ code: "custom", input: context.value, message });
      const length = codePoints(context.value);
      if (length < min)
        fail(min === 1 ? "must not be empty" : `must have at least ${min} characters`);
      else if (length > max) fail(`must have at most ${max} characters`);
      if (!context.value.isWellFormed()) fail("must be well-formed Unicode");
      else if (forbidden.test(context.value)) fail("must not contain control characters");
    })
    .openapi({
      minLength: min,
      maxLength: max,
      description: options.description,
      ...(options.example === undefined ? {} : { example: options.example }),
    });
}

function codePoints(value: string): number {
  let count = 0;
  for (const _point of value) count++;
  return count;
}

/** A job or task id: decimal digits below 2^53, as a string on the wire (contract §2, Ids). */
export const idString = z
  .string()
  .regex(/^[0-9]{1,16}$/)
  .openapi({ description: "Decimal digits.", example: "7554621440", maxLength: 16 });

/** An id in a path: at most 16 digits. */
export function idParameter(name: string, description: string) {
  return z
    .string()
    .regex(/^[0-9]{1,16}$/, "must be an id: decimal digits")
    .transform(Number)
    .refine(Number.isSafeInteger, "must be an id below 2^53")
    .openapi({
      param: { name, in: "path" },
      type: "string",
      pattern: "^[0-9]{1,16}$",
      maxLength: 16,
      description,
      example: "7554621440",
    });
}

/** A whole number in the query: plain decimal digits, given once. */
export function queryInteger(options: {
  min: number;
  max: number;
  default: number;
  description: string;
}) {
  const range = `must be an integer between ${options.min} and ${options.max}`;
  return z
    .string("must be given once")
    .regex(/^[0-9]{1,16}$/, range)
    .transform(Number)
    .refine((value) => value >= options.min && value <= options.max, range)
    .optional()
    .transform((value) => value ?? options.default)
    .openapi({
      type: "integer",
      format: options.max > 2 ** 31 - 1 ? "int64" : "int32",
      minimum: options.min,
      maximum: options.max,
      default: options.default,
      description: options.description,
    });
}

/** A boolean in the query: `true` or `false`, given once. */
export function queryBoolean(options: { default: boolean; description: string }) {
  return z
    .enum(["true", "false"], "must be true or false, given once")
    .optional()
    .transform((value) => (value === undefined ? options.default : value === "true"))
    .openapi({ type: "boolean", default: options.default, description: options.description });
}

export function integer(options: {
  min: number;
  max: number;
  description: string;
  example?: number;
}) {
  return z
    .int(`must be an integer between ${options.min} and ${options.max}`)
    .refine(
      (value) => value >= options.min && value <= options.max,
      `must be between ${options.min} and ${options.max}`,
    )
    .openapi({
      type: "integer",
      format: options.max > 2 ** 31 - 1 ? "int64" : "int32",
      minimum: options.min,
      maximum: options.max,
      description: options.description,
      ...(options.example === undefined ? {} : { example: options.example }),
    });
}

export const timestamp = z.iso
  .datetime()
  .openapi({ description: "RFC 3339, UTC.", example: "2024-03-15T10:30:00.000Z", maxLength: 40 });

/** A JSON object whose keys are not ours to decide. */
export const jsonObject = z.record(z.string().max(256), z.unknown());

export const errorSchema = z
  .object({
    error: z.object({
      code: z.string().max(64).openapi({ example: "RESOURCE_NOT_FOUND" }),
      message: z.string().max(2048).openapi({ example: "Job with id 7554621440 not found" }),
      details: z
        .array(z.object({ field: z.string().max(512), message: z.string().max(2048) }))
        .max(20)
        .optional()
        .openapi({ description: "On validation errors: which field, and what is allowed." }),
    }),
    message: z.string().max(2048).openapi({ example: "Job with id 7554621440 not found" }),
    request_id: z.string().max(128).openapi({ description: "Also in the `x-request-id` header." }),
    directive: z
      .enum(["stop"])
      .optional()
      .openapi({ description: "With JOB_ENDED: the node stops." }),
  })
  .openapi("Error");
