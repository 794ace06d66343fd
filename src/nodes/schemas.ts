/** What the node protocol reads and answers. */
import { z } from "@hono/zod-openapi";
import {
  clusterAddress,
  machineFields,
  nodeTask,
  pollAfterSeconds,
  taskReply,
} from "../coordinator/machine-schemas.ts";
import {
  benchmarkId,
  CONFIG_BYTES,
  jobState,
  MAX_NODES,
  MAX_STEPS,
  rank,
} from "../coordinator/wire-schemas.ts";
import {
  CLOSED,
  idString,
  integer,
  jsonObject,
  keywords,
  orNull,
  text,
  timestamp,
  word,
} from "../http/schemas.ts";
import { jobDetail } from "../jobs/anonymous/contract.ts";

const MAX_RESULT_BYTES = 1_024 * 1_024;

const config = jsonObject({
  maxBytes: CONFIG_BYTES,
  description: "The benchmark's options; null for none.",
}).nullable();
const position = integer({
  min: 0,
  max: MAX_STEPS - 1,
  description: "0-based index into `benchmark_sequence`.",
});
const runningStep = z
  .strictObject({
    position,
    benchmark_id: benchmarkId,
    config,
    peer_key: word({
      pattern: /^[0-9a-f]+$/,
      max: 128,
      description:
        "For a cluster step: the key with which its nodes prove themselves to each other, hex.",
    }).nullable(),
  })
  .openapi("RunningStep", { description: "The step to run now." });

const peer = z
  .strictObject({ rank, task_id: idString, cluster_address: clusterAddress.nullable() })
  .openapi("Peer", { description: "A node of the same job." });

export const nodeView = z
  .strictObject({
    id: idString,
    name: text({ min: 1, max: 60, description: "The job's name.", example: "GPU Benchmark Test" }),
    state: jobState,
    version: integer({
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      description: "Rises with every change of the job.",
    }),
    node_count: integer({ min: 1, max: MAX_NODES, description: "Expected nodes." }),
    current_nodes: integer({ min: 0, max: MAX_NODES, description: "Nodes that have joined." }),
    benchmark_sequence: z
      .array(z.strictObject({ benchmark_id: benchmarkId, config }))
      .max(MAX_STEPS)
      .openapi({ description: "The steps every node goes through, in order." }),
    expires_at: timestamp.openapi({ description: "When the job ends by itself." }),
    directive: z.enum(["join", "wait", "run", "stop"]).openapi({
      description:
        "`join`: this caller is not a node yet. `wait`: ask again later. `run`: run `step` and send its result. `stop`: there is nothing left to do.",
    }),
    step: orNull(runningStep),
    nodes: z
      .array(peer)
      .max(MAX_NODES)
      .nullable()
      .openapi({ description: "All nodes, while a cluster step runs; otherwise null." }),
    task: orNull(nodeTask),
    poll_after_seconds: pollAfterSeconds,
    detail: jobDetail
      .optional()
      .openapi({ description: "Of a job without an account, where no `task_id` was sent." }),
  })
  .openapi("NodeView", { description: "What a node should do now." });

/** Any version and variant: machine ids are random bits in the shape of a UUID. */
const UUID = /^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** What a broken BIOS reports: two such machines would be taken for one. */
const NIL_UUID = "00000000-0000-0000-0000-000000000000";

export { taskReply };

export const joinBody = z
  .object({
    machine_uuid: z
      .string()
      .regex(UUID, "must be a UUID")
      .refine((uuid) => uuid !== NIL_UUID, "must not be the nil UUID: it identifies no machine")
      .transform((uuid) => uuid.toLowerCase())
      .openapi({
        format: "uuid",
        maxLength: 36,
        description:
          "Identifies the machine: joining again gives the same task. Any UUID but the nil one.",
        example: "550e8400-e29b-41d4-a716-446655440000",
      }),
    ...machineFields,
  })
  .openapi("JoinJob", { ...CLOSED, description: "The machine that joins." });

export const heartbeatBody = z
  .object({
    progress: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .openapi({ format: "double", description: "Of the running step, 0 to 1." }),
    message: text({ max: 200, description: "What the node is doing." }).optional(),
    state: z.enum(["failed"]).optional().openapi({ description: "The node gives up." }),
    failed_message: text({
      min: 1,
      max: 1000,
      multiline: true,
      description: "Why it gives up.",
    }).optional(),
  })
  .refine((body) => body.failed_message === undefined || body.state === "failed", {
    path: ["failed_message"],
    message: "needs state: failed",
  })
  .openapi("NodeHeartbeat", {
    ...CLOSED,
    ...keywords({ dependentRequired: { failed_message: ["state"] } }),
    description: "What has changed since the last heartbeat; everything may be left out.",
  });

/** Later times have no RFC 3339 form. */
const MAX_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

const instant = z.iso
  .datetime({ offset: true, error: "must be an RFC 3339 time such as 2024-03-15T10:30:00Z" })
  .transform((value) => Date.parse(value))
  .refine((ms) => ms >= 0 && ms <= MAX_TIME_MS, "must be between the years 1970 and 9999")
  .openapi({
    format: "date-time",
    description: "By the agent's own clock, in the years 1970 to 9999.",
    example: "2024-03-15T10:35:30Z",
    maxLength: 40,
  });

export const resultBody = z
  .object({
    state: z
      .enum(["completed", "failed"])
      .openapi({ description: "`completed` needs `results`, `failed` an `error_message`." }),
    started_at: instant,
    ended_at: instant,
    results: jsonObject({
      maxBytes: MAX_RESULT_BYTES,
      description:
        "In the form of the step's benchmark; fields beyond it are kept. Needed when `completed`.",
    }).nullish(),
    error_message: text({
      min: 1,
      max: 1000,
      multiline: true,
      description: "Why it failed. Needed when `failed`.",
    }).nullish(),
  })
  .check((context) => {
    const { state: outcome, results, error_message } = context.value;
    const fail = (field: string, message: string) =>
      context.issues.push({ code: "custom", input: context.value, path: [field], message });
    if (outcome === "completed" && !results) fail("results", "is required with state completed");
    if (outcome === "failed" && !error_message) {
      fail("error_message", "is required with state failed");
    }
  })
  .openapi("StepResult", { ...CLOSED, description: "How a step ended on one node." });

export const storedResult = z
  .strictObject({
    task_id: idString,
    position,
    benchmark_id: benchmarkId,
    state: z.enum(["completed", "failed"]).openapi({ description: "As it was sent." }),
    started_at: timestamp,
    ended_at: timestamp,
    error_message: text({ max: 1_000, multiline: true, description: "As it was sent." }).nullable(),
    poll_after_seconds: pollAfterSeconds,
  })
  .openapi("StoredStepResult", { description: "What was stored of a result." });

export type JoinInput = z.infer<typeof joinBody>;
export type HeartbeatInput = z.infer<typeof heartbeatBody>;
export type ResultInput = z.infer<typeof resultBody>;
