import { toTimestamp } from "../../lib/clock.ts";
import { type AuditEventWire, MAX_ADDRESS, MAX_SUBJECT } from "./schemas.ts";
import type { AuditEventRow } from "./store.ts";

export function toAuditEvent(row: AuditEventRow): AuditEventWire {
  const { subjectKind, subject, address } = row;
  return {
    id: String(row.id),
    at: toTimestamp(row.at),
    // Written by `audit.ts` alone, from values of these types.
    action: row.action as AuditEventWire["action"],
    actor: { kind: row.actorKind as AuditEventWire["actor"]["kind"], id: row.actor },
    subject:
      subjectKind === null || subject === null
        ? null
        : {
            kind: subjectKind as NonNullable<AuditEventWire["subject"]>["kind"],
            id: subject.slice(0, MAX_SUBJECT),
          },
    customer: row.customer,
    request_id: row.requestId,
    // What stands before the Worker says it; in front of a local one anybody may.
    address: address?.slice(0, MAX_ADDRESS) ?? null,
    details: JSON.parse(row.details),
  };
}
