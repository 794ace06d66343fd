import type { ContentfulStatusCode } from "hono/utils/http-status";

/**
 * Every error the API can answer: code → status and what it means (contract §2). The API document is
 * built from this registry too, so a code cannot change its status from one route to the next.
 */
export const ERRORS = {
  PARAMETER_INCORRECT_VALUE: {
    status: 400,
    meaning: "Something in path, query or body does not parse or validate.",
  },
  JOB_STATE_INVALID: { status: 400, meaning: "The job's state does not allow this." },
  CLIENT_TOKEN_INVALID: {
    status: 401,
    meaning: "No token, or one that is malformed, expired, revoked or of another kind.",
  },
  PERMISSION_DENIED: { status: 403, meaning: "Authenticated, but not allowed." },
  RESOURCE_NOT_FOUND: { status: 404, meaning: "Unknown, deleted, or not visible to the caller." },
  METHOD_NOT_ALLOWED: { status: 405, meaning: "The path exists, but not with this method." },
  RESOURCE_ALREADY_EXISTS: { status: 409, meaning: "A unique name or slug is taken." },
  RESOURCE_IN_USE: { status: 409, meaning: "A runner or a job refers to the spec." },
  NODE_LIMIT_REACHED: { status: 409, meaning: "All expected nodes have joined already." },
  JOB_ENDED: { status: 409, meaning: "The job has ended or is gone; the node stops." },
  STEP_NOT_READY: {
    status: 409,
    meaning: "A result for a step that this node has not been told to run.",
  },
  PRECONDITION_FAILED: {
    status: 412,
    meaning: "The resource is not in a version that `If-Match` names.",
  },
  REQUEST_TOO_LARGE: { status: 413, meaning: "The body is above the route's limit." },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    meaning: "The body is of a type this route does not read.",
  },
  RANGE_NOT_SATISFIABLE: { status: 416, meaning: "The file has no byte of the `Range` asked for." },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    meaning: "The same key or result slot was used before with different content.",
  },
  TOO_MANY_REQUESTS: { status: 429, meaning: "Too many requests; see Retry-After." },
  INTERNAL_ERROR: { status: 500, meaning: "Our fault. The request id leads us to the cause." },
  SERVICE_UNAVAILABLE: { status: 503, meaning: "Passing trouble; see Retry-After." },
} as const satisfies Record<string, { status: ContentfulStatusCode; meaning: string }>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorDetail {
  /** Dotted path of the field, such as `benchmarks.0.config`. */
  field: string;
  message: string;
}

/** An answer other than success. Its message is shown to the caller: it holds nothing internal. */
export class ApiError extends Error {
  override name = "ApiError";
  readonly code: ErrorCode;
  readonly details: ErrorDetail[] | undefined;
  readonly headers: Record<string, string>;
  /** Tells an agent to stop (contract §2, JOB_ENDED). */
  readonly directive: "stop" | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      details?: ErrorDetail[];
      headers?: Record<string, string>;
      directive?: "stop";
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details;
    this.headers = options.headers ?? {};
    this.directive = options.directive;
  }

  get status(): ContentfulStatusCode {
    return ERRORS[this.code].status;
  }
}

/** One field of the request is wrong. */
export function invalidField(field: string, message: string): ApiError {
  return new ApiError("PARAMETER_INCORRECT_VALUE", message, { details: [{ field, message }] });
}

/** The one answer for what is unknown, deleted or not the caller's to see. */
export function notFound(kind: string, id: string | number): ApiError {
  return new ApiError("RESOURCE_NOT_FOUND", `${kind} with id ${id} not found`);
}

export function unauthorized(message = "Invalid or expired token"): ApiError {
  return new ApiError("CLIENT_TOKEN_INVALID", message, {
    headers: { "WWW-Authenticate": "Bearer" },
  });
}

export function unavailable(retryAfterSeconds: number, cause: unknown): ApiError {
  return new ApiError("SERVICE_UNAVAILABLE", "The service cannot answer right now; try again", {
    headers: { "Retry-After": String(retryAfterSeconds) },
    cause,
  });
}

/** A message may repeat what the caller sent; it is cut to what the API document promises. */
const MAX_MESSAGE = 2_048;
const MAX_FIELD = 512;

/** The error body of every route (contract §2): it serves clients of both published APIs at once. */
export function errorBody(error: ApiError, requestId: string) {
  const message = cut(error.message, MAX_MESSAGE);
  const details = error.details?.map((detail) => ({
    field: cut(detail.field, MAX_FIELD),
    message: cut(detail.message, MAX_MESSAGE),
  }));
  return {
    error: { code: error.code, message, ...(details === undefined ? {} : { details }) },
    message,
    request_id: requestId,
    ...(error.directive === undefined ? {} : { directive: error.directive }),
  };
}

/** Cut by code points, so that no character is halved. */
function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const points = [...text];
  return points.length <= limit ? text : `${points.slice(0, limit - 1).join("")}…`;
}
