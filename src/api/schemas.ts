/**
 * Building blocks for wire schemas. Each one bounds its values, and the bound is in the API document. Lengths
 * count Unicode code points, as JSON Schema does and JavaScript does not (docs/contract.md, "HTTP rules").
 */
import { z } from "@hono/zod-openapi";
import { KIB } from "../lib/bytes.ts";
import { toNfc } from "../lib/text.ts";
import { ERRORS, type ErrorCode } from "./errors.ts";

export const CONTROL_CHARACTER = /\p{Cc}/u;
const CONTROL_CHARACTER_BUT_LINES = /[^\P{Cc}\t\n\r]/u;

/** The same as JSON Schema patterns, readable with and without the `u` flag. */
export const CONTROL = "\\u0000-\\u001F\\u007F-\\u009F";
const CONTROL_BUT_LINES = "\\u0000-\\u0008\\u000B\\u000C\\u000E-\\u001F\\u007F-\\u009F";

interface TextOptions {
  min?: number;
  max: number;
  description: string;
  example?: string;
  /** Tabs and line breaks are part of the text. */
  multiline?: boolean;
  /** White space at the ends is dropped before lengths are tested. */
  trim?: boolean;
  /** A name, stored and compared in NFC: its length is that of the composed form. */
  isName?: boolean;
}

/** Text typed by people: well-formed Unicode of bounded length, without control characters. */
export function text(options: TextOptions) {
  const { min = 0, max } = options;
  const forbidden = options.multiline === true ? CONTROL_CHARACTER_BUT_LINES : CONTROL_CHARACTER;
  const trimmed = options.trim === true ? z.string().trim() : z.string();
  return (options.isName === true ? trimmed.overwrite(toNfc) : trimmed)
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
      ...(min === 0 ? {} : { minLength: min }),
      maxLength: max,
      pattern: textPattern(options),
      description: options.description,
      ...(options.example === undefined ? {} : { example: options.example }),
    });
}

function textPattern({ multiline, trim, min = 0 }: TextOptions): string {
  const control = multiline === true ? CONTROL_BUT_LINES : CONTROL;
  // White space alone is empty once it is trimmed.
  const needed = trim === true && min > 0 ? `[^\\s${control}][^${control}]*` : "";
  return `^[^${control}]*${needed}$`;
}

export function codePoints(value: string): number {
  let count = 0;
  for (const _point of value) count++;
  return count;
}

/**
 * A message that the server writes: bounded, and of any characters, since it may repeat a caller's text. The
 * pattern only requires one character.
 */
export function message(max: number, description: string) {
  return z.string().min(1).openapi({ maxLength: max, pattern: "^[\\s\\S]+$", description });
}

/** A value of a known form, such as a benchmark's id. `pattern` has no flags. */
export function patternText(options: {
  pattern: RegExp;
  /** The pattern in words, for callers who miss it. */
  rule?: string;
  max: number;
  description: string;
  example?: string;
}) {
  const { pattern, rule, max, ...documentation } = options;
  return z.string().regex(pattern, rule).max(max).openapi(documentation);
}

/** A job or task id: decimal digits below 2^53, as a string on the wire (docs/contract.md, "HTTP rules"). */
export const idString = patternText({
  pattern: /^[0-9]{1,16}$/,
  max: 16,
  description: "An id: decimal digits, below 2^53.",
  example: "7554621440",
});

/** An id in a path: at most 16 digits. */
export function idParameter(name: string, description: string) {
  return z
    .string()
    .regex(/^[0-9]{1,16}$/, "must be an id: decimal digits")
    .transform(Number)
    .refine(Number.isSafeInteger, "must be an id below 2^53")
    .openapi({ param: { name, in: "path" }, maxLength: 16, description, example: "7554621440" });
}

export interface IntegerOptions {
  min: number;
  max: number;
  description: string;
  example?: number;
}

