import { z } from "@hono/zod-openapi";
import { headerRefs, json, jsonBody, operation } from "../api/operation.ts";
import { idParameter } from "../api/schemas.ts";
import { MAX_SENT_BYTES, resultBody } from "../coordinator/wire/results.ts";
import {
  joinedTask,
  joinedTaskExample,
  taskExample,
  taskReply,
  taskReplyExample,
} from "../coordinator/wire/task.ts";
import { heartbeatBody, joinBody, nodeView, storedResult } from "./schemas.ts";

/** Example of the API document, with the job of all other examples. */
const nodeViewExample: z.infer<typeof nodeView> = {
  id: "7554621440",
  name: "GPU Benchmark Test",
  state: "running",
  version: 5,
  node_count: 4,
  current_nodes: 4,
  unfinished_nodes: 4,
  benchmark_sequence: [
    { benchmark_id: "quick_mark", config: null },
    { benchmark_id: "cluster_network", config: null },
  ],
  expires_at: "2024-03-16T10:30:00.000Z",
  directive: "run",
  step: { position: 0, benchmark_id: "quick_mark", config: null, peer_key: null },
  nodes: null,
  task: taskExample,
  poll_after_seconds: 31.4,
  performance: null,
  findings: null,
  spec_check: null,
};

const BASE = "/api/silicon-mark/v1/jobs/current";

const taskParams = z.object({ task_id: idParameter("task_id", "The task ID.") });

/** Every reply of the protocol has the ETag of the node's view and the time of its next poll. */
const announced = ["ETag", "Retry-After"] as const;

