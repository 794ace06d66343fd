import { z } from "@hono/zod-openapi";
import { listQuery } from "../http/list-query.ts";
import { operation } from "../http/operation.ts";
import { referenceParameter } from "../http/reference.ts";
import { json, jsonBody } from "../http/responses.ts";
import { orNull } from "../http/schemas.ts";
import { spec, specList } from "../specs/schemas.ts";
import { claimedExample, runnerExample, runnerKeyExample, specExample } from "./examples.ts";
import {
  claimBody,
  claimedJob,
  createRunnerBody,
  MAX_OFFERED,
  offerSpecBody,
  runner,
  runnerKey,
  runnerList,
  updateRunnerBody,
} from "./schemas.ts";

const BASE = "/v0/runners";
const TAGS: [string] = ["Runners"];

const runnerParameter = referenceParameter("runner", {
  description: "The runner's UUID, in any usual spelling, or its slug.",
  example: "rack-7",
});
const params = z.object({ runner: runnerParameter });
const offerParams = params.extend({
  spec: referenceParameter("spec", {
    description: "The spec's UUID, in any usual spelling, or its slug.",
    example: "h100-node",
  }),
});

export const listRunnersRoute = operation({
  method: "get",
  path: BASE,
  operationId: "listRunners",
  tags: TAGS,
  summary: "List runners",
  description: `All runners that are not archived, by name, a page at a time. Filters combine. A page beyond the last one is empty.

A page costs the same however many runners there are, along the links of \`Link\`; see \`page\` and \`search\` for what takes longer.

For root administrators.`,
  access: "admin",
  list: true,
  request: { query: listQuery("runners") },
  responses: {
    200: json(runnerList, { description: "A page of runners.", example: [runnerExample] }),
  },
});

export const createRunnerRoute = operation({
  method: "post",
  path: BASE,
  operationId: "createRunner",
  tags: TAGS,
  summary: "Create a runner",
  description: `Creates a runner and its key, which is shown in this reply alone. It offers nothing yet: offer specs for it, and start the agent on its machine with the key.

For root administrators. Unknown keys are ignored. Send an \`Idempotency-Key\` to be able to repeat the request without making a second runner; the repeat cannot show the key again, but a rotation makes a new one.`,
  access: "admin",
  creates: true,
  request: {
    body: jsonBody(createRunnerBody, {
      description: "The runner to create.",
      example: { name: "Rack 7" },
    }),
  },
  responses: { 201: json(runnerKey, { description: "Created.", example: runnerKeyExample }) },
  errors: ["RESOURCE_ALREADY_EXISTS"],
});

export const getRunnerRoute = operation({
  method: "get",
  path: `${BASE}/{runner}`,
  operationId: "getRunner",
  tags: TAGS,
  summary: "View a runner",
  description: "One runner, archived or not, and what it is doing.\n\nFor root administrators.",
  access: "admin",
  single: true,
  request: { params },
  responses: { 200: json(runner, { description: "The runner.", example: runnerExample }) },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const updateRunnerRoute = operation({
  method: "patch",
  path: `${BASE}/{runner}`,
  operationId: "updateRunner",
  tags: TAGS,
  summary: "Update a runner",
  description: `Changes a runner's name or slug, archives it or brings it back. What is left out or null stays; an empty object moves \`modified\` alone. A new name leaves the slug as it is.

The key of an archived runner stops working within 30 seconds; a task that it has goes on. Runners are never deleted.

For root administrators. Unknown keys are ignored. Send the \`ETag\` of what you have read as \`If-Match\`, and nobody else's change is overwritten.`,
  access: "admin",
  conditional: true,
  request: {
    params,
    body: jsonBody(updateRunnerBody, {
      description: "What to change.",
      example: { name: "Rack 7", archived: false },
    }),
  },
  responses: {
    200: json(runner, {
      description: "The runner as it is now.",
      example: runnerExample,
      headers: ["ETag"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_ALREADY_EXISTS"],
});

export const rotateKeyRoute = operation({
  method: "post",
  path: `${BASE}/{runner}/key`,
  operationId: "rotateRunnerKey",
  tags: TAGS,
  summary: "Rotate a runner's key",
  description: `Makes a new key, shown in this reply alone. The old one stops working within 30 seconds; no job is handed out for it from now on. A task that the runner has goes on. An archived runner gets no key: bring it back first.

For root administrators. There is no request body.`,
  access: "admin",
  creates: true,
  request: { params },
  responses: { 201: json(runnerKey, { description: "Rotated.", example: runnerKeyExample }) },
  // Of the conflicts that the API has words for, this is the nearest: its state is in the way.
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_IN_USE"],
});

export const listOfferedRoute = operation({
  method: "get",
  path: `${BASE}/{runner}/specs`,
  operationId: "listRunnerSpecs",
  tags: TAGS,
  summary: "List the specs of a runner",
  description:
    "The specs that a runner offers and that are not archived, by name, a page at a time. Filters combine.\n\nFor root administrators.",
  access: "admin",
  list: true,
  request: { params, query: listQuery("specs") },
  responses: {
    200: json(specList, { description: "A page of specs.", example: [specExample] }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const offerSpecRoute = operation({
  method: "post",
  path: `${BASE}/{runner}/specs`,
  operationId: "offerRunnerSpec",
  tags: TAGS,
  summary: "Offer a spec",
  description: `From within 30 seconds on the runner claims jobs made for this spec, too. A runner offers at most ${MAX_OFFERED} specs.

For root administrators. Unknown keys are ignored.`,
  access: "admin",
  creates: true,
  request: {
    params,
    body: jsonBody(offerSpecBody, {
      description: "The spec to offer.",
      example: { spec: "h100-node" },
    }),
  },
  responses: { 201: json(spec, { description: "Offered.", example: specExample }) },
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_ALREADY_EXISTS"],
});

export const withdrawSpecRoute = operation({
  method: "delete",
  path: `${BASE}/{runner}/specs/{spec}`,
  operationId: "withdrawRunnerSpec",
  tags: TAGS,
  summary: "Withdraw a spec",
  description: `The runner claims no more jobs made for this spec. One that it works on goes on.

For root administrators. There is no request body. \`If-Match\` names a version of the runner.`,
  access: "admin",
  conditional: true,
  request: { params: offerParams },
  responses: { 204: { description: "Withdrawn; there is no body." } },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const claimRoute = operation({
  method: "post",
  path: `${BASE}/{runner}/jobs`,
  operationId: "claimJob",
  tags: TAGS,
  summary: "Claim a job",
  description: `Makes the runner a node of the oldest job that was made for one of its specs and still wants nodes; null when there is none, and \`Retry-After\` says when to ask again. Claiming is joining: the place in the job is taken in the same step. A runner with a live task gets that task again, with \`Claim-Repeated\`, whoever asks with its key.

For the runner with its key. The body may be left out; its fields are those of joining a job, and the runner's UUID is the machine's. From then on the runner is a node of the job with the job's token.`,
  access: "runner",
  request: {
    params,
    body: {
      ...jsonBody(claimBody, {
        description: "The machine that claims.",
        example: {
          machine_ip: "192.168.1.10",
          cluster_address: "192.168.1.10:7117",
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
      description: "The job that is the runner's now, or null.",
      example: claimedExample,
      headers: ["Retry-After", "Claim-Repeated"],
    }),
  },
});
