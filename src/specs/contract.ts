import { z } from "@hono/zod-openapi";
import { listQuery, nameParameters, pageParameters, paginationExample } from "../api/lists.ts";
import { referenceParameter } from "../api/names.ts";
import { json, jsonBody, operation } from "../api/operation.ts";
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
  description: `Lists hardware specs that are not archived, by name, a page at a time. Filters combine. A page beyond the last one is empty.

For root administrators.

**Cost.** Along the links of \`Link\` a page costs the same with any order and filter, however many specs there are; \`page\` and \`search\` name the exceptions.`,
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
  description: `Creates a hardware spec. Names may repeat; slugs are unique. If a slug, requested or made from the name, is taken, it gets a hyphen and a random suffix of 8 characters.

For root administrators. Unknown keys are ignored. With an \`Idempotency-Key\` the request can be repeated without creating a second spec.`,
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
  description: "Returns one hardware spec, archived or not.\n\nFor root administrators.",
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
  description: `Changes a spec's name or slug, archives it or restores it. Its hardware never changes: create another spec instead. Omitted and null fields stay unchanged; an empty object updates only \`modified\`. A new name does not change the slug.

For root administrators. Unknown keys are ignored. Send the \`ETag\` that you have read as \`If-Match\` to avoid overwriting someone else's change.`,
  access: "admin",
  conditional: true,
  request: {
    params,
    body: jsonBody(updateSpecBody, {
      description: "The changes.",
      example: { name: "H100 node", archived: false },
    }),
  },
  responses: {
    200: json(spec, {
      description: "The changed spec.",
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
  description: `Deletes a spec that no runner or job refers to; its slug can be reused. If a runner offers the spec, withdraw it first. If a job was created for the spec, it can never be deleted, even after the job is deleted: archive it instead.

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
  summary: "List the specs for jobs",
  description: `Lists the hardware specs that a job's \`spec\` can name: all that are not archived, by name, a page at a time.

For every signed-in user.

**Cost.** Along the links of \`Link\` a page costs the same however many specs there are, except that \`runners_online\` reads all runners that offer the specs of the page.`,
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
