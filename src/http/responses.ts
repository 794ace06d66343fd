import type { z } from "@hono/zod-openapi";
import { ERROR_RESPONSES, type HeaderName, headerRefs } from "./components.ts";
import { ERRORS, type ErrorCode } from "./errors.ts";

interface BodyDocumentation<Schema extends z.ZodType> {
  description: string;
  /** Shown beside the operation; must fit the schema. */
  example: z.input<Schema>;
}

/** A JSON success response of a route contract; `headers` besides those that every response has. */
export function json<Schema extends z.ZodType>(
  schema: Schema,
  options: BodyDocumentation<Schema> & { headers?: readonly HeaderName[] },
) {
  const { description, example, headers = [] } = options;
  return {
    description,
    headers: headerRefs(headers),
    content: { "application/json": { schema, example } },
  };
}

/** A JSON request body of a route contract. Without `required` an empty body would pass as `{}`. */
export function jsonBody<Schema extends z.ZodType>(
  schema: Schema,
  { description, example }: BodyDocumentation<Schema>,
) {
  return {
    description,
    content: { "application/json": { schema, example } },
    required: true as const,
  };
}

/**
 * The error responses of a route contract, from the registry: exactly the given codes, grouped by
 * status. A status with one code refers to that code's shared response.
 */
export function errorResponses(codes: Iterable<ErrorCode>): Record<number, object> {
  const byStatus = Map.groupBy(new Set(codes), (code) => ERRORS[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, [code, ...more]]) => {
      if (code === undefined) throw new Error("Map.groupBy makes no empty groups");
      if (more.length === 0) return [status, { $ref: `#/components/responses/${code}` }];
      const all = [code, ...more].map((each) => ERROR_RESPONSES[each]);
      return [
        status,
        {
          description: all.map(({ description }) => description).join("\n\n"),
          headers: Object.assign({}, ...all.map(({ headers }) => headers)),
          content: {
            "application/json": {
              schema: ERROR_SCHEMA_REF,
              examples: Object.assign(
                {},
                ...all.map(({ content }) => content["application/json"].examples),
              ),
            },
          },
        },
      ];
    }),
  );
}

const ERROR_SCHEMA_REF = { $ref: "#/components/schemas/Error" };
