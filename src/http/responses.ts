import type { z } from "@hono/zod-openapi";
import { headerRefs } from "./component-refs.ts";
import type { HeaderName } from "./components.ts";

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
