import { z } from "@hono/zod-openapi";
import { operation } from "../http/operation.ts";
import { queryBoolean } from "../http/query-schemas.ts";
import { json, jsonBody } from "../http/responses.ts";
import { idParameter } from "../http/schemas.ts";
import { reportLink, reportLinkExample } from "../reports/contract.ts";
import { createJobBody } from "./create-schema.ts";
import {
  abortedJobExample,
  createdJobExample,
  createJobExample,
  jobDetailExample,
  jobPageExample,
  jobResultsExample,
} from "./examples.ts";
import { listJobsQuery } from "./list-query.ts";
import { resultMap } from "./result-schemas.ts";
import {
  abortedJob,
  createdJob,
  deletedJob,
  deleteJobBody,
  jobDetail,
  jobPage,
  jobTagList,
} from "./schemas.ts";

const BASE = "/api/silicon-mark/v1";

const params = z.object({ job_id: idParameter("job_id", "The job ID.") });

export const createJobRoute = operation({
  method: "post",
  path: `${BASE}/jobs`,
  operationId: "createJob",
  tags: ["Jobs"],
  summary: "Create a job",
  description: `Create a new benchmarking job. quick_mark is always included automatically, and runs first.

For every signed-in user; the job belongs to you and your customer. The reply's \`token\` lets agents join until the job expires, 24 hours after its creation. A body has at most 256 KiB. Send an \`Idempotency-Key\` to be able to repeat the request without making a second job.

A job made for a hardware \`spec\` refers to it for ever: 404 when there is none or it is archived.`,
  access: "user",
  creates: true,
  request: {
    body: jsonBody(createJobBody, { description: "The job to create.", example: createJobExample }),
  },
  responses: { 201: json(createdJob, { description: "Created.", example: createdJobExample }) },
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_ALREADY_EXISTS"],
});

export const listJobsRoute = operation({
  method: "get",
  path: `${BASE}/jobs`,
  operationId: "listJobs",
  tags: ["Jobs"],
  summary: "List jobs",
  description: `The jobs you may see, newest first, a page at a time. Regular users see their own jobs, customer admins all jobs of their customer, staff and root admins all jobs. What nodes have done in the last seconds may be missing: the job's detail has it.

Filters combine; bounds that exclude each other find nothing. A page beyond the last one is empty.

**What it costs.** Newest first, with at most one of \`state\`, \`tags\`, \`benchmark_id\`, a range of creation times, or a \`name\` of 3 or more characters, a page costs the same however many jobs there are: the first one, and along \`next_cursor\` or the links of \`Link\`. So does the total without a filter, or with \`state\` alone. All else costs what it has to look at: the total of other filters all that match; several filters all that match the tags, the benchmark or the name; a jump to a page without its cursor all up to it, from the nearer end of the list where the total is known. Other orders follow an index for customer admins without a filter; else what was found is sorted.`,
  access: "user",
  list: true,
  request: { query: listJobsQuery },
  responses: { 200: json(jobPage, { description: "A page of jobs.", example: jobPageExample }) },
});

export const listJobTagsRoute = operation({
  method: "get",
  path: `${BASE}/jobs/tags`,
  operationId: "listJobTags",
  tags: ["Jobs"],
  summary: "List tags",
  description: `Get all unique tags from the jobs you may see: regular users those of their own jobs, customer admins those of all jobs of their customer, staff and root admins all. Tags that only deleted jobs have are not among them.

At most the first 10,000 by bytes. It costs the same however many jobs have a tag.`,
  access: "user",
  single: true,
  responses: {
    200: json(jobTagList, {
      description: "The tags.",
      example: { tags: ["gpu-benchmark", "production", "provider: aws", "testing"] },
    }),
  },
});

export const getJobRoute = operation({
  method: "get",
  path: `${BASE}/jobs/{job_id}`,
  operationId: "getJob",
  tags: ["Jobs"],
  summary: "View a job",
  description: `Get detailed information about a specific job. Tasks and all benchmark results are always included; of a live job they are the newest there is.

For whoever sees the job in the list; to anyone else it does not exist.`,
  access: "user",
  single: true,
  request: { params },
  responses: { 200: json(jobDetail, { description: "The job.", example: jobDetailExample }) },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const getJobResultsRoute = operation({
  method: "get",
  path: `${BASE}/jobs/{job_id}/results`,
  operationId: "getJobResults",
  tags: ["Jobs"],
  summary: "View a job's results",
  description: `Get the result summary of this job: a map keyed by benchmark id, where each value is a cluster-level benchmark result with all its measurements. Empty until a cluster benchmark has started.

For whoever sees the job in the list.`,
  access: "user",
  single: true,
  request: {
    params,
    query: z.object({
      include_display_names: queryBoolean({
        default: false,
        description: "Add human-readable field names and units to each result.",
      }),
    }),
  },
  responses: {
    200: json(resultMap, { description: "Results by benchmark id.", example: jobResultsExample }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const abortJobRoute = operation({
  method: "post",
  path: `${BASE}/jobs/{job_id}/abort`,
  operationId: "abortJob",
  tags: ["Jobs"],
  summary: "Abort a job",
  description: `Ends a job that is created, starting or running; its nodes are told to stop when they next ask. Aborting an aborted job changes nothing and answers the same; a job that ended otherwise cannot be aborted.

Only for people of the job's customer who see it. There is no request body.`,
  access: "user",
  request: { params },
  responses: {
    200: json(abortedJob, { description: "The job is aborted.", example: abortedJobExample }),
  },
  errors: ["JOB_STATE_INVALID", "PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

export const deleteJobRoute = operation({
  method: "delete",
  path: `${BASE}/jobs/delete`,
  operationId: "deleteJob",
  tags: ["Jobs"],
  summary: "Delete a job",
  description: `Soft-delete a job and all associated tasks: from then on no read shows them, and the job's name is free again. One job a request. Its nodes are told to stop when they next call; a job that no node has joined cannot be joined any more.

A job is deleted while it is created, completed, completed_with_warnings, failed or aborted; one with nodes at work is aborted first. Only for people of the job's customer who see it. Deleting it twice is 404.`,
  access: "user",
  request: {
    body: jsonBody(deleteJobBody, {
      description: "The job to delete.",
      example: { id: 7_554_621_440 },
    }),
  },
  responses: {
    200: json(deletedJob, {
      description: "Job successfully deleted.",
      example: { message: "Job deleted successfully", requires_agent_stop: false },
    }),
  },
  errors: ["JOB_STATE_INVALID", "PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

export const makeReportRoute = operation({
  method: "post",
  path: `${BASE}/jobs/{job_id}/report`,
  operationId: "makeJobReport",
  tags: ["Reports"],
  summary: "Make a job's report",
  description: `Makes the PDF reports of an ended job and of its nodes, as far as they are missing or their verdict has changed; when the job ends they are made anyway. Repeating it changes nothing.

For whoever sees the job in the list, ten times a minute. A job made without an account gets none. There is no request body.`,
  access: "user",
  request: { params },
  responses: {
    202: json(reportLink, { description: "The report is there.", example: reportLinkExample }),
  },
  errors: ["JOB_STATE_INVALID", "RESOURCE_NOT_FOUND"],
});

export type { CreateJobInput } from "./create-schema.ts";
export type { BenchmarkResultWire } from "./result-schemas.ts";
export type { CreatedJobWire, JobDetailWire, ListedJobWire } from "./schemas.ts";
export { MAX_LISTED_TAGS } from "./schemas.ts";
