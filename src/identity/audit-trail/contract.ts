import { z } from "@hono/zod-openapi";
import { pageParameters } from "../../http/list-query.ts";
import { operation } from "../../http/operation.ts";
import { queryText } from "../../http/query-schemas.ts";
import { json } from "../../http/responses.ts";
import { AUDIT_ACTIONS } from "../audit.ts";
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
  ...pageParameters({ max: 255, default: 8 }),
  action: z
    .enum(AUDIT_ACTIONS, "must be an action of the audit trail, given once")
    .optional()
    .openapi({ description: "Only what was done, or refused, like this." }),
  actor: queryText({
    max: 128,
    description: "Only what this caller did: exactly its `id`. An empty one is as absent.",
    example: "550e8400-e29b-41d4-a716-446655440000",
  }),
  subject: queryText({
    max: MAX_SUBJECT,
    description: "Only what was done to this: exactly its `id`. An empty one is as absent.",
    example: "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
  }),
});

export type AuditQuery = z.infer<typeof query>;

export const listAuditEventsRoute = operation({
  method: "get",
  path: "/v0/audit",
  operationId: "listAuditEvents",
  tags: ["Audit trail"],
  summary: "Read the audit trail",
  description: `Who did what to whom, newest first, a page at a time: changes of customers, people, API tokens and specs, sign-ins, and what was refused, the last at most once a minute for a caller and kind. Nothing in it is ever changed or removed. Filters combine. A page beyond the last one is empty. Without filters a page costs the same however long the trail is, along the links of \`Link\`; with filters, all that fit are counted.

For administrators: root administrators read everything, others what concerns their own customer.`,
  access: "manager",
  list: true,
  request: { query },
  responses: {
    200: json(auditTrail, { description: "A page of the trail.", example: [example] }),
  },
});
