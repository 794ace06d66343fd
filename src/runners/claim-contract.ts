/** The call of runners, with their keys; `contract.ts` has their management by people. */
import { z } from "@hono/zod-openapi";
import { referenceParameter } from "../api/names.ts";
import { json, jsonBody, operation, SWITCHED } from "../api/operation.ts";
import { idString, jwt, orNull } from "../api/schemas.ts";
import { machineFields } from "../coordinator/wire/machine.ts";
import { joinedTask, joinedTaskExample } from "../coordinator/wire/task.ts";

/** A runner in a path. */
export const runnerParameter = referenceParameter("runner", {
  description: "The runner's UUID, in any usual spelling, or its slug.",
  example: "rack-7",
});

const claimBody = z.object(machineFields).openapi("ClaimJob", {
  description: "The machine, with the same fields as for joining a job.",
});

const claimedJob = z
  .strictObject({
    job_id: idString,
    token: jwt("The job's token, with which the runner acts as a node."),
    task: joinedTask,
  })
  .openapi("ClaimedJob", { description: "A job, and the runner's task in it." });

export type ClaimInput = z.infer<typeof claimBody>;

/** The runner of the examples. */
export const RUNNER_UUID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

const claimedExample: z.infer<typeof claimedJob> = {
  job_id: joinedTaskExample.job_id,
  token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3NTU0NjIxNDQwIn0.c2lnbmF0dXJl",
  task: { ...joinedTaskExample, machine_uuid: RUNNER_UUID },
};

/** A WebSocket: docs/contract.md describes its messages, in "The runner channel". */
export const runnerChannelRoute = operation({
  method: "get",
  path: "/v0/runners/{runner}/channel",
  operationId: "openRunnerChannel",
  tags: ["Runners"],
  summary: "Wait for jobs",
  description: `Opens a WebSocket, for a request with \`Upgrade: websocket\`: the server sends \`{"type":"work"}\` when there may be a job for the runner, which then claims. The client sends only the text \`ping\`, every 30 to 60 seconds; the answer is \`pong\`. While the socket is open, the runner is online. Close codes: 4001: the runner has another socket; 4003: its key or its offers have changed, or it was archived; 4008: no ping for longer than the node timeout and 150 s.

Requires the runner's key, in the header \`Authorization\` or as the subprotocol \`bearer.<key>\` beside \`assay.v1\`.`,
  access: "runner",
  secret: true,
  request: { params: z.object({ runner: runnerParameter }) },
  responses: { 101: SWITCHED },
  errors: ["UPGRADE_REQUIRED"],
});

export const claimRoute = operation({
  method: "post",
  path: "/v0/runners/{runner}/jobs",
  operationId: "claimJob",
  tags: ["Runners"],
  summary: "Claim a job",
  description: `Makes the runner a node of a job that was created for one of its specs and still expects nodes: the oldest job of the customer with the fewest runners at work. Without such a job the reply is null, and \`Retry-After\` says when to ask again. Runners of a job with a cluster step are reserved together, and get null with a \`Retry-After\` of 2 until all of them have asked again. Claiming includes joining: the runner gets its task in the job at once. A runner with a live task gets that task again, with \`Claim-Repeated\`, even if another agent uses its key.

Requires the runner's key. The body may be omitted; its fields are those of joining a job, and the runner's UUID is the machine's. From then on the runner is a node of the job with the job's token.`,
  access: "runner",
  secret: true,
  request: {
    params: z.object({ runner: runnerParameter }),
    body: {
      ...jsonBody(claimBody, {
        description: "The machine that claims.",
        example: {
          machine_ip: "192.168.1.10",
          cluster_address: "192.168.1.10:7117",
          cluster_addresses: ["192.168.1.10:7117", "[fd00::10]:7117"],
          gpu_model: "NVIDIA H100 NVL",
          gpu_count: 1,
          inventory: { gpu: { vendor: "NVIDIA", count: 1 } },
        },
      }),
      required: false,
    },
  },
  responses: {
    200: json(orNull(claimedJob), {
      description: "The runner's job, or null.",
      example: claimedExample,
      headers: ["Retry-After", "Claim-Repeated"],
    }),
  },
});
