import { z } from "@hono/zod-openapi";
import { json, jsonBody, operation, textStream } from "../api/operation.ts";
import { queryChoice, queryInteger } from "../api/query-parameters.ts";
import { idParameter } from "../api/schemas.ts";
import { createJobBody, JOB_KEY_ALIASES } from "./create-schema.ts";
import {
  abortedJobExample,
  createdJobExample,
  createJobExample,
  eventStreamExample,
  jobDetailExample,
  jobPageExample,
  jobResultsExample,
} from "./examples.ts";
import { commonParameters, listJobsQuery, stateParameter } from "./list-parameters.ts";
import { resultMap, resultsQuery } from "./result-schemas.ts";
import {
  abortedJob,
  createdJob,
  deletedJob,
  deleteJobBody,
  jobDetail,
  jobPage,
  jobStats,
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
  description: `Creates a benchmarking job. quick_mark is always included automatically, and runs first.

For every signed-in user; the job belongs to you and your customer. The \`token\` in the reply lets agents join until the job expires, 24 hours after its creation. A body has at most 256 KiB. With an \`Idempotency-Key\` the request can be repeated without creating a second job. Quotas limit the jobs that your customer may create in a UTC day and the results that it may store.

\`join_command\` is the line that joins a machine. The reference to a hardware \`spec\` is permanent. An unknown or archived spec is 404.`,
  access: "user",
  creates: true,
  aliases: JOB_KEY_ALIASES,
  request: {
    body: jsonBody(createJobBody, { description: "The job to create.", example: createJobExample }),
  },
  responses: { 201: json(createdJob, { description: "Created.", example: createdJobExample }) },
  errors: ["RESOURCE_NOT_FOUND", "RESOURCE_ALREADY_EXISTS", "QUOTA_EXCEEDED"],
});

