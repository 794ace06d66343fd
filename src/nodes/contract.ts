import { createRoute, z } from "@hono/zod-openapi";
import { errors, json, jsonBody } from "../http/responses.ts";
import { idParameter, idString, integer, jsonObject, text, timestamp } from "../http/schemas.ts";
import { utf8Length } from "../lib/json.ts";

const BASE = "/api/silicon-mark/v1/jobs/current";
const security = [{ JobToken: [] }];
const tags = ["Node protocol"];

/** The words of `JobState`, which belongs to the jobs' contract; nodes see the same. */
const state = z.enum([
  "created",
  "starting",
  "running",
  "completed",
  "aborted",
  "failed",
  "completed_with_warnings",
]);

const nodeTask = z
  .object({
    id: idString,
    job_id: idString,
    rank: z.int(),
    machine_uuid: z.string(),
    machine_ip: z.string().nullable(),
    state,
    failed_message: z.string().nullable(),
    progress: z.number(),
    message: z.string().nullable(),
    created_at: timestamp,
    started_at: timestamp.nullable(),
    ended_at: timestamp.nullable(),
    gpu_model: z.string().nullable(),
    gpu_count: z.int().nullable(),
    pdf_report_url: z.string().nullable(),
  })
  .openapi("NodeTask");

/** What joining and heartbeats answer. */
const taskReply = nodeTask.extend({ poll_after_seconds: z.number() }).openapi("NodeTaskReply");

const nodeView = z
  .object({
    id: idString,
    name: z.string(),
    state,
    version: z.int(),
    node_count: z.int(),
    current_nodes: z.int(),
    benchmark_sequence: z.array(
      z.object({ benchmark_id: z.string(), config: jsonObject.nullable() }),
    ),
    expires_at: timestamp,
    directive: z.enum(["join", "wait", "run", "stop"]),
    step: z
      .object({
        position: z.int(),
        benchmark_id: z.string(),
        config: jsonObject.nullable(),
        peer_key: z.string().nullable().openapi({
          description:
            "For a cluster step: the key with which its nodes prove themselves to each other, hex.",
        }),
      })
      .nullable(),
    nodes: z
      .array(z.object({ rank: z.int(), task_id: idString, cluster_address: z.string().nullable() }))
      .nullable(),
    task: nodeTask.nullable(),
    poll_after_seconds: z.number(),
  })
  .openapi("NodeView");

const ipAddress = z.union([z.ipv4(), z.ipv6()], "must be an IPv4 or IPv6 address").openapi({
  type: "string",
  description: "IPv4 or IPv6.",
  example: "192.168.1.10",
  maxLength: 45,
});

const clusterAddress = z
  .string()
  .max(260)
  .regex(
    /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?):[0-9]{1,5}$/,
    "must be host:port, an IPv6 host in brackets",
  )
  .refine((address) => {
    const port = Number(address.slice(address.lastIndexOf(":") + 1));
    return port >= 1 && port <= 65_535;
  }, "must have a port between 1 and 65535")
  .openapi({
    description: "`host:port` where the other nodes reach this one.",
    example: "10.0.0.4:7117",
  });

/** Any version and variant: machine ids are random bits in the shape of a UUID. */
const UUID = /^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

/** What a broken BIOS reports: two such machines would be taken for one. */
const NIL_UUID = "00000000-0000-0000-0000-000000000000";

const MAX_INVENTORY_BYTES = 64 * 1_024;

const joinBody = z
  .object({
    machine_uuid: z
      .string()
      .regex(UUID, "must be a UUID")
      .refine((uuid) => uuid !== NIL_UUID, "must not be the nil UUID: it identifies no machine")
      .transform((uuid) => uuid.toLowerCase())
      .openapi({ description: "Identifies the machine: joining again gives the same task." }),
    machine_ip: ipAddress.nullish(),
    cluster_address: clusterAddress.nullish(),
    gpu_model: text({
      min: 1,
      max: 128,
      trim: true,
      description: "As the driver names it.",
    }).nullish(),
    gpu_count: integer({ min: 0, max: 64, description: "GPUs in this machine." }).nullish(),
    inventory: jsonObject
      .refine(
        (inventory) => utf8Length(JSON.stringify(inventory)) <= MAX_INVENTORY_BYTES,
        `must be at most ${MAX_INVENTORY_BYTES} bytes of JSON`,
      )
      .nullish()
      .openapi({ description: "What is in the machine; kept as it is." }),
  })
  .openapi("JoinJob");