export const pollRoute = operation({
  method: "get",
  path: BASE,
  operationId: "pollCurrentJob",
  tags: ["Node protocol"],
  summary: "Ask what to do",
  description: `Tells this node what to do now. Each poll counts as contact; a node out of contact for too long is lost.

Requires the job's token. Send the \`ETag\` back as \`If-None-Match\`: 304 without a body means that nothing has changed. Poll again after \`poll_after_seconds\` (also \`Retry-After\`), not sooner. For an ended job the directive is \`stop\`, and within seconds its nodes also get their \`performance\`, \`findings\` and \`spec_check\`.

Without \`task_id\`, the token of a job without an account also shows the job's \`detail\`, in the form of \`GET /jobs/{job_id}\`. That token reads for 7 days, also after the job has ended; it joins and reports until \`expires_at\`.`,
  access: "nodeOrReader",
  single: true,
  ofTask: true,
  secret: true,
  request: {
    query: z.object({
      task_id: z
        .string("must be given once")
        .regex(/^[0-9]{1,16}$/, "must be a task id: decimal digits")
        .transform(Number)
        .refine(Number.isSafeInteger, "must be an id below 2^53")
        .optional()
        .openapi({
          maxLength: 16,
          description: "This node's task, once it has joined.",
          example: "7554621441",
        }),
    }),
  },
  responses: {
    200: json(nodeView, {
      description: "The directive.",
      example: nodeViewExample,
      headers: ["Retry-After"],
    }),
    304: {
      description: "Nothing has changed for this node; there is no body.",
      headers: headerRefs(["Retry-After"]),
    },
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const joinRoute = operation({
  method: "post",
  path: `${BASE}/tasks`,
  operationId: "joinCurrentJob",
  tags: ["Node protocol"],
  summary: "Join the job",
  description: `Makes this machine a node of the job. A new machine gets the next rank (201) while nodes are still expected. The same \`machine_uuid\` with the same \`join_secret\` gets its task back (200), so a restarted agent continues as the same node. Without that secret it gets 409 \`MACHINE_IN_USE\` while the node is in contact; afterwards it takes the node over.

Requires the job's token. Only runners can join a job with a \`spec\`, by claiming it. Joins are limited per job. For a job without an account, \`inventory\` has at most 32 KiB.`,
  access: "node",
  secret: true,
  request: {
    body: jsonBody(joinBody, {
      description: "The machine that joins.",
      example: {
        machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
        machine_ip: "192.168.1.10",
        cluster_address: "192.168.1.10:7117",
        cluster_addresses: ["192.168.1.10:7117", "[fd00::10]:7117"],
        gpu_model: "NVIDIA A100-SXM4-80GB",
        gpu_count: 8,
        inventory: { gpu: { vendor: "NVIDIA", count: 8 } },
        join_secret: "kJ8x0mV2s5tq9wQe1rT4yA",
      },
    }),
  },
  responses: {
    200: json(joinedTask, {
      description: "This machine has already joined.",
      example: joinedTaskExample,
      headers: announced,
    }),
    201: json(joinedTask, {
      description: "Joined.",
      example: joinedTaskExample,
      headers: announced,
    }),
  },
  errors: ["PERMISSION_DENIED", "NODE_LIMIT_REACHED", "MACHINE_IN_USE", "JOB_ENDED"],
});

export const heartbeatRoute = operation({
  method: "patch",
  path: `${BASE}/tasks/{task_id}`,
  operationId: "updateCurrentTask",
  tags: ["Node protocol"],
  summary: "Report progress",
  description: `Reports the progress of the running step, which the job's owner sees; counts as contact. With \`state: failed\` the node gives up.

Requires the job's token; the task must belong to that job. Send a heartbeat when something has changed, at most once every two seconds.`,
  access: "node",
  ofTask: true,
  secret: true,
  request: {
    params: taskParams,
    body: jsonBody(heartbeatBody, {
      description: "The changes.",
      example: { progress: 0.4, message: "measuring memory bandwidth", clock_skew_ms: -12 },
    }),
  },
  responses: {
    200: json(taskReply, {
      description: "The task.",
      example: { ...taskReplyExample, progress: 0.4, message: "measuring memory bandwidth" },
      headers: announced,
    }),
  },
  errors: ["RESOURCE_NOT_FOUND", "JOB_ENDED"],
});

export const resultRoute = operation({
  method: "put",
  path: `${BASE}/tasks/{task_id}/results/{position}`,
  operationId: "putStepResult",
  tags: ["Node protocol"],
  summary: "Send the result of a step",
  description: `Stores the result of a step, exactly once: the same body again gets the same reply, even after the job has ended; a different body is refused. \`position\` is the 0-based index into \`benchmark_sequence\`.

Requires the job's token; the node must have been told to run the step. One result has at most 1 MiB and 50,000 JSON values, all results of a job 16 MiB. For a job without an account only known fields of a result are stored: it has at most 64 KiB, and \`measurement\`, \`replayed\` and \`partial\` at most 32 KiB together.`,
  access: "node",
  ofTask: true,
  secret: true,
  bodyLimit: MAX_SENT_BYTES,
  bodyIsText: true,
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
          description: "0-based index into `benchmark_sequence`.",
          example: 0,
        }),
    }),
    body: jsonBody(resultBody, {
      description: "The outcome of the step.",
      example: {
        state: "completed",
        started_at: "2024-03-15T10:35:30Z",
        ended_at: "2024-03-15T10:40:00Z",
        clock_skew_ms: -12,
        results: {
          aggregate_results: { bf16_tflops: 2_107.9, memory_bandwidth_gbs: 13_902.4 },
        },
      },
    }),
  },
  responses: {
    200: json(storedResult, {
      description: "Stored.",
      example: {
        task_id: "7554621441",
        position: 0,
        benchmark_id: "quick_mark",
        state: "completed",
        started_at: "2024-03-15T10:35:30.000Z",
        ended_at: "2024-03-15T10:40:00.000Z",
        clock_skew_ms: -12,
        error_message: null,
        poll_after_seconds: 0,
      },
      headers: announced,
    }),
  },
  errors: ["RESOURCE_NOT_FOUND", "JOB_ENDED", "STEP_NOT_READY", "IDEMPOTENCY_KEY_REUSED"],
});
