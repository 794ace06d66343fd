import type { Refusal } from "../coordinator/wire/protocol.ts";
import { ApiError, invalid, notFound, unauthorized, unavailable } from "../http/errors.ts";
import { unreadableBody } from "../http/json-body.ts";
import { validationErrorOf } from "../http/validation.ts";

/** The error that a node gets for a refusal of the object. */
export function refuse(
  refusal: Refusal,
  about: { taskId?: number | null; position?: number },
): never {
  switch (refusal.reason) {
    case "unavailable":
      throw unavailable(2, new Error("the coordinator could not read D1"));
    case "gone":
      // The job no longer exists, but its token is still valid. Agents stop at 401, too.
      throw unauthorized(invalid("job token"));
    case "ended":
    case "not_abortable":
    case "not_deletable":
    case "changed":
      throw new ApiError("JOB_ENDED", "The job has ended", { directive: "stop" });
    case "full":
      throw new ApiError("NODE_LIMIT_REACHED", "All expected nodes have already joined");
    case "too_many_joins":
      throw new ApiError("TOO_MANY_REQUESTS", "Too many joins for this job; wait a moment", {
        headers: { "Retry-After": String(refusal.retryAfterSeconds) },
      });
    case "machine_in_use":
      throw new ApiError(
        "MACHINE_IN_USE",
        "Another agent with this machine_uuid is in contact; join with its join_secret, or with another machine_uuid",
        { headers: { "Retry-After": String(refusal.retryAfterSeconds) } },
      );
    case "claims_only":
    case "token_missing":
    case "token_wrong":
      throw accessError(refusal);
    case "task_unknown":
      throw notFound("Task", about.taskId ?? "");
    case "position_invalid":
      throw validationErrorOf([
        { field: "position", message: `must be at most ${refusal.positions - 1}` },
      ]);
    case "body_invalid":
      throw unreadableBody(refusal.fault);
    case "result_invalid":
      throw validationErrorOf(refusal.details);
    case "not_ready":
      throw new ApiError(
        "STEP_NOT_READY",
        `Step ${about.position} is not running on this node; poll for the current directive`,
      );
    case "slot_taken":
      throw new ApiError(
        "IDEMPOTENCY_KEY_REUSED",
        `Step ${about.position} of this task already has another result`,
      );
    case "result_too_large":
      throw new ApiError(
        "REQUEST_TOO_LARGE",
        "The result is above 1.5 MiB when its numbers are written out; send fewer or shorter numbers",
      );
    case "anonymous_too_large":
      throw new ApiError(
        "REQUEST_TOO_LARGE",
        `${refusal.what} must have at most ${refusal.kib} KiB in a job without an account`,
      );
    case "job_too_large":
      throw new ApiError(
        "REQUEST_TOO_LARGE",
        "The results of a job must have at most 16 MiB in total",
      );
  }
}

type AccessRefusal = Extract<Refusal, { reason: "claims_only" | "token_missing" | "token_wrong" }>;

/** The error for an agent that may not be, or speak for, this node. */
function accessError(refusal: AccessRefusal): ApiError {
  switch (refusal.reason) {
    case "claims_only":
      return new ApiError(
        "PERMISSION_DENIED",
        "Only runners of its spec can join this job, by claiming it; use a token only for jobs without a spec",
      );
    case "token_missing":
      return new ApiError(
        "PERMISSION_DENIED",
        "The header Assay-Task-Token is missing: send the task_token from the reply to joining",
      );
    case "token_wrong":
      return new ApiError(
        "PERMISSION_DENIED",
        "The Assay-Task-Token belongs to another task, or another agent has taken this task over; join again",
      );
  }
}