export const listJobsRoute = operation({
  method: "get",
  path: `${BASE}/jobs`,
  operationId: "listJobs",
  tags: ["Jobs"],
  summary: "List jobs",
  description: `Lists the jobs you may see, newest first, a page at a time. Regular users see their own jobs, customer admins all jobs of their customer, staff and root admins all jobs. Changes of the last seconds may be missing; the job's detail has them.

Filters combine; bounds that exclude each other match nothing. A page beyond the last one is empty.

**Cost.** Newest first, with at most one of \`state\`, \`spec_check\`, \`tags\`, \`benchmark_id\`, a range of creation times, or a \`name\` of 3 or more characters, the first page and the pages along \`next_cursor\` or the links of \`Link\` cost the same however many jobs there are. So does the total without a filter, or with \`state\` only. Other requests cost as much as they read: the total with other filters reads all matches; several filters read all jobs that match the tags, the benchmark or the name; a jump to a page without its cursor reads all pages before it. Other orders use an index for customer admins without a filter; otherwise all matches are sorted.`,
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
  description: `Returns all unique tags of the jobs you may see: regular users get the tags of their own jobs, customer admins those of all jobs of their customer, staff and root admins all. Tags used only by deleted jobs are left out.

The reply has at most the first 10,000 tags, sorted by bytes.

**Cost.** It depends on the number of tags, not of jobs.`,
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
  description: `Returns one job in full. Tasks and all benchmark results are always included; those of a live job are up to date.

For everyone who sees the job in the list; others get 404.

With \`wait\` and \`If-None-Match\` the reply waits until the job changes, and is 304 if it does not change within that time. For an ended job, the reply waits for its verdict and report.`,
  access: "user",
  single: true,
  request: {
    params,
    query: z.object({
      wait: queryInteger({
        min: 0,
        max: 25,
        default: 0,
        description: "Seconds to wait for a change; without `If-None-Match` there is no wait.",
      }),
    }),
  },
  responses: { 200: json(jobDetail, { description: "The job.", example: jobDetailExample }) },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const streamJobEventsRoute = operation({
  method: "get",
  path: `${BASE}/jobs/{job_id}/events`,
  operationId: "streamJobEvents",
  tags: ["Jobs"],
  summary: "Follow a job",
  description: `Streams the job's events as they happen, as \`text/event-stream\`: all events, or those after \`Last-Event-ID\`. An event's \`id\` is its ordinal. \`event: event\` is one of the \`events\` of the job's detail; \`progress\` is the latest progress of one node, without an id; \`end\` comes last, when the job has ended.

After 20 seconds of silence the server sends a comment. A stream lasts at most 15 minutes; if it ends without \`end\`, send the request again with \`Last-Event-ID\`. Until the first node joins, events may arrive up to 5 seconds late. A person can follow 32 jobs at a time.

For everyone who sees the job in the list.`,
  access: "user",
  resumes: true,
  request: { params },
  responses: {
    200: {
      description: "The events.",
      content: { "text/event-stream": textStream(eventStreamExample) },
    },
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const getJobResultsRoute = operation({
  method: "get",
  path: `${BASE}/jobs/{job_id}/results`,
  operationId: "getJobResults",
  tags: ["Jobs"],
  summary: "View a job's results",
  description: `Returns the result summary of a job: a map keyed by benchmark id, where each value is a cluster-level benchmark result with all its measurements. The map is empty until a cluster benchmark has started.

For everyone who sees the job in the list.`,
  access: "user",
  single: true,
  request: {
    params,
    query: resultsQuery,
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
  description: `Ends a job that is created, starting or running; its nodes are told to stop at their next call. Aborting an aborted job changes nothing and gets the same reply; a job that ended otherwise cannot be aborted.

Only for people of the job's customer who see the job. There is no request body.`,
  access: "user",
  request: { params },
  responses: {
    200: json(abortedJob, { description: "The job is aborted.", example: abortedJobExample }),
  },
  errors: ["JOB_STATE_INVALID", "PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

/** The reply of both routes that delete a job. */
const deletion = {
  responses: {
    200: json(deletedJob, {
      description: "Job successfully deleted.",
      example: { message: "Job deleted successfully", requires_agent_stop: false },
    }),
  },
  errors: ["JOB_STATE_INVALID", "PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
} as const;

export const deleteJobRoute = operation({
  method: "delete",
  path: `${BASE}/jobs/delete`,
  operationId: "deleteJob",
  tags: ["Jobs"],
  summary: "Delete a job",
  description: `Deletes a job and its tasks. The job disappears from all lists, and its name can be reused. One job per request. Its nodes are told to stop at their next call; a job without nodes can no longer be joined.

Only an idle job can be deleted (created, completed, completed_with_warnings, failed or aborted); abort a running one first. Only for people of the job's customer who see the job. Deleting a job twice is 404. Send the \`ETag\` of \`GET /jobs/{job_id}\` as \`If-Match\` to get 412 if the job has changed since.`,
  access: "user",
  conditional: true,
  request: {
    body: jsonBody(deleteJobBody, {
      description: "The job to delete.",
      example: { id: 7_554_621_440 },
    }),
  },
  ...deletion,
});

export const deleteJobByIdRoute = operation({
  method: "delete",
  path: `${BASE}/jobs/{job_id}`,
  operationId: "deleteJobById",
  tags: ["Jobs"],
  summary: "Delete a job by its path",
  description:
    "Deletes a job like `DELETE /jobs/delete`, but with the id in the path. There is no request body.",
  access: "user",
  conditional: true,
  request: { params },
  ...deletion,
});

export const getJobStatsRoute = operation({
  method: "get",
  path: "/api/silicon-mark/v1/jobs/stats",
  operationId: "getJobStats",
  tags: ["Jobs"],
  summary: "Count jobs that underperform",
  description: `Counts the jobs you may see whose aggregated performance status is underperforming. The sort parameters are validated and have no effect.

**Cost.** Without \`name\` and \`tags\` the count reads one counter row; with them it reads all matching jobs.`,
  access: "user",
  counts: true,
  request: {
    query: z.object({
      benchmark_id: queryChoice(["quick_mark"], "Benchmark that drives performance rows.").default(
        "quick_mark",
      ),
      ...commonParameters,
      state: stateParameter.default("completed"),
    }),
  },
  responses: {
    200: json(jobStats, { description: "The count.", example: { alert_job_count: 4 } }),
  },
});
