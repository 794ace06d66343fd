import { createHash } from "node:crypto";
import type { CallCoordinator, CallerPlace } from "../coordinator/client.ts";
import { toMachine } from "../coordinator/machine-schemas.ts";
import type { NodeReply, Refusal, TaskReply } from "../coordinator/protocol.ts";
import type { Database, Meter } from "../db/client.ts";
import { ApiError, notFound, unauthorized, unavailable } from "../http/errors.ts";
import { validationErrorOf } from "../http/validation.ts";
import { toTimestamp } from "../lib/clock.ts";
import { canonicalJson } from "../lib/json.ts";
import type { ReportsService } from "../reports/service.ts";
import type { HeartbeatInput, JoinInput, ResultInput } from "./contract.ts";

/** A call by one machine of one job. */
export interface NodeCall {
  jobId: number;
  meter: Meter;
  place: CallerPlace | undefined;
}

export type NodesService = ReturnType<typeof createNodesService>;

/**
 * What a machine can do with a job token. Each call is one hop to the job's object and no D1; but a report
 * is made from D1 alone.
 */
export function createNodesService({
  callCoordinator,
  reports,
}: {
  callCoordinator: CallCoordinator;
  reports: ReportsService;
}) {
  return {
    async poll(call: NodeCall, taskId: number | null, known: string | null): Promise<NodeReply> {
      const reply = await callCoordinator(call, (coordinator) =>
        coordinator.poll(call.jobId, taskId, known),
      );
      return reply.ok ? reply : refuse(reply, { taskId });
    },

    async join(call: NodeCall, input: JoinInput): Promise<TaskReply> {
      const machine = toMachine(input.machine_uuid, input);
      const reply = await callCoordinator(call, (coordinator) =>
        coordinator.join(call.jobId, machine),
      );
      return reply.ok ? reply : refuse(reply, {});
    },

    async heartbeat(call: NodeCall, taskId: number, input: HeartbeatInput): Promise<TaskReply> {
      const giveUp = input.failed_message ?? "the node gave up";
      const update = {
        ...(input.progress === undefined ? {} : { progress: input.progress }),
        ...(input.message === undefined ? {} : { message: input.message }),
        ...(input.state === undefined ? {} : { giveUp }),
      };
      const reply = await callCoordinator(call, (coordinator) =>
        coordinator.heartbeat(call.jobId, taskId, update),
      );
      return reply.ok ? reply : refuse(reply, { taskId });
    },

    async putResult(call: NodeCall, taskId: number, position: number, input: ResultInput) {
      const result = {
        state: input.state,
        startedAt: input.started_at,
        endedAt: input.ended_at,
        errorMessage: input.error_message ?? null,
        results: input.results ? JSON.stringify(input.results) : null,
        hash: hashOf(input),
      };
      const reply = await callCoordinator(call, (coordinator) =>
        coordinator.putResult(call.jobId, taskId, position, result),
      );
      if (!reply.ok) return refuse(reply, { taskId, position });
      // Made of the request and the job's plan alone, so that a repeat reads the same.
      const body = {
        task_id: String(taskId),
        position,
        benchmark_id: reply.benchmarkId,
        state: input.state,
        started_at: toTimestamp(input.started_at),
        ended_at: toTimestamp(input.ended_at),
        error_message: input.error_message ?? null,
        poll_after_seconds: 0,
      };
      return { etag: reply.etag, body };
    },

    /** Makes the reports of the token's own job; answers the link to the job's. */
    async generateReport(
      db: Database,
      { jobId, asked }: { jobId: number; asked: number },
      site: string,
    ): Promise<string> {
      if (asked !== jobId) throw notFound("Job", asked);
      const job = await reports.jobOf(db, jobId);
      if (job === null) throw new ApiError("JOB_ENDED", "The job has ended", { directive: "stop" });
      return reports.make(db, job, site);
    },
  };
}

/** Equal for equal results, however they are spelled: key order, white space, null for absent. */
function hashOf(input: ResultInput): string {
  const { results = null, error_message = null, ...rest } = input;
  const text = canonicalJson({ ...rest, results, error_message });
  return createHash("sha256").update(text).digest("base64url");
}

/** What the object refused, as the error a node gets. */
function refuse(refusal: Refusal, about: { taskId?: number | null; position?: number }): never {
  switch (refusal.reason) {
    case "unavailable":
      throw unavailable(2, new Error("the coordinator could not read D1"));
    case "gone":
      // The token was good once, for a job that is no more: 401 means stop, too.
      throw unauthorized();
    case "ended":
    case "not_abortable":
    case "not_deletable":
      throw new ApiError("JOB_ENDED", "The job has ended", { directive: "stop" });
    case "full":
      throw new ApiError("NODE_LIMIT_REACHED", "All expected nodes have joined already");
    case "too_many_joins":
      throw new ApiError("TOO_MANY_REQUESTS", "Too many joins of this job; wait a little", {
        headers: { "Retry-After": String(refusal.retryAfterSeconds) },
      });
    case "task_unknown":
      throw notFound("Task", about.taskId ?? "");
    case "position_invalid":
      throw validationErrorOf([
        { field: "position", message: `must be at most ${refusal.positions - 1}` },
      ]);
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
        `Step ${about.position} of this task has another result already`,
      );
    case "result_too_large":
      throw new ApiError(
        "REQUEST_TOO_LARGE",
        "The result is above 1.5 MiB when its numbers are written out; send fewer or shorter ones",
      );
    case "job_too_large":
      throw new ApiError("REQUEST_TOO_LARGE", "All results of a job together have at most 16 MiB");
  }
}
