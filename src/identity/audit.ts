import { type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import type { Database } from "../db/client.ts";
import { auditEvents } from "../db/schema.ts";
import type { RequestEnv } from "../http/context.ts";
import { addressOf } from "../http/rate-limit.ts";
import { MINUTE_MS } from "../lib/clock.ts";

/** Everything that is written to the audit trail: acts first, then what was refused. */
export const AUDIT_ACTIONS = [
  "signed_in",
  "signed_out",
  "customer_created",
  "customer_updated",
  "user_created",
  "user_updated",
  "user_deleted",
  "password_changed",
  "password_link_created",
  "api_token_created",
  "api_token_revoked",
  "token_secret_retired",
  "job_deleted",
  "spec_created",
  "spec_updated",
  "spec_deleted",
  "runner_created",
  "runner_updated",
  "runner_key_rotated",
  "runner_spec_offered",
  "runner_spec_withdrawn",
  "baseline_pinned",
  "baseline_unpinned",
  "sign_in_failed",
  "refresh_token_reused",
  "wrong_token_kind",
  "permission_denied",
] as const;
export type AuditAction = (typeof AUDIT_ACTIONS)[number];

/**
 * `account`: someone who says that it is theirs, and could not show it. `operator`: a command of this
 * project, run by whoever runs the deployment.
 */
export const ACTOR_KINDS = ["user", "node", "runner", "account", "anonymous", "operator"] as const;
export const SUBJECT_KINDS = [
  "customer",
  "user",
  "api_token",
  "session",
  "account",
  "job",
  "spec",
  "runner",
  "baseline",
  "operation",
  "secret",
] as const;

/** Who asked, in which request, from where. */
export interface Origin {
  actorKind: (typeof ACTOR_KINDS)[number];
  /** The person's or the runner's UUID, or the job's id; null for nobody known. */
  actor: string | null;
  requestId: string;
  address: string;
}

export interface AuditEvent {
  action: AuditAction;
  subject: { kind: (typeof SUBJECT_KINDS)[number]; id: string };
  /** Whose administrators may read it; null for root administrators alone. */
  customerId: number | null;
  /** Never a secret. */
  details?: Record<string, unknown>;
}

/** An act on rows that the same batch changes: what it says of them may come from their columns. */
export interface RowAuditEvent extends Omit<AuditEvent, "subject" | "customerId"> {
  subject: { kind: (typeof SUBJECT_KINDS)[number]; id: string | SQL };
  customerId: number | null | SQL;
}

/** Who does something, when, and what the trail says about it: which fields, never a secret. */
export interface Act {
  origin: Origin;
  now: number;
  details: Record<string, unknown>;
}

/** Who asks, for the audit trail. */
export function originOf<Env extends RequestEnv>(c: Context<Env>): Origin {
  const principal = c.get("principal");
  return {
    actorKind: principal?.kind ?? "anonymous",
    actor: principal?.id ?? null,
    requestId: c.get("requestId"),
    address: addressOf(c),
  };
}

/**
 * Writes an act to the trail, if the statement before it in the same batch has changed a row: the act
 * and its trace are stored together or not at all.
 */
export function auditOfChange(db: Database, origin: Origin, event: AuditEvent, now: number) {
  return insertWhere(db, origin, event, now, sql`changes() > 0`);
}

/** Writes what was refused, at most once a minute for one actor (else: subject) and action. */
export function auditOfRefusal(db: Database, origin: Origin, event: AuditEvent, now: number) {
  const who = origin.actor ?? event.subject.id;
  const recent = sql`exists (select 1 from ${auditEvents} where ${auditEvents.actor} = ${who} and ${auditEvents.action} = ${event.action} and ${auditEvents.at} > ${now - MINUTE_MS})`;
  return insertWhere(db, { ...origin, actor: who }, event, now, sql`not ${recent}`);
}

/**
 * As `auditOfChange`, for each row of `from` (`from … where …`): goes before the statement that changes
 * those same rows.
 */
export function auditOfRows(
  db: Database,
  origin: Origin,
  event: RowAuditEvent,
  now: number,
  from: SQL,
) {
  return insertFrom(db, origin, event, now, from);
}

function insertWhere(db: Database, origin: Origin, event: AuditEvent, now: number, condition: SQL) {
  return insertFrom(db, origin, event, now, sql`where ${condition}`);
}

function insertFrom(
  db: Database,
  { actorKind, actor, requestId, address }: Origin,
  { action, subject, customerId, details = {} }: RowAuditEvent,
  now: number,
  from: SQL,
) {
  const text = JSON.stringify(details);
  // The id comes first among the columns; null draws the next one.
  return db
    .insert(auditEvents)
    .select(
      sql`select null, ${now}, ${action}, ${actorKind}, ${actor}, ${subject.kind}, ${subject.id}, ${customerId}, ${requestId}, ${address}, ${text} ${from}`,
    );
}
