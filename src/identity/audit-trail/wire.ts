import { toTimestamp } from "../../lib/clock.ts";
import { type AuditEventWire, MAX_ADDRESS, MAX_SUBJECT } from "./schemas.ts";
import type { AuditEventRow } from "./store.ts";

export function toAuditEvent(row: AuditEventRow): AuditEventWire {
  const { subjectKind, subject, address } = row;
  return {
    id: String(row.id),
    at: toTimestamp(row.at),
    action: row.action,
    actor: { kind: row.actorKind, id: row.actor },
    subject:
      subjectKind === null || subject === null
        ? null
        : {
            kind: subjectKind,
            id: subject.slice(0, MAX_SUBJECT),
          },
    customer: row.customer,
    request_id: row.requestId,
    // Outside Cloudflare the client sends its address, at any length.
    address: address?.slice(0, MAX_ADDRESS) ?? null,
    details: row.details,
  };
}