/** Documentation of an integer that travels as a JSON number or as digits. */
export function integerDocumentation({ min, max, description, example }: IntegerOptions) {
  return {
    format: max > 2 ** 31 - 1 ? "int64" : "int32",
    minimum: min,
    maximum: max,
    description,
    ...(example === undefined ? {} : { example }),
  };
}

/** A JSON integer. Unlike `z.int32`, `z.int` is documented as an integer, also where it is nullable. */
export function integer(options: IntegerOptions) {
  return z
    .int(`must be an integer between ${options.min} and ${options.max}`)
    .refine(
      (value) => value >= options.min && value <= options.max,
      `must be between ${options.min} and ${options.max}`,
    )
    .openapi(integerDocumentation(options));
}

/** A measured figure: any finite number unless bounds are given. */
export function figure(description: string, bounds: { minimum?: number; maximum?: number } = {}) {
  return z.number().openapi({ format: "double", description, ...bounds });
}

export const timestamp = z.iso
  .datetime()
  .openapi({ description: "RFC 3339, UTC.", example: "2024-03-15T10:30:00.000Z", maxLength: 24 });

/** A UUID of any version and variant. */
export const uuid = patternText({
  pattern: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  max: 36,
  description: "A UUID.",
  example: "550e8400-e29b-41d4-a716-446655440000",
}).openapi({ format: "uuid" });

/** A signed token: three base64url parts. */
export function jwt(description: string) {
  return patternText({
    pattern: /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/,
    max: 4_096,
    description,
    example: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3NTU0NjIxNDQwIn0.c2lnbmF0dXJl",
  });
}

/** `schema` or null. (`schema.nullable()` would make the shared schema itself nullable in the document.) */
export function orNull<Schema extends z.ZodType>(schema: Schema) {
  return z.union([schema, z.null()]);
}

/** A JSON object with any keys. Its bound is in words: generators would make an example of any number of properties. */
export function jsonObject({ maxBytes, description }: { maxBytes: number; description: string }) {
  const bound = `At most ${Math.floor(maxBytes / KIB)} KiB of JSON.`;
  return z
    .record(z.string().max(256), z.unknown())
    .openapi({ description: `${description} ${bound}` });
}

/** Keywords of JSON Schema 2020-12 that the type of `.openapi` does not know. */
export function keywords(values: object): object {
  return values;
}

/** A map with at most `maxProperties` entries, whose keys fit `keyPattern`. */
export function map<Value extends z.ZodType>(
  value: Value,
  options: { maxProperties: number; keyPattern: string; description: string },
) {
  const { maxProperties, keyPattern, description } = options;
  return z.record(z.string(), value).openapi({
    maxProperties,
    ...keywords({ propertyNames: { type: "string", maxLength: 128, pattern: keyPattern } }),
    description,
  });
}

const MAX_MESSAGE = 2_048;
const errorMessage = message(MAX_MESSAGE, "The fault and the allowed values, for people.");
const errorCodes = Object.keys(ERRORS) as ErrorCode[]; // Object.keys widens to string

export const errorSchema = z
  .strictObject({
    error: z.strictObject({
      code: z.enum(errorCodes).openapi({ description: "The kind of error, for programs." }),
      message: errorMessage,
      details: z
        .array(
          z.strictObject({
            field: z.string().openapi({
              maxLength: 512,
              pattern: "^[\\s\\S]*$",
              description: "Dotted path of the field; empty for the request as a whole.",
            }),
            message: message(MAX_MESSAGE, "The fault of the field."),
          }),
        )
        .max(20)
        .optional()
        .openapi({ description: "The refused fields of a validation error." }),
    }),
    message: errorMessage,
    request_id: patternText({
      pattern: /^[A-Za-z0-9_.:-]+$/,
      max: 128,
      description:
        "The id of the request, as in the `x-request-id` header. Quote it when you ask for help.",
    }),
    directive: z
      .enum(["stop"])
      .optional()
      .openapi({ description: "Present with `JOB_ENDED`: the node stops." }),
  })
  .openapi("Error", { description: "The body of all errors." });
