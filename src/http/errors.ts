import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { ERRORS, type ErrorCode } from "../api/errors.ts";
import { causesOf } from "../db/errors.ts";
import type { FieldFault } from "../lib/faults.ts";
import { logEvent } from "../lib/log.ts";
import { platformFailure } from "../lib/platform-failure.ts";
import type { RequestEnv } from "./context.ts";

/** An error reply. Its message is shown to the caller, so it holds nothing internal. */
export class ApiError extends Error {
  override name = "ApiError";
  readonly code: ErrorCode;
  readonly details: FieldFault[] | undefined;
  readonly headers: Record<string, string>;
  /** Tells an agent to stop (docs/contract.md, "HTTP rules"). */
  readonly directive: "stop" | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      details?: FieldFault[];
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

/**
 * One field of the request is wrong.
 *
 * @param message goes on after the field's name: "must be …"
 */
export function invalidField(field: string, message: string): ApiError {
  const details = [{ field, message }];
  return new ApiError("PARAMETER_INCORRECT_VALUE", `${field} ${message}`, { details });
}

/** The same reply for a resource that is unknown, deleted or not visible to the caller. */
export function notFound(kind: string, id: string | number): ApiError {
  return new ApiError("RESOURCE_NOT_FOUND", `${kind} with id ${id} not found`);
}

/** What callers send as their bearer token, by the operation. */
export type Credential = "token" | "job token" | "runner key";

export const invalid = (credential: Credential) => `Invalid or expired ${credential}`;

export function unauthorized(message = invalid("token")): ApiError {
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

/** Bounds of the API document. A message may repeat a longer text of the caller. */
const MAX_MESSAGE = 2_048;
const MAX_FIELD = 512;

/** The error body of every route, which serves clients of both published APIs (docs/contract.md, "HTTP rules"). */
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

/** Cuts by code points, so that no character is halved. */
function cut(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const points = [...text];
  return points.length <= limit ? text : `${points.slice(0, limit - 1).join("")}…`;
}

/** Answers a thrown error with the error body. Causes go to the log, never to the caller. */
export function onError(thrown: Error, c: Context<RequestEnv>): Response {
  const error = toApiError(thrown);
  if (error.status >= 500) logFailure(thrown, c);
  return c.json(errorBody(error, c.get("requestId")), error.status, error.headers);
}

function toApiError(thrown: Error): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof HTTPException && thrown.status === 415) {
    return new ApiError(
      "UNSUPPORTED_MEDIA_TYPE",
      "The operation does not accept this Content-Type",
    );
  }
  if (thrown instanceof HTTPException && thrown.status < 500) {
    return new ApiError("PARAMETER_INCORRECT_VALUE", "The request body could not be read", {
      cause: thrown,
    });
  }
  const failure = platformFailure(thrown);
  if (failure !== null) return unavailable(failure.retryAfterSeconds, thrown);
  return new ApiError("INTERNAL_ERROR", "Something went wrong on our side", { cause: thrown });
}

function logFailure(thrown: Error, c: Context<RequestEnv>): void {
  logEvent("error", "request_failed", {
    request_id: c.get("requestId"),
    path: c.req.path,
    causes: causesOf(thrown),
  });
}
