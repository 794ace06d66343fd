/** Adds entries to the audit log; triggers refuse to change or remove them. */
import { type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { insertFrom } from "../db/insert-from.ts";
import { auditEvents } from "../db/schema.ts";
import { MINUTE_MS } from "../lib/clock.ts";
import type { ActorKind, AuditAction, SubjectKind } from "../lib/enums.ts";

/** The origin of a request: its caller, its id and its address. */
export interface RequestOrigin {
  actorKind: ActorKind;
  /** The person's or the runner's UUID, or the job's id; null for an unknown caller. */
  actor: string | null;
  requestId: string;
  address: string;
}

/** An action on a row that the same batch changes; its subject and customer may come from the row. */
export interface AuditEvent {
  action: AuditAction;
  subject: { kind: SubjectKind; id: string | SQL };
  /** The customer whose administrators may read the entry; null for root administrators alone. */
  customerId: number | null | SQL;
}

/** The refusal of an action; its subject is known beforehand. */
export interface RefusalEvent extends AuditEvent {
  subject: AuditEvent["subject"] & { id: string };
}

/** The part of an audit entry that is not about the action itself. */
export interface AuditContext {
  origin: RequestOrigin;
  now: number;
  /** More about the action, such as the fields that were set; never a secret. */
  details?: Record<string, unknown>;
}

/**
 * Records an action, if the statement before it in the same batch has changed a row: the change and its
 * entry are stored together or not at all.
 */
export function auditOfChange(db: Database, event: AuditEvent, context: AuditContext) {
  return auditOfRows(db, event, context, sql`where changes() > 0`);
}

/** Records a refusal, at most once a minute for each actor (or, without one, subject) and action. */
export function auditOfRefusal(
  db: Database,
  event: RefusalEvent,
  { origin, ...context }: AuditContext,
) {
  const actor = origin.actor ?? event.subject.id;
  const recent = sql`exists (select 1 from ${auditEvents} where ${auditEvents.actor} = ${actor} and ${auditEvents.action} = ${event.action} and ${auditEvents.at} > ${context.now - MINUTE_MS})`;
  const from = sql`where not ${recent}`;
  return auditOfRows(db, event, { ...context, origin: { ...origin, actor } }, from);
}

/**
 * Records an action on each row of `from` (`from … where …`). It goes before the statement that changes
 * those rows.
 */
export function auditOfRows(
  db: Database,
  { action, subject, customerId }: AuditEvent,
  { origin, now, details = {} }: AuditContext,
  from: SQL,
) {
  const entry = {
    at: now,
    action,
    actorKind: origin.actorKind,
    actor: origin.actor,
    subjectKind: subject.kind,
    subject: subject.id,
    customerId,
    requestId: origin.requestId,
    address: origin.address,
    details,
  };
  return insertFrom(db, auditEvents, entry, from);
}
