import { z } from "@hono/zod-openapi";
import { TTL_ALIASES, uuidParameter } from "../../api/names.ts";
import { json, jsonBody, operation } from "../../api/operation.ts";
import { idParameter } from "../../api/schemas.ts";
import { jobDetailExample, jobResultsExample } from "../examples.ts";
import { resultMap, resultsQuery } from "../result-schemas.ts";
import {
  createdShare,
  createShareBody,
  DEFAULT_TTL_SECONDS,
  MAX_SHARES,
  type SharedJobWire,
  type ShareWire,
  sharedJob,
  shareList,
  shareToken,
} from "./schemas.ts";

const BASE = "/api/silicon-mark/v1";
const TAGS: [string] = ["Jobs"];

const ofJob = z.object({ job_id: idParameter("job_id", "The job's ID.") });
const ofShare = ofJob.extend({ uuid: uuidParameter("uuid", "link") });

const shareExample: ShareWire = {
  uuid: "550e8400-e29b-41d4-a716-446655440000",
  job_id: "7554621440",
  created_by: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
  created_at: "2024-03-15T12:00:00.000Z",
  expires_at: "2024-03-22T12:00:00.000Z",
};

export const createShareRoute = operation({
  method: "post",
  path: `${BASE}/jobs/{job_id}/shares`,
  operationId: "createJobShare",
  tags: TAGS,
  summary: "Share a job",
  description: `Creates a link that shows the job to anyone who has it, without an account: its state, results and verdict, even while it runs, but no people, tokens, network addresses, order or report. It stops working after \`ttl\`, when it is revoked, and when the job is deleted. A job has at most ${MAX_SHARES} valid links.

Only for people of the job's customer who see the job. The body may be omitted. Send an \`Idempotency-Key\` to repeat the request without creating a second link; the repeat cannot show the link again.`,
  access: "user",
  secret: true,
  creates: true,
  aliases: TTL_ALIASES,
  request: {
    params: ofJob,
    body: {
      ...jsonBody(createShareBody, {
        description: "The link to create.",
        example: { ttl: DEFAULT_TTL_SECONDS },
      }),
      required: false,
    },
  },
  responses: {
    201: json(createdShare, {
      description: "Created. The link is shown only in this reply.",
      example: {
        ...shareExample,
        url: "https://assay.example/console/shared#assay_share_0123456789abcdefghijABCDEFGHIJ",
      },
      headers: ["Cache-Control"],
    }),
  },
  errors: ["PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

export const listSharesRoute = operation({
  method: "get",
  path: `${BASE}/jobs/{job_id}/shares`,
  operationId: "listJobShares",
  tags: TAGS,
  summary: "List a job's links",
  description:
    "Lists the job's valid links, newest first, without the links themselves.\n\nFor everyone who sees the job in the list.",
  access: "user",
  single: true,
  request: { params: ofJob },
  responses: {
    200: json(shareList, { description: "The links.", example: { shares: [shareExample] } }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const deleteShareRoute = operation({
  method: "delete",
  path: `${BASE}/jobs/{job_id}/shares/{uuid}`,
  operationId: "deleteJobShare",
  tags: TAGS,
  summary: "Revoke a job's link",
  description:
    "Revokes a link, which stops working at once.\n\nOnly for people of the job's customer who see the job. There is no request body.",
  access: "user",
  request: { params: ofShare },
  responses: { 204: { description: "Revoked. The reply has no body." } },
  errors: ["PERMISSION_DENIED", "RESOURCE_NOT_FOUND"],
});

const {
  token: _token,
  join_command: _join,
  order: _order,
  pdf_report_url: _url,
  report_error: _error,
  ...shownOfJob
} = jobDetailExample;
const sharedExample: SharedJobWire = {
  ...shownOfJob,
  tasks: jobDetailExample.tasks.map(
    ({ machine_ip: _ip, pdf_report_url: _report, report_error: _why, ...shown }) => shown,
  ),
  shared_until: shareExample.expires_at,
};

export const getSharedJobRoute = operation({
  method: "get",
  path: `${BASE}/shared/{share}`,
  operationId: "getSharedJob",
  tags: TAGS,
  summary: "View a shared job",
  description: `Returns the job that a link shows: its detail without people, tokens, its order and the report. Network addresses in texts and results are replaced by \`[address]\`, and tags that have one are left out.

Open to anyone who has the link's token. Unknown, expired and revoked tokens, and tokens of deleted jobs, are 404.`,
  access: "open",
  single: true,
  secret: true,
  request: { params: z.object({ share: shareToken }) },
  responses: {
    200: json(sharedJob, {
      description: "The job.",
      example: sharedExample,
      headers: ["Cache-Control"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const getSharedResultsRoute = operation({
  method: "get",
  path: `${BASE}/shared/{share}/results`,
  operationId: "getSharedResults",
  tags: TAGS,
  summary: "View a shared job's results",
  description: `Returns the cluster-level results of the job that a link shows, with all their measurements, as \`GET /jobs/{job_id}/results\` does. Network addresses in texts are replaced by \`[address]\`.

Open to anyone who has the link's token. Tokens that are unknown, expired or revoked, and those of deleted jobs, are not found.

**Cost.** It grows with the measurements: 65,280 for a job of 256 nodes. The reply is streamed.`,
  access: "open",
  single: true,
  secret: true,
  request: { params: z.object({ share: shareToken }), query: resultsQuery },
  responses: {
    200: json(resultMap, {
      description: "Results by benchmark id.",
      example: jobResultsExample,
      headers: ["Cache-Control"],
    }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});
