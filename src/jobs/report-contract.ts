import { z } from "@hono/zod-openapi";
import { json, operation } from "../api/operation.ts";
import { queryChoice } from "../api/query-parameters.ts";
import { idParameter } from "../api/schemas.ts";
import { reportUrl } from "../coordinator/wire/task.ts";
import { PAPER_SIZES } from "../lib/enums.ts";
import { reportLink, reportLinkExample } from "../reports/link-schema.ts";

export const makeReportRoute = operation({
  method: "post",
  path: "/api/silicon-mark/v1/jobs/{job_id}/report",
  operationId: "makeJobReport",
  tags: ["Reports"],
  summary: "Make a job's report",
  description: `Makes the PDF reports of an ended job and of its nodes if they are missing or their verdict has changed. The end of a job also makes its reports. Repeating the request changes nothing.

\`paper\` makes them again for other paper. It is A4, or Letter for a job created with \`Accept-Language\` en-US, en-CA or es-MX.

For everyone who sees the job in the list; limited to ten per minute. A job created without an account gets no report. There is no request body.`,
  access: "user",
  limit: "report",
  request: {
    params: z.object({ job_id: idParameter("job_id", "The job ID.") }),
    query: z.object({ paper: queryChoice(PAPER_SIZES, "Paper of the job's reports.").optional() }),
  },
  responses: {
    202: json(reportLink, { description: "The report is ready.", example: reportLinkExample }),
  },
  errors: ["JOB_STATE_INVALID", "RESOURCE_NOT_FOUND"],
});

const madeReport = z
  .strictObject({
    pdf_report_url: reportUrl.describe("Always null: the job's token cannot read reports."),
  })
  .openapi("MadeReport", { description: "The report is ready." });

export const generateReportRoute = operation({
  method: "post",
  path: "/api/silicon-mark/v1/jobs/{job_id}/generate-report",
  operationId: "generateReport",
  tags: ["Node protocol"],
  summary: "Make the job's report again",
  description: `Makes the missing reports of an ended job, like \`POST /jobs/{job_id}/report\`, for agents. Repeating the request has no further effect.

Requires the job's token, even after the job has ended; limited to ten per minute. There is no request body.`,
  access: "node",
  secret: true,
  limit: "report",
  request: { params: z.object({ job_id: idParameter("job_id", "The job ID.") }) },
  responses: {
    202: json(madeReport, {
      description: "The report is ready.",
      example: { pdf_report_url: null },
    }),
  },
  errors: ["JOB_STATE_INVALID", "RESOURCE_NOT_FOUND", "JOB_ENDED"],
});
