import type { Context } from "hono";
import { HTTPException } from "hono/http-exception";
import { causesOf } from "../db/errors.ts";
import { platformFailure } from "../lib/platform-failure.ts";
import type { RequestEnv } from "./context.ts";
import { ApiError, errorBody, unavailable } from "./errors.ts";

/** Turns whatever a handler threw into the one error body. Causes go to the log, never to the caller. */
export function onError(thrown: Error, c: Context<RequestEnv>): Response {
  const error = toApiError(thrown);
  if (error.status >= 500) logFailure(thrown, c);
  return c.json(errorBody(error, c.get("requestId")), error.status, error.headers);
}

function toApiError(thrown: Error): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof HTTPException && thrown.status === 415) {
    return new ApiError("UNSUPPORTED_MEDIA_TYPE", "This route does not read that Content-Type");
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
  const causes = causesOf(thrown);
  console.error(
    JSON.stringify({ level: "error", request_id: c.get("requestId"), path: c.req.path, causes }),
  );
}
