/** Bodies of the node protocol's requests and replies. */
import { z } from "@hono/zod-openapi";
import { idString, keywords, orNull, patternText, text, timestamp } from "../api/schemas.ts";
import { machineFields, UUID } from "../coordinator/wire/machine.ts";
import { nodeView as pollView, stepPosition } from "../coordinator/wire/node-view.ts";
import {
  benchmarkId,
  clockSkewMs,
  MAX_ACTIVITY,
  pollAfterSeconds,
} from "../coordinator/wire/task.ts";
import { specCheckOrNull } from "../jobs/result-schemas.ts";
import { jobDetail } from "../jobs/schemas.ts";
import { nodeFindings, performanceNode } from "../scoreboard/verdict-schemas.ts";

export const nodeView = pollView
  .extend({
    performance: orNull(performanceNode).openapi({
      description:
        "Rating of this node, once its job has settled and is rated; null before, and for a caller that is not a node of the job.",
    }),
    findings: orNull(nodeFindings).openapi({
      description: "The findings of `performance`; null with it.",
    }),
    spec_check: specCheckOrNull,
    detail: jobDetail.optional().openapi({
      description: "The job in full; only for a job without an account, if no `task_id` is sent.",
    }),
  })
  .openapi("NodeView", { description: "The current job and the directive for this node." });

/** Firmware gives these to many machines, which would be taken for one; also all digits alike (the nil UUID). */
const SHARED_UUIDS = new Set([
  "03000200-0400-0500-0006-000700080009",
  // The same in the other byte order.
  "00020003-0004-0005-0006-000700080009",
  "03020100-0504-0706-0809-0a0b0c0d0e0f",
  "00010203-0405-0607-0809-0a0b0c0d0e0f",
]);

function isShared(uuid: string): boolean {
  return new Set(uuid.replaceAll("-", "")).size === 1 || SHARED_UUIDS.has(uuid);
}

export const joinBody = z
  .object({
    machine_uuid: z
      .string()
      .regex(UUID, "must be a UUID")
      .transform((uuid) => uuid.toLowerCase())
      .refine((uuid) => !isShared(uuid), {
        error: ({ input }) => `must not be ${input}, which many machines have; use a random UUID`,
      })
      .openapi({
        format: "uuid",
        maxLength: 36,
        description:
          "Identifies the machine: joining again gives the same task. UUIDs that many machines share, such as the nil UUID, are refused.",
        example: "550e8400-e29b-41d4-a716-446655440000",
      }),
    join_secret: patternText({
      pattern: /^[A-Za-z0-9_-]{22,128}$/,
      rule: "must be 22 to 128 characters of A-Z, a-z, 0-9, - and _",
      max: 128,
      description:
        "Random text, one for each job, stored as SHA-256. Later joins of the machine need it, and the node's calls need the reply's `task_token`.",
      example: "kJ8x0mV2s5tq9wQe1rT4yA",
    }).nullish(),
    ...machineFields,
  })
  .openapi("JoinJob", { description: "The machine that joins." });

export const heartbeatBody = z
  .object({
    progress: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .openapi({ format: "double", description: "Progress of the running step, 0 to 1." }),
    message: text({ max: MAX_ACTIVITY, description: "The node's current activity." }).optional(),
    clock_skew_ms: clockSkewMs.optional(),
    state: z.enum(["failed"]).optional().openapi({ description: "The node gives up." }),
    failed_message: text({
      min: 1,
      max: 1000,
      multiline: true,
      description: "Reason for giving up.",
    }).optional(),
  })
  .refine((body) => body.failed_message === undefined || body.state === "failed", {
    path: ["failed_message"],
    message: "needs state: failed",
  })
  .openapi("NodeHeartbeat", {
    ...keywords({ dependentRequired: { failed_message: ["state"] } }),
    description: "Changes since the last heartbeat. Every field is optional.",
  });

export const storedResult = z
  .strictObject({
    task_id: idString,
    position: stepPosition,
    benchmark_id: benchmarkId,
    state: z.enum(["completed", "failed"]).openapi({ description: "As sent." }),
    started_at: timestamp,
    ended_at: timestamp,
    clock_skew_ms: clockSkewMs.nullable(),
    error_message: text({ max: 1_000, multiline: true, description: "As sent." }).nullable(),
    poll_after_seconds: pollAfterSeconds,
  })
  .openapi("StoredStepResult", { description: "A result, as stored." });

export type StoredResultWire = z.infer<typeof storedResult>;
export type JoinInput = z.infer<typeof joinBody>;
export type HeartbeatInput = z.infer<typeof heartbeatBody>;
