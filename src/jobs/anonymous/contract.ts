import { json, jsonBody, operation } from "../../api/operation.ts";
import { JOB_KEY_ALIASES } from "../create-schema.ts";
import { joinCommandOf } from "../created-wire.ts";
import { createdJobExample } from "../examples.ts";
import { createdJob } from "../schemas.ts";
import { createAnonymousJobBody } from "./schemas.ts";

export const createAnonymousJobRoute = operation({
  method: "post",
  path: "/api/silicon-mark/v1/jobs/anonymous",
  operationId: "createAnonymousJob",
  tags: ["Jobs"],
  summary: "Create a job without an account",
  description: `Creates a job of one node that runs \`quick_mark\`, to measure a machine once. Its name is generated; \`name\`, \`spec\`, \`expected_spec\`, \`provider\`, \`region\` and \`order\` are refused. The body may be omitted.

For everyone; limited to five per minute per IP address, and 503 while there are too many such jobs, or they store too much. The \`token\` in the reply is the only credential: agents join with it until the job expires, 24 hours after its creation, and \`GET /jobs/current\` shows the job's detail with it for 7 days. No report is made, and a lost token cannot be recovered. Staff see the job like any other.

\`Idempotency-Key\` has no effect, since callers without an account cannot be told apart.`,
  access: "open",
  limit: "anonymous",
  aliases: JOB_KEY_ALIASES,
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
        join_command: joinCommandOf("https://assay.example", createdJobExample.token),
      },
    }),
  },
});