const heartbeatBody = z
  .object({
    progress: z
      .number()
      .min(0)
      .max(1)
      .optional()
      .openapi({ description: "Of the running step, 0 to 1." }),
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
  .openapi("NodeHeartbeat");

/** Later times have no RFC 3339 form. */
const MAX_TIME_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

const instant = z.iso
  .datetime({ offset: true, error: "must be an RFC 3339 time such as 2024-03-15T10:30:00Z" })
  .transform((value) => Date.parse(value))
  .refine((ms) => ms >= 0 && ms <= MAX_TIME_MS, "must be between the years 1970 and 9999")
  .openapi({
    type: "string",
    format: "date-time",
    description: "By the agent's own clock.",
    maxLength: 40,
  });

const resultBody = z
  .object({
    state: z.enum(["completed", "failed"]),
    started_at: instant,
    ended_at: instant,
    results: jsonObject.nullish().openapi({
      description: "In the form of the step's benchmark. Needed when `completed`.",
    }),
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
  .openapi("StepResult");

const storedResult = z
  .object({
    task_id: idString,
    position: z.int(),
    benchmark_id: z.string(),
    state: z.enum(["completed", "failed"]),
    started_at: timestamp,
    ended_at: timestamp,
    error_message: z.string().nullable(),
    poll_after_seconds: z.number().openapi({ description: "0: ask at once what comes next." }),
  })
  .openapi("StoredStepResult");

const taskParams = z.object({ task_id: idParameter("task_id", "The task ID.") });

export const pollRoute = createRoute({
  method: "get",
  path: BASE,
  operationId: "pollCurrentJob",
  tags,
  summary: "Job configuration and current directive",
  description:
    "What this node should do now. Counts as contact. Send the `ETag` back as `If-None-Match`: 304 without a body means that nothing has changed. Ask again after `poll_after_seconds` (also `Retry-After`). An ended job answers directive `stop`.",
  security,
  request: {
    query: z.object({
      task_id: z
        .string("must be given once")
        .regex(/^[0-9]{1,16}$/, "must be a task id: decimal digits")
        .transform(Number)
        .refine(Number.isSafeInteger, "must be an id below 2^53")
        .optional()
        .openapi({
          type: "string",
          pattern: "^[0-9]{1,16}$",
          maxLength: 16,
          description: "This node's task, once it has joined.",
        }),
    }),
    headers: z.object({
      "if-none-match": z.string().max(1024).optional(),
    }),
  },
  responses: {
    200: json(nodeView, "The directive."),
    304: { description: "Nothing has changed for this node." },
    ...errors("PARAMETER_INCORRECT_VALUE", "CLIENT_TOKEN_INVALID", "RESOURCE_NOT_FOUND"),
  },
});

export const joinRoute = createRoute({
  method: "post",
  path: `${BASE}/tasks`,
  operationId: "joinCurrentJob",
  tags,
  summary: "Join the job",
  description:
    "Makes this machine a node of the job. The same `machine_uuid` gets its task back, so a restarted agent goes on as the same node.",
  security,
  request: { body: jsonBody(joinBody) },
  responses: {
    200: json(taskReply, "This machine had joined already."),
    201: json(taskReply, "Joined."),
    ...errors(
      "PARAMETER_INCORRECT_VALUE",
      "CLIENT_TOKEN_INVALID",
      "NODE_LIMIT_REACHED",
      "JOB_ENDED",
      "REQUEST_TOO_LARGE",
      "UNSUPPORTED_MEDIA_TYPE",
      "TOO_MANY_REQUESTS",
    ),
  },
});

export const heartbeatRoute = createRoute({
  method: "patch",
  path: `${BASE}/tasks/{task_id}`,
  operationId: "updateCurrentTask",
  tags,
  summary: "Heartbeat",
  description:
    "Progress of the running step, shown to the job's owner; counts as contact. With `state: failed` the node gives up.",
  security,
  request: { params: taskParams, body: jsonBody(heartbeatBody) },
  responses: {
    200: json(taskReply, "The task."),
    ...errors(
      "PARAMETER_INCORRECT_VALUE",
      "CLIENT_TOKEN_INVALID",
      "RESOURCE_NOT_FOUND",
      "JOB_ENDED",
      "REQUEST_TOO_LARGE",
      "UNSUPPORTED_MEDIA_TYPE",
    ),
  },
});

export const resultRoute = createRoute({
  method: "put",
  path: `${BASE}/tasks/{task_id}/results/{position}`,
  operationId: "putStepResult",
  tags,
  summary: "Send the result of a step",
  description:
    "`position` is the 0-based index into `benchmark_sequence`. Exactly once: the same body again gets the same reply, another body is refused. One result has at most 1 MiB, all results of a job 16 MiB.",
  security,
  request: {
    params: taskParams.extend({
      position: z
        .string()
        .regex(/^[0-9]{1,3}$/, "must be a 0-based index into benchmark_sequence")
        .transform(Number)
        .openapi({
          param: { name: "position", in: "path" },
          type: "integer",
          format: "int32",
          minimum: 0,
          maximum: 999,
        }),
    }),
    body: jsonBody(resultBody),
  },
  responses: {
    200: json(storedResult, "Stored."),
    ...errors(
      "PARAMETER_INCORRECT_VALUE",
      "CLIENT_TOKEN_INVALID",
      "RESOURCE_NOT_FOUND",
      "JOB_ENDED",
      "STEP_NOT_READY",
      "REQUEST_TOO_LARGE",
      "UNSUPPORTED_MEDIA_TYPE",
      "IDEMPOTENCY_KEY_REUSED",
    ),
  },
});

export type JoinInput = z.infer<typeof joinBody>;
export type HeartbeatInput = z.infer<typeof heartbeatBody>;
export type ResultInput = z.infer<typeof resultBody>;
