import { z } from "@hono/zod-openapi";
import { listQuery, nameParameters, pageParameters } from "../http/list-query.ts";
import { operation } from "../http/operation.ts";
import { paginationExample } from "../http/pagination.ts";
import { referenceParameter } from "../http/reference.ts";
import { json, jsonBody } from "../http/responses.ts";
import { catalogueExample, specExample } from "./examples.ts";
import { catalogue, createSpecBody, spec, specList, updateSpecBody } from "./schemas.ts";

const BASE = "/v0/specs";
const TAGS: [string] = ["Hardware specs"];

const params = z.object({
  spec: referenceParameter("spec", {
    description: "The spec's UUID, in any usual spelling, or its slug.",
    example: "h100-node",
  }),
});

export const listSpecsRoute = operation({
  method: "get",
  path: BASE,
  operationId: "listSpecs",
  tags: TAGS,
  summary: "List specs",
  description: `All hardware specs that are not archived, by name, a page at a time. Filters combine. A page beyond the last one is empty.

A page costs the same whatever the order and the filters, and however many specs there are, along the links of \`Link\`; see \`page\` and \`search\` for what takes longer.

For root administrators.`,
  access: "admin",
  list: true,
  request: { query: listQuery("specs") },
  responses: {
    200: json(specList, { description: "A page of specs.", example: [specExample] }),
  },
});

export const createSpecRoute = operation({
  method: "post",
  path: BASE,
  operationId: "createSpec",
  tags: TAGS,
  summary: "Create a spec",
  description: `Creates a hardware spec. Names may repeat, slugs do not: a slug that is taken, asked for or made from the name, gets a hyphen and 8 random signs at its end.

For root administrators. Unknown keys are ignored. Send an \`Idempotency-Key\` to be able to repeat the request without making a second spec.`,
  access: "admin",
  creates: true,
  request: {
    body: jsonBody(createSpecBody, {
      description: "The spec to create.",
      example: {
        name: "H100 node",
        architecture: "x86_64",
        cpu: 26,
        memory: 240_518_168_576,
        disk: 1_099_511_627_776,
        network: true,
      },
    }),
  },
  responses: {
    201: json(spec, { description: "Created.", example: specExample, headers: ["ETag"] }),
  },
});

export const getSpecRoute = operation({
  method: "get",
  path: `${BASE}/{spec}`,
  operationId: "getSpec",
  tags: TAGS,
  summary: "View a spec",
  description: "One hardware spec, archived or not.\n\nFor root administrators.",
  access: "admin",
  single: true,
  request: { params },
  responses: { 200: json(spec, { description: "The spec.", example: specExample }) },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const updateSpecRoute = operation({
  method: "patch",
  path: `${BASE}/{spec}`,
  operationId: "updateSpec",
  tags: TAGS,
  summary: "Update a spec",
  description: `Changes a spec's name or slug, archives it or brings it back. Its hardware never changes: make another spec. What is left out or null stays; an empty object moves \`modified\` alone. A new name leaves the slug as it is.

For root administrators. Unknown keys are ignored. Send the \`ETag\` of what you have read as \`If-Match\`, and nobody else's change is overwritten.`,
  access: "admin",
  conditional: true,
  request: {
    params,
    body: jsonBody(updateSpecBody, {
      description: "What to change.",
      example: { name: "H100 node", archived: false },
    }),
  },
  responses: {
    200: json(spec, {
      description: "The spec as it is now.",
      example: specExample,
      headers: ["ETag"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_ALREADY_EXISTS"],
});

export const deleteSpecRoute = operation({
  method: "delete",
  path: `${BASE}/{spec}`,
  operationId: "deleteSpec",
  tags: TAGS,
  summary: "Delete a spec",
  description: `Deletes a spec that nothing refers to; its slug is free again. One that a runner offers stays until it is withdrawn, and one that a job was made for, also a job that has ended or is deleted, for ever: archive it instead.

For root administrators. There is no request body.`,
  access: "admin",
  conditional: true,
  request: { params },
  responses: { 204: { description: "Deleted; there is no body." } },
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_IN_USE"],
});

export const listCatalogueRoute = operation({
  method: "get",
  path: "/api/silicon-mark/v1/specs",
  operationId: "listAvailableSpecs",
  tags: TAGS,
  summary: "What jobs can be made for",
  description: `The hardware specs that a job's \`spec\` can name: those not archived, by name, a page at a time. A page costs the same however many there are, along the links of \`Link\`; \`runners_online\` costs as much as there are runners that offer the specs of the page.

For every signed-in user.`,
  access: "user",
  list: true,
  request: {
    query: z.object({
      ...pageParameters({ max: 300, default: 20 }),
      ...nameParameters("specs"),
    }),
  },
  responses: {
    200: json(catalogue, {
      description: "A page of specs.",
      example: { results: [catalogueExample], pagination: paginationExample },
    }),
  },
});
