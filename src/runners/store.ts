import { isNull, type SQL, sql } from "drizzle-orm";
import type { ListQuery } from "../api/lists.ts";
import type { Database } from "../db/client.ts";
import { batchAfter, type IdempotencyKey, reserveKey } from "../db/idempotency.ts";
import { fromJson } from "../db/json.ts";
import type { KeysetOrder, PageWindow } from "../db/keyset.ts";
import {
  archiveColumns,
  byReference,
  inWindow,
  namedOrder,
  nextVersion,
} from "../db/named-rows.ts";
import { type ArchivedFilter, listedBy, totalOf } from "../db/named-search.ts";
import { runnerCounts, runners } from "../db/schema.ts";
import type { Precondition } from "../db/versions.ts";
import { ApiError, notFound } from "../http/errors.ts";
import type { AuditAction, SpecCheckStatus } from "../lib/enums.ts";
import { nameOf, type Reference } from "../lib/references.ts";
import { type AuditContext, type AuditEvent, auditOfChange } from "../resources/audit.ts";
import { type Change, changeIf, storedRow } from "../resources/change.ts";
import { type Rule, versionRule } from "../resources/rules.ts";
import { atWork, waitedAt } from "../specs/runners-online.ts";

const lobbyOfRunner = sql<
  string | null
>`(select name from lobbies where lobbies.id = runners.lobby_id)`;

/** Columns of `Changed`, for statements that return them. */
export const changedColumns = { uuid: runners.uuid, lobby: lobbyOfRunner.as("lobby") };

const runnerColumns = {
  uuid: runners.uuid,
  name: runners.name,
  slug: runners.slug,
  createdAt: runners.createdAt,
  modifiedAt: runners.modifiedAt,
  archivedAt: runners.archivedAt,
  version: runners.version,
  lastHeartbeatAt: runners.lastHeartbeatAt,
  /** UUIDs, sorted. */
  specs: fromJson<string[]>(sql`(select json_group_array(spec_uuid) from (
    select spec_uuid from runner_specs where runner_id = runners.id order by spec_uuid))`).as(
    "specs",
  ),
  /** Its latest check against each of them that it was checked against, in their order. */
  checks: fromJson<
    StoredCheck[]
  >(sql`(select json_group_array(json_array(spec_uuid, spec_check, checked_task_id)) from (
    select spec_uuid, spec_check, checked_task_id from runner_specs
    where runner_id = runners.id and spec_check is not null order by spec_uuid))`).as("checks"),
  isAtWork: atWork.as("is_at_work"),
  waitedAt: sql<number | null>`${waitedAt}`.as("waited_at"),
  lobby: lobbyOfRunner.as("lobby"),
};

type StoredCheck = [spec: string, status: SpecCheckStatus, taskId: number];

/** A runner, with its specs and state of work. */
export type RunnerRow = Pick<
  typeof runners.$inferSelect,
  | "uuid"
  | "name"
  | "slug"
  | "createdAt"
  | "modifiedAt"
  | "archivedAt"
  | "version"
  | "lastHeartbeatAt"
> & {
  specs: string[];
  checks: StoredCheck[];
  isAtWork: boolean;
  /** When the lobby that holds its socket was last there, ms; null without a socket. */
  waitedAt: number | null;
  /** Name of that lobby. */
  lobby: string | null;
};

/** A runner that a change concerns, and the lobby that holds its socket. */
export type Changed = Pick<RunnerRow, "uuid" | "lobby">;

const searched = { table: runners, index: "runners_search", counts: runnerCounts };

const eventOf = (action: AuditAction, id: string | SQL): AuditEvent => ({
  action,
  subject: { kind: "runner", id },
  customerId: null,
});

/**
 * Stores a runner. One batch, one round trip. Fails on a key used before, a taken slug or UUID: see
 * `uniqueViolation`.
 */
