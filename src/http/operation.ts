import { createRoute, type RouteConfig } from "@hono/zod-openapi";
import { COMMON_HEADERS, errorResponses, headerRefs, parameterRef } from "./component-refs.ts";
import type { HeaderName } from "./components.ts";
import type { ErrorCode } from "./errors.ts";

/**
 * Who may call: a person, an administrator (of a customer or of all), a root administrator, the agent of a
 * job, a runner, or anyone.
 */
const SECURITY = {
  user: [{ OAuth2PasswordBearer: [] }],
  manager: [{ OAuth2PasswordBearer: [] }],
  admin: [{ OAuth2PasswordBearer: [] }],
  node: [{ JobToken: [] }],
  runner: [{ RunnerKey: [] }],
  // An empty requirement rather than none at all: that nobody has to authenticate is said on purpose.
  open: [{}],
} as const;

/** Every operation is validated and rate-limited, and can fail for reasons of our own. */
const COMMON_ERRORS: readonly ErrorCode[] = [
  "PARAMETER_INCORRECT_VALUE",
  "TOO_MANY_REQUESTS",
  "INTERNAL_ERROR",
  "SERVICE_UNAVAILABLE",
];

interface SuccessResponse {
  description: string;
  headers?: Record<string, { $ref: string }>;
  content?: ZodContentObject;
}

type RouteRequest = NonNullable<RouteConfig["request"]>;
type ZodContentObject = NonNullable<RouteRequest["body"]>["content"];
type NoRequest = Record<never, never>;

interface Operation<Method, Path, Request, Responses> {
  method: Method;
  path: Path;
  operationId: string;
  /** Names the operation's place in the document; described in `openapi.ts`. */
  tags: [string];
  summary: string;
  /** What it does, who may, and its limits. */
  description: string;
  access: keyof typeof SECURITY;
  request?: Request;
  /** Success, and what this route alone answers otherwise; made by `json`. */
  responses: Responses;
  /** What it can answer besides the errors of every operation, of its access and of its body. */
  errors?: readonly ErrorCode[];
  /** Pages of items: `Link` and `X-Total-Count`. */
  list?: true;
  /** One resource: `ETag`, and 304 for `If-None-Match`. */
  single?: true;
  /** Makes something: understands `Idempotency-Key`. */
  creates?: true;
  /** Changes or removes one resource: understands `If-Match`. */
  conditional?: true;
}

/**
 * A route contract: `createRoute` with everything that follows from a few words. Security, the error
 * responses with their headers and examples, and the headers of success are written here once, so
 * that no operation can forget one. Error responses are not part of the type: handlers throw
 * `ApiError` and return success only.
 */
export function operation<
  const Method extends RouteConfig["method"],
  const Path extends string,
  Responses extends Record<number, SuccessResponse>,
  Request extends RouteRequest = NoRequest,
>(options: Operation<Method, Path, Request, Responses>) {
  const { access, request, responses, errors = [], ...rest } = options;
  const { list, single, creates, conditional, ...documented } = rest;
  const parameters = [
    ...(creates ? [parameterRef("Idempotency-Key")] : []),
    ...(single ? [parameterRef("If-None-Match")] : []),
    ...(conditional ? [parameterRef("If-Match")] : []),
  ];
  const successHeaders: HeaderName[] = [
    ...COMMON_HEADERS,
    ...(list ? (["X-Total-Count", "Link"] as const) : []),
    ...(single ? (["ETag"] as const) : []),
    ...(creates ? (["Idempotency-Replayed"] as const) : []),
  ];
  const codes = new Set<ErrorCode>([
    ...COMMON_ERRORS,
    ...(access === "open" ? [] : (["CLIENT_TOKEN_INVALID"] as const)),
    ...(access === "admin" || access === "manager" ? (["PERMISSION_DENIED"] as const) : []),
    ...(request?.body?.content["application/json"] === undefined
      ? []
      : (["REQUEST_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"] as const)),
    ...(creates ? (["IDEMPOTENCY_KEY_REUSED"] as const) : []),
    ...(conditional ? (["PRECONDITION_FAILED"] as const) : []),
    ...errors,
  ]);
  const own = Object.entries<SuccessResponse>(responses).map(([status, response]) => [
    status,
    { ...response, headers: { ...headerRefs(successHeaders), ...response.headers } },
  ]);
  return createRoute({
    ...documented,
    security: SECURITY[access].map((requirement) => ({ ...requirement })),
    ...(parameters.length === 0 ? {} : { parameters }),
    // Without a request there is nothing to validate.
    request: request ?? ({} as Request),
    // What handlers return is typed by the route's own responses; the rest is documentation.
    responses: {
      ...errorResponses(codes),
      ...(single ? { 304: NOT_MODIFIED } : {}),
      ...Object.fromEntries(own),
    } as Responses,
  });
}

const NOT_MODIFIED = {
  description: "Nothing has changed since the version you hold; there is no body.",
  headers: headerRefs([...COMMON_HEADERS, "ETag"]),
};
