import { type RouteConfig, z } from "@hono/zod-openapi";
import { KIB } from "../lib/bytes.ts";
import type { HeaderName } from "./components.ts";
import type { ErrorCode } from "./errors.ts";

/** The callers that a route accepts. */
export type Access =
  /** A person, by a session or an API token. */
  | "user"
  /** An administrator, of a customer or of all. */
  | "manager"
  /** A root administrator. */
  | "admin"
  /** The agent of a job. */
  | "node"
  /** The agent of a job, or a reader of a job without an account. */
  | "nodeOrReader"
  | "runner"
  /** Anyone. */
  | "open";

/** Rate limits of a route, which add to the limit of its callers; on open routes they replace it. */
export type RouteLimit = "anonymous" | "sign-in-address" | "sign-in-account" | "report";

/** The caller must have signed in: `recent` at most 15 minutes ago. API tokens are refused. */
export type SessionRule = "any" | "recent";

/** Checks that a request passes before the handler runs. They are not part of the API document. */
export interface Serving<A extends Access = Access> {
  access: A;
  limit: RouteLimit | null;
  session: SessionRule | null;
  /** Null for a route that reads no body. */
  body: {
    type: "json" | "unparsed-json" | "form";
    isOptional: boolean;
    maxBytes: number;
    /** Keys that are refused where they nearly are known; null where unknown keys are ignored. */
    keys: { names: readonly string[]; aliases: Readonly<Record<string, string | null>> } | null;
  } | null;
  /** Replies hold a credential, or are for one node: caches must not store them. */
  isSecret: boolean;
  /** The query's parameters; null for a route without any. */
  query: { names: readonly string[]; refusesNear: boolean } | null;
}

/** The default bound on bodies (docs/contract.md, "HTTP rules"). */
export const BODY_LIMIT = 256 * KIB;

export interface SuccessResponse {
  description: string;
  headers?: Record<string, { $ref: string }>;
  content?: ZodContentObject;
}

type RouteRequest = NonNullable<RouteConfig["request"]>;
type ZodContentObject = NonNullable<RouteRequest["body"]>["content"];
type NoRequest = Record<never, never>;

// A type, since an interface would not be assignable to the framework's routes: they allow any `x-` key.
type Operation<Method, Path, A, Request, Responses> = {
  method: Method;
  path: Path;
  operationId: string;
  /** The operation's section in the document, from the list in `document.ts`. */
  tags: [string];
  summary: string;
  /** Effect, allowed callers and limits. */
  description: string;
  access: A;
  /** Counted per caller: per address where the route is open. */
  limit?: RouteLimit;
  /** Besides the access. */
  session?: SessionRule;
  request?: Request;
  /** The bound on the body in bytes; by default `BODY_LIMIT`. */
  bodyLimit?: number;
  /** Keys that people send for a known one, by the known one; null for one that only looks misspelt. */
  aliases?: Readonly<Record<string, string | null>>;
  /** The handler takes its JSON body as text, and passes it on to be parsed and validated. */
  bodyIsText?: true;
  /** Success responses, and error responses of this route alone; made by `json`. */
  responses: Responses;
  /** Error codes besides those of every operation, of its access and of its body. */
  errors?: readonly ErrorCode[];
  /** A list of pages: replies have `Link` and `X-Total-Count`. */
  list?: true;
  /** Shows a part of what there is, or counts it, by filters. Here, in lists and in changes misspelt parameters are refused. */
  counts?: true;
  /** One resource: replies have an `ETag`, and `If-None-Match` can get 304. */
  single?: true;
  /** A stream that can be taken up again: understands `Last-Event-ID`. */
  resumes?: true;
  /** Creates a resource: understands `Idempotency-Key`. */
  creates?: true;
  /** Changes or removes one resource: understands `If-Match`. */
  conditional?: true;
  /** A call of one node: understands `Assay-Task-Token`, and refuses that of another. */
  ofTask?: true;
  /** Replies hold a credential, or are for one node: `Cache-Control: no-store`. */
  secret?: true;
};

/**
 * The contract of a route. Security, common error responses and common headers follow from its options: the
 * API document adds them (`describe.ts`), so that no operation can lack one. Error responses are not part of
 * the type: handlers throw `ApiError` and return success only.
 */
export function operation<
  const Method extends RouteConfig["method"],
  const Path extends string,
  const A extends Access,
  Responses extends Record<number, SuccessResponse>,
  Request extends RouteRequest = NoRequest,
>(options: Operation<Method, Path, A, Request, Responses>) {
  const { access, limit = null, request, bodyLimit: maxBytes = BODY_LIMIT } = options;
  // Agents may be newer than the server: their unknown keys are not mistakes.
  const isOfAgent = access === "node" || access === "runner";
  const serving: Serving<A> = {
    access,
    limit,
    session: options.session ?? null,
    body:
      request?.body === undefined
        ? null
        : bodyOf(request.body, { ...options, maxBytes, isOfAgent }),
    isSecret: options.secret === true,
    query:
      request?.query === undefined
        ? null
        : {
            names: namesOf(request.query),
            refusesNear: (options.list ?? options.counts ?? false) || options.method !== "get",
          },
  };
  // Without a request there is nothing to validate.
  return { ...options, request: request ?? ({} as Request), serving };
}

/** Any route contract. */
export type AnyOperation = Operation<
  RouteConfig["method"],
  string,
  Access,
  RouteRequest,
  Record<number, SuccessResponse>
> & { serving: Serving };

function bodyOf(
  { content, required = false }: NonNullable<RouteRequest["body"]>,
  options: {
    maxBytes: number;
    isOfAgent: boolean;
    bodyIsText?: true;
    aliases?: Readonly<Record<string, string | null>>;
  },
): Serving["body"] {
  const { maxBytes, isOfAgent, bodyIsText, aliases = {} } = options;
  const json = bodyIsText ? "unparsed-json" : "json";
  const type = "application/json" in content ? json : "form";
  const { schema } = { schema: undefined, ...content["application/json"] };
  const keys = isOfAgent || type !== "json" ? null : { names: namesOf(schema), aliases };
  return { type, isOptional: !required, maxBytes, keys };
}

/** Names of a query's parameters or a body's keys; they may be transformed as a whole. */
function namesOf(sent: unknown): string[] {
  if (sent instanceof z.ZodPipe) return namesOf(sent.in);
  return sent instanceof z.ZodObject ? Object.keys(sent.shape) : [];
}

interface BodyDocumentation<Schema extends z.ZodType> {
  description: string;
  /** An example in the document; it must fit the schema. */
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

/** The response of an operation that is a WebSocket. */
export const SWITCHED: SuccessResponse = { description: "The socket is open." };

/** A text of any length in a success response. */
export function textStream(example: string) {
  const schema = z.string().openapi({ maxLength: 2 ** 31 - 1, pattern: "^[\\s\\S]*$" });
  return { schema, example };
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

export function headerRefs(names: Iterable<HeaderName>): Record<string, { $ref: string }> {
  return Object.fromEntries(
    Array.from(names, (name) => [name, { $ref: `#/components/headers/${name}` }]),
  );
}