export async function insertRunner(
  db: Database,
  row: typeof runners.$inferInsert,
  key: IdempotencyKey | null,
  audit: AuditContext,
): Promise<void> {
  await batchAfter(db, reserveKey(db, key, { uuid: row.uuid }, audit.now), [
    db.insert(runners).values(row),
    auditOfChange(db, eventOf("runner_created", row.uuid), audit),
  ]);
}

/** One round trip. */
export async function findRunner(db: Database, reference: Reference): Promise<RunnerRow | null> {
  const [row] = await db.select(runnerColumns).from(runners).where(byReference(runners, reference));
  return row ?? null;
}

export interface RunnerChanges {
  name?: string | undefined;
  slug?: string | undefined;
  archived?: boolean | undefined;
}

/**
 * Changes a runner, if it is in a version that the precondition names. Fails on a taken slug: see
 * `uniqueViolation`. One batch, one round trip.
 */
export async function updateRunner(
  db: Database,
  reference: Reference,
  precondition: Precondition | null,
  { archived, ...changes }: RunnerChanges,
  audit: AuditContext,
): Promise<RunnerRow> {
  const rules = [versionRule("runner", runners, precondition)];
  const change = changeOf("runner_updated", reference, rules, audit);
  const [updated] = await changeIf(db, change, (allowed) => [
    db
      .update(runners)
      .set({
        ...changes,
        ...archiveColumns(runners, archived, audit.now),
        ...nextVersion(runners, audit.now),
      })
      .where(allowed)
      .returning(runnerColumns),
  ]);
  return storedRow(updated);
}

const notArchived: Rule = {
  holds: isNull(runners.archivedAt),
  refusal: () =>
    new ApiError(
      "RESOURCE_IN_USE",
      "The runner is archived; restore it before you create a new key",
    ),
};

/**
 * Replaces a runner's key, unless it is archived; answers which runner it is. One batch, one round trip. Fails on an
 * idempotency key used before: see `uniqueViolation`.
 */
export async function replaceKey(
  db: Database,
  reference: Reference,
  keyHash: string,
  key: IdempotencyKey | null,
  audit: AuditContext,
): Promise<Changed> {
  const facts = sql<string>`json_object('uuid', ${runners.uuid})`;
  const change = {
    ...changeOf("runner_key_rotated", reference, [notArchived], audit),
    once: { key, facts },
  };
  const [updated] = await changeIf(db, change, (allowed) => [
    db
      .update(runners)
      .set({ keyHash, ...nextVersion(runners, audit.now) })
      .where(allowed)
      .returning(changedColumns),
  ]);
  return storedRow(updated);
}

/** A change of the runner that a reference names. */
export function changeOf(
  action: AuditAction,
  reference: Reference,
  rules: readonly Rule[],
  audit: AuditContext,
): Change {
  return {
    table: runners,
    target: byReference(runners, reference),
    missing: () => unknownRunner(reference),
    rules,
    event: eventOf(action, sql`${runners.uuid}`),
    audit,
  };
}

export function unknownRunner(reference: Reference): ApiError {
  return notFound("Runner", nameOf(reference));
}

export type Order = Pick<ListQuery, "sort" | "direction" | "name" | "search">;

/** The order of a list. A search finds few runners, so no index may serve their order. */
export function orderOfRunners(query: Order): KeysetOrder<RunnerRow> {
  return namedOrder(runners, query, { isUnindexed: query.search !== undefined });
}

/** A page, and the total. One batch, one round trip. */
export async function listRunners(
  db: Database,
  filter: ArchivedFilter,
  window: PageWindow,
): Promise<{ rows: RunnerRow[]; total: number }> {
  const [rows, totals] = await db.batch([
    inWindow(db.select(runnerColumns).from(runners).$dynamic(), listedBy(searched, filter), window),
    totalOf(db, searched, filter),
  ]);
  return { rows, total: totals[0]?.total ?? 0 };
}
