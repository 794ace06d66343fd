import type { ContentfulStatusCode } from "hono/utils/http-status";

/**
 * Every error the API can answer: code → status (docs/contract.md, "HTTP rules"). The API document is built
 * from this registry too, so a code cannot change its status from one route to the next.
 */
export const ERRORS = {
  PARAMETER_INCORRECT_VALUE: { status: 400 },
  JOB_STATE_INVALID: { status: 400 },
  CLIENT_TOKEN_INVALID: { status: 401 },
  PERMISSION_DENIED: { status: 403 },
  RESOURCE_NOT_FOUND: { status: 404 },
  METHOD_NOT_ALLOWED: { status: 405 },
  RESOURCE_ALREADY_EXISTS: { status: 409 },
  RESOURCE_IN_USE: { status: 409 },
  NODE_LIMIT_REACHED: { status: 409 },
  MACHINE_IN_USE: { status: 409 },
  JOB_ENDED: { status: 409 },
  STEP_NOT_READY: { status: 409 },
  PRECONDITION_FAILED: { status: 412 },
  REQUEST_TOO_LARGE: { status: 413 },
  UNSUPPORTED_MEDIA_TYPE: { status: 415 },
  RANGE_NOT_SATISFIABLE: { status: 416 },
  IDEMPOTENCY_KEY_REUSED: { status: 422 },
  UPGRADE_REQUIRED: { status: 426 },
  TOO_MANY_REQUESTS: { status: 429 },
  QUOTA_EXCEEDED: { status: 429 },
  INTERNAL_ERROR: { status: 500 },
  SERVICE_UNAVAILABLE: { status: 503 },
} as const satisfies Record<string, { status: ContentfulStatusCode }>;

export type ErrorCode = keyof typeof ERRORS;
