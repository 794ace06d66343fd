/** Completes a contract for the API document. The build alone uses it. */
import type { RouteConfig } from "@hono/zod-openapi";
import { COMMON_HEADERS, type HeaderName, type ParameterName } from "./components.ts";
import { sharedResponse } from "./error-responses.ts";
import { ERRORS, type ErrorCode } from "./errors.ts";
import { type Access, type AnyOperation, headerRefs, type SuccessResponse } from "./operation.ts";

const SECURITY = {
  user: [{ OAuth2PasswordBearer: [] }],
  manager: [{ OAuth2PasswordBearer: [] }],
  admin: [{ OAuth2PasswordBearer: [] }],
  node: [{ JobToken: [] }],
  nodeOrReader: [{ JobToken: [] }],
  runner: [{ RunnerBearer: [] }],
  // Linters take a missing requirement for an oversight; an empty one is a decision.
  open: [{}],
} as const satisfies Record<Access, readonly Record<string, never[]>[]>;

/** Accesses that can answer 403 to a person; to an API token that only reads, every access of people can. */
const PRIVILEGED: readonly Access[] = ["manager", "admin"];

/** Errors of every operation: each is validated and rate-limited, and can fail on the server's side. */
const COMMON_ERRORS: readonly ErrorCode[] = [
  "PARAMETER_INCORRECT_VALUE",
  "TOO_MANY_REQUESTS",
  "INTERNAL_ERROR",
  "SERVICE_UNAVAILABLE",
];

/** An operation with its security, its parameters in headers, its error responses and its common headers. */
export function describeOperation(contract: AnyOperation): RouteConfig {
  const { method, path, operationId, tags, summary, description, access, ...more } = contract;
  const { list, single, creates, conditional, ofTask, resumes, request, responses } = more;
  const parameters = [
    ...(ofTask ? [parameterRef("Assay-Task-Token")] : []),
    ...(resumes ? [parameterRef("Last-Event-ID")] : []),
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
  const own = Object.entries<SuccessResponse>(responses).map(([status, response]) => [
    status,
    { ...response, headers: { ...headerRefs(successHeaders), ...response.headers } },
  ]);
  return {
    method,
    path,
    operationId,
    tags,
    summary,
    description,
    security: SECURITY[access].map((requirement) => ({ ...requirement })),
    ...(parameters.length === 0 ? {} : { parameters }),
    request: request ?? {},
    responses: {
      ...errorResponses(codesOf(contract)),
      ...(single ? { 304: NOT_MODIFIED } : {}),
      ...Object.fromEntries(own),
    },
  };
}

/** Every code that an operation may answer. */
function codesOf(contract: AnyOperation) {
  const { access, method, request, creates, conditional, ofTask, errors = [] } = contract;
  return new Set<ErrorCode>([
    ...COMMON_ERRORS,
    ...(access === "open" ? [] : (["CLIENT_TOKEN_INVALID"] as const)),
    ...(PRIVILEGED.includes(access) || ofTask || (access === "user" && method !== "get")
      ? (["PERMISSION_DENIED"] as const)
      : []),
    ...(request?.body?.content["application/json"] === undefined
      ? []
      : (["REQUEST_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"] as const)),
    ...(creates ? (["IDEMPOTENCY_KEY_REUSED"] as const) : []),
    ...(conditional ? (["PRECONDITION_FAILED"] as const) : []),
    ...errors,
  ]);
}

const NOT_MODIFIED = {
  description: "The version that you have is current. The reply has no body.",
  headers: headerRefs([...COMMON_HEADERS, "ETag"]),
};

function parameterRef(name: ParameterName) {
  return { $ref: `#/components/parameters/${name}` };
}

/** Error responses by status. A single code refers to its component; several codes are written out. */
function errorResponses(codes: Iterable<ErrorCode>): RouteConfig["responses"] {
  const byStatus = Map.groupBy(codes, (code) => ERRORS[code].status);
  return Object.fromEntries(
    [...byStatus].map(([status, all]) => [
      status,
      all.length === 1 ? { $ref: `#/components/responses/${all[0]}` } : sharedResponse(all),
    ]),
  );
}
