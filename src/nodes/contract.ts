import { z } from "@hono/zod-openapi";
import { taskReplyExample } from "../coordinator/examples.ts";
import { headerRefs } from "../http/component-refs.ts";
import { operation } from "../http/operation.ts";
import { json, jsonBody } from "../http/responses.ts";
import { idParameter } from "../http/schemas.ts";
import { reportLink, reportLinkExample } from "../reports/contract.ts";
import { nodeViewExample } from "./examples.ts";
import {
  heartbeatBody,
  joinBody,
  nodeView,
  resultBody,
  storedResult,
  taskReply,
} from "./schemas.ts";

const BASE = "/api/silicon-mark/v1/jobs/current";

const taskParams = z.object({ task_id: idParameter("task_id", "The task ID.") });

/** Every reply of the protocol says what the node sees and when to ask again. */
const announced = ["ETag", "Retry-After"] as const;

export const pollRoute = operation({
  method: "get",
  path: BASE,
  operationId: "pollCurrentJob",
  tags: ["Node protocol"],
  summary: "Job configuration and current directive",
  description: `What this node should do now. Counts as contact: a node out of contact for too long is lost.

For whoever holds the job's token. Send the \`ETag\` back as \`If-None-Match\`: 304 without a body means that nothing has changed. Ask again after \`poll_after_seconds\` (also \`Retry-After\`), not sooner. An ended job answers directive \`stop\`.

Without \`task_id\`, the token of a job without an account shows the job's \`detail\`, too, as \`GET /jobs/{job_id}\` would. That token reads for 7 days, also after the job has ended; it joins and reports until \`expires_at\`.`,
  access: "node",
  single: true,
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
  description: `Makes this machine a node of the job. The same \`machine_uuid\` gets its task back (200), so a restarted agent goes on as the same node; a new one gets the next rank (201) while nodes are still expected.

For whoever holds the job's token. Joining is limited per job.`,
  access: "node",
  request: {
    body: jsonBody(joinBody, {
      description: "The machine that joins.",
      example: {
        machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
        machine_ip: "192.168.1.10",
        cluster_address: "192.168.1.10:7117",
        gpu_model: "NVIDIA A100-SXM4-80GB",
        gpu_count: 8,
        inventory: { gpu: { vendor: "NVIDIA", count: 8 } },
      },
    }),
  },
  responses: {
    200: json(taskReply, {
      description: "This machine had joined already.",
      example: taskReplyExample,
      headers: announced,
    }),
    201: json(taskReply, {
      description: "Joined.",
      example: taskReplyExample,
      headers: announced,
    }),
  },
  errors: ["NODE_LIMIT_REACHED", "JOB_ENDED"],
});

export const heartbeatRoute = operation({
  method: "patch",
  path: `${BASE}/tasks/{task_id}`,
  operationId: "updateCurrentTask",
  tags: ["Node protocol"],
  summary: "Heartbeat",
  description: `Progress of the running step, shown to the job's owner; counts as contact. With \`state: failed\` the node gives up.

For whoever holds the job's token, for a task of that job. Send one when something has changed, not more often than every two seconds.`,
  access: "node",
  request: {
    params: taskParams,
    body: jsonBody(heartbeatBody, {
      description: "What has changed.",
      example: { progress: 0.4, message: "measuring memory bandwidth" },
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
  description: `\`position\` is the 0-based index into \`benchmark_sequence\`. Exactly once: the same body again gets the same reply, also after the job has ended; another body is refused.

For whoever holds the job's token, for a step that this node has been told to run. One result has at most 1 MiB, all results of a job 16 MiB.`,
  access: "node",
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
      description: "How the step ended.",
      example: {
        state: "completed",
        started_at: "2024-03-15T10:35:30Z",
        ended_at: "2024-03-15T10:40:00Z",
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
        error_message: null,
        poll_after_seconds: 0,
      },
      headers: announced,
    }),
  },
  errors: ["RESOURCE_NOT_FOUND", "JOB_ENDED", "STEP_NOT_READY", "IDEMPOTENCY_KEY_REUSED"],
});

export const generateReportRoute = operation({
  method: "post",
  path: "/api/silicon-mark/v1/jobs/{job_id}/generate-report",
  operationId: "generateReport",
  tags: ["Node protocol"],
  summary: "Make the job's report again",
  description: `As \`POST /jobs/{job_id}/report\`, for agents: makes what is missing of the reports of an ended job. Repeating it changes nothing.

For whoever holds the job's token, also after the job has ended, ten times a minute. There is no request body.`,
  access: "node",
  request: { params: z.object({ job_id: idParameter("job_id", "The job ID.") }) },
  responses: {
    202: json(reportLink, { description: "The report is there.", example: reportLinkExample }),
  },
  errors: ["JOB_STATE_INVALID", "RESOURCE_NOT_FOUND", "JOB_ENDED"],
});

export type { HeartbeatInput, JoinInput, ResultInput } from "./schemas.ts";
