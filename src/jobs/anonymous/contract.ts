import { operation } from "../../http/operation.ts";
import { json, jsonBody } from "../../http/responses.ts";
import { createdJobExample } from "../examples.ts";
import { createdJob } from "../schemas.ts";
import { createAnonymousJobBody } from "./schemas.ts";

export const createAnonymousJobRoute = operation({
  method: "post",
  path: "/api/silicon-mark/v1/jobs/anonymous",
  operationId: "createAnonymousJob",
  tags: ["Jobs"],
  summary: "Create a job without an account",
  description: `A job of one node that runs \`quick_mark\`, for whoever wants to measure a machine once. Its name is generated; \`name\` and \`spec\` are refused. The body may be left out.

For everyone, five times a minute and address. The reply's \`token\` is all there is to it, so keep it: an agent joins with it until the job expires, 24 hours after its creation, and for 7 days \`GET /jobs/current\` shows the job's detail to whoever has it. There is no report, and it cannot be lost and found: staff see the job like any other.

\`Idempotency-Key\` has no effect: there is no caller whose keys could be told from another's.`,
  access: "open",
  request: {
    body: {
      ...jsonBody(createAnonymousJobBody, {
        description: "The job to create.",
        example: { description: "My new workstation", tags: ["workstation"] },
      }),
      required: false,
    },
  },
  responses: {
    201: json(createdJob, {
      description: "Created.",
      example: {
        ...createdJobExample,
        name: "job-20240315-103000-kqzt",
        description: "My new workstation",
        node_count: 1,
        benchmarks: ["quick_mark"],
        tags: ["workstation"],
      },
    }),
  },
});

/** What the node protocol shows of such a job. */
export { jobDetailExample } from "../examples.ts";
export { jobDetail } from "../schemas.ts";
