import { z } from "@hono/zod-openapi";
import { pageParameters, V0_PAGES } from "../../api/lists.ts";
import { json, operation } from "../../api/operation.ts";
import { queryText } from "../../api/query-parameters.ts";
import { AUDIT_ACTIONS } from "../../lib/enums.ts";
import { type AuditEventWire, auditTrail, MAX_SUBJECT } from "./schemas.ts";

const example: AuditEventWire = {
  id: "42",
  at: "2024-03-15T10:30:00.000Z",
  action: "user_updated",
  actor: { kind: "user", id: "550e8400-e29b-41d4-a716-446655440000" },
  subject: { kind: "user", id: "6ba7b810-9dad-11d1-80b4-00c04fd430c8" },
  customer: "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
  request_id: "0b3a8f5e-6f5c-4c1e-9a55-0d1f6b7a2c34",
  address: "203.0.113.7",
  details: { fields: ["role"], role: "customer_admin" },
};

const query = z.object({
  ...pageParameters(V0_PAGES),
  action: z
    .enum(AUDIT_ACTIONS, "must be an action of the audit log, given once")
    .optional()
    .openapi({ description: "Only entries with this action." }),
  actor: queryText({
    max: 128,
    description: "Only actions of this caller: the exact `id`. An empty value is ignored.",
    example: "550e8400-e29b-41d4-a716-446655440000",
  }),
  subject: queryText({
    max: MAX_SUBJECT,
    description: "Only actions on this subject: the exact `id`. An empty value is ignored.",
    example: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
  }),
});

export type AuditQuery = z.infer<typeof query>;

export const listAuditEventsRoute = operation({
  method: "get",
  path: "/v0/audit",
  operationId: "listAuditEvents",
  tags: ["Audit log"],
  summary: "Read the audit log",
  description: `Lists the entries of the append-only audit log, newest first, a page at a time: changes to customers, people, API tokens, specs, runners and baselines, deletions of jobs, sign-ins, and refusals. A refusal is recorded at most once a minute for each caller and action. Filters combine. A page beyond the last page is empty.

For administrators: root administrators read all entries, others those of their own customer.

**Cost.** Without filters, each page along the links of \`Link\` costs the same at any length of the log; with filters, all matching entries are counted.`,
  access: "manager",
  list: true,
  request: { query },
  responses: {
    200: json(auditTrail, { description: "A page of the audit log.", example: [example] }),
  },
});
