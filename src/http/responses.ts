import type { z } from "@hono/zod-openapi";
import { ERRORS, type ErrorCode } from "./errors.ts";
import { errorSchema } from "./schemas.ts";

/** A JSON success response of a route contract. */
export function json<Schema extends z.ZodType>(schema: Schema, description: string) {
  return { content: { "application/json": { schema } }, description };
}

/** A JSON request body of a route contract. Without `required` an empty body would pass as `{}`. */
export function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { content: { "application/json": { schema } }, required: true as const };
}

type StatusOf<Code extends ErrorCode> = (typeof ERRORS)[Code]["status"];

/**
 * The error responses of a route contract, from the registry: exactly the codes the route can give,
 * grouped by status. Every route can also answer 500 and 503.
 */
export function errors<const Codes extends readonly ErrorCode[]>(...codes: Codes) {
  const all: ErrorCode[] = [...codes, "INTERNAL_ERROR", "SERVICE_UNAVAILABLE"];
  const responses: Record<number, ReturnType<typeof json<typeof errorSchema>>> = {};
  for (const code of all) {
    const { status, meaning } = ERRORS[code];
    const before = responses[status];
    const line = `\`${code}\`: ${meaning}`;
    responses[status] = json(errorSchema, before ? `${before.description}\n\n${line}` : line);
  }
  // Handlers throw ApiError instead of returning error bodies: the type only has to name the statuses.
  return responses as Record<
    StatusOf<Codes[number]> | 500 | 503,
    ReturnType<typeof json<typeof errorSchema>>
  >;
}
