import { z } from "@hono/zod-openapi";
import { listQuery } from "../api/lists.ts";
import { referenceParameter } from "../api/names.ts";
import { json, jsonBody, operation } from "../api/operation.ts";
import { specExample } from "../specs/examples.ts";
import { spec, specList } from "../specs/schemas.ts";
import { runnerParameter } from "./claim-contract.ts";
import { runnerExample, runnerKeyExample } from "./examples.ts";
import {
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
  description: `Lists runners that are not archived, by name, a page at a time. Filters combine. A page beyond the last one is empty.

For root administrators.

**Cost.** Along the links of \`Link\` a page costs the same however many runners there are; \`page\` and \`search\` name the exceptions.`,
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
  description: `Creates a runner and its key, which only this reply shows. A new runner offers no specs: offer some, then start the agent on its machine with the key.

For root administrators. Unknown keys are ignored. With an \`Idempotency-Key\` the request can be repeated without creating a second runner; the repeat cannot show the key again, but a rotation makes a new key.`,
  access: "admin",
  secret: true,
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
  description: "Returns one runner, archived or not, with its state.\n\nFor root administrators.",
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
  description: `Changes a runner's name or slug, archives it or restores it. Omitted and null fields stay unchanged; an empty object updates only \`modified\`. A new name does not change the slug.

The key of an archived runner stops working within 30 seconds; its current task continues. Runners are never deleted.

For root administrators. Unknown keys are ignored. Send the \`ETag\` that you have read as \`If-Match\` to avoid overwriting someone else's change.`,
  access: "admin",
  conditional: true,
  request: {
    params,
    body: jsonBody(updateRunnerBody, {
      description: "The changes.",
      example: { name: "Rack 7", archived: false },
    }),
  },
  responses: {
    200: json(runner, {
      description: "The changed runner.",
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
  description: `Creates a new key, which only this reply shows. The old key gets no more jobs, and stops working within 30 seconds. The runner's current task continues. An archived runner gets no key: restore it first.

For root administrators. There is no request body.`,
  access: "admin",
  secret: true,
  creates: true,
  request: { params },
  responses: { 201: json(runnerKey, { description: "Rotated.", example: runnerKeyExample }) },
  // An archived runner is refused with `RESOURCE_IN_USE`, the closest code of the API.
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_IN_USE"],
});

export const listOfferedRoute = operation({
  method: "get",
  path: `${BASE}/{runner}/specs`,
  operationId: "listRunnerSpecs",
  tags: TAGS,
  summary: "List the specs of a runner",
  description:
    "Lists the specs that a runner offers, including archived ones, by name. Filters combine.\n\nFor root administrators.",
  access: "admin",
  list: true,
  request: { params, query: listQuery("specs", { isWhole: true }) },
  responses: {
    200: json(specList, { description: "The specs.", example: [specExample] }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const offerSpecRoute = operation({
  method: "post",
  path: `${BASE}/{runner}/specs`,
  operationId: "offerRunnerSpec",
  tags: TAGS,
  summary: "Offer a spec",
  description: `Offers a spec: within 30 seconds the runner also claims jobs created for it. A runner offers at most ${MAX_OFFERED} specs.

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
  description: `Withdraws a spec: the runner claims no more jobs created for it. Its current job continues.

For root administrators. There is no request body. \`If-Match\` names a version of the runner.`,
  access: "admin",
  conditional: true,
  request: { params: offerParams },
  responses: { 204: { description: "Withdrawn; there is no body." } },
  errors: ["RESOURCE_NOT_FOUND"],
});
