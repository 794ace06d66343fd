import { and, eq, getTableColumns, isNull, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { isAtWork } from "../db/runner-contact.ts";
import { runnerCounts, runners } from "../db/schema.ts";
import type { Precondition } from "../http/entity-tag.ts";
import {
  batchOnce,
  claimFrom,
  claimStatements,
  type IdempotencyClaim,
} from "../http/idempotency.ts";
import type { KeysetOrder, PageWindow } from "../http/keyset-page.ts";
import type { ListQuery } from "../http/list-query.ts";
import { namedOrder } from "../http/named-order.ts";
import { foundBy, type NamedFilter } from "../http/named-search.ts";
import type { Reference } from "../http/reference.ts";
import { isInVersion } from "../http/version-match.ts";
import { type Act, type AuditAction, auditOfChange, auditOfRows } from "../identity/audit.ts";

const shown = {
  uuid: runners.uuid,
  name: runners.name,
  slug: runners.slug,
  createdAt: runners.createdAt,
  modifiedAt: runners.modifiedAt,
  archivedAt: runners.archivedAt,
  version: runners.version,
  lastHeartbeatAt: runners.lastHeartbeatAt,
  /** JSON: UUIDs, sorted. */
  specs: sql<string>`(select json_group_array(spec_uuid) from (
    select spec_uuid from runner_specs where runner_id = runners.id order by spec_uuid))`.as(
    "specs",
  ),
  isAtWork: isAtWork.as("is_at_work"),
};

/** A runner as administrators see it. */
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
> & { specs: string; isAtWork: boolean };

/** The rows, at most one, that a reference means. */
export function isReferred(reference: Reference): SQL {
  return "uuid" in reference ? eq(runners.uuid, reference.uuid) : eq(runners.slug, reference.slug);
}

/** An act on the rows that a statement means. */
const subject = { kind: "runner" as const, id: sql`${runners.uuid}` };
export const event = (action: AuditAction, details: Record<string, unknown>) => ({
  ...{ action, subject, details },
  customerId: null,
});
export const moved = (now: number) => ({ modifiedAt: now, version: sql`${runners.version} + 1` });

/**
 * Stores a runner. One batch, one round trip. Fails on a key used before, a taken slug or UUID: see
 * `uniqueViolation`.
 */
export async function insertRunner(
  db: Database,
  row: typeof runners.$inferInsert,
  claim: IdempotencyClaim | null,
  { origin, now, details }: Act,
): Promise<void> {
  const { uuid } = row;
  await batchOnce(db, claim === null ? null : claimStatements(db, claim, { uuid }, now), [
    db.insert(runners).values(row),
    auditOfChange(
      db,
      origin,
      { ...event("runner_created", details), subject: { kind: "runner", id: uuid } },
      now,
    ),
  ]);
}

/** One round trip. */
export async function findRunner(db: Database, reference: Reference): Promise<RunnerRow | null> {
  const [row] = await db.select(shown).from(runners).where(isReferred(reference));
  return row ?? null;
}

/** What a change met: nothing, a version that it was not meant for, or the runner, as it was left. */
export type Change = "not_found" | "other_version" | { runner: RunnerRow };

export interface RunnerChanges {
  name?: string | undefined;
  slug?: string | undefined;
  archived?: boolean | undefined;
}

/**
 * Changes a runner, if it is in a version that the precondition names. An archived runner keeps the time
 * at which it first was. Fails on a taken slug: see `uniqueViolation`. One batch, one round trip.
 */
export async function updateRunner(
  db: Database,
  reference: Reference,
  precondition: Precondition | null,
  { archived, ...changes }: RunnerChanges,
  { origin, now, details }: Act,
): Promise<Change> {
  const archivedAt = archived === false ? null : sql`coalesce(${runners.archivedAt}, ${now})`;
  const meant = and(isReferred(reference), isInVersion(runners, precondition));
  const [before, , [after]] = await db.batch([
    db.select({ id: runners.id }).from(runners).where(isReferred(reference)),
    auditOfRows(
      ...[db, origin, event("runner_updated", details), now, sql`from ${runners} where ${meant}`],
    ),
    db
      .update(runners)
      .set({ ...changes, ...(archived === undefined ? {} : { archivedAt }), ...moved(now) })
      .where(meant)
      .returning(shown),
  ]);
  if (before.length === 0) return "not_found";
  return after === undefined ? "other_version" : { runner: after };
}

/**
 * Replaces a runner's key, unless it is archived. One batch, one round trip. Fails on an idempotency key
 * used before: see `uniqueViolation`.
 */
export async function replaceKey(
  db: Database,
  reference: Reference,
  keyHash: string,
  claim: IdempotencyClaim | null,
  { origin, now, details }: Act,
): Promise<"not_found" | "archived" | { uuid: string }> {
  const meant = and(isReferred(reference), isNull(runners.archivedAt));
  const from = sql`from ${runners} where ${meant}`;
  const facts = sql<string>`json_object('uuid', ${runners.uuid})`;
  const [before, , [after]] = await batchOnce(
    db,
    claim === null ? null : claimFrom(db, claim, facts, now, from),
    [
      db.select({ id: runners.id }).from(runners).where(isReferred(reference)),
      auditOfRows(db, origin, event("runner_key_rotated", details), now, from),
      db
        .update(runners)
        .set({ keyHash, ...moved(now) })
        .where(meant)
        .returning({ uuid: runners.uuid }),
    ],
  );
  if (before.length === 0) return "not_found";
  return after ?? "archived";
}

export type Order = Pick<ListQuery, "sort" | "direction" | "name" | "search">;

/** What a search finds is few, and its order must tempt no index. */
export function orderOfRunners(query: Order): KeysetOrder<RunnerRow> {
  return namedOrder(runners, query, { isUnindexed: query.search !== undefined });
}

/** By name or by creation, and equal ones by creation and UUID. */

const searched = { table: runners, ...getTableColumns(runners), index: "runners_search" };

/** A page, and the total. One round trip. */
export async function listRunners(
  db: Database,
  filter: NamedFilter,
  window: PageWindow,
): Promise<{ rows: RunnerRow[]; total: number }> {
  const { archived, name, search } = filter;
  const listed =
    search === undefined
      ? and(
          archived ? undefined : isNull(runners.archivedAt),
          name === undefined ? undefined : eq(runners.name, name),
        )
      : foundBy(searched, filter, search);
  const page = db
    .select(shown)
    .from(runners)
    .where(and(listed, window.where))
    .orderBy(...window.orderBy)
    .limit(window.limit)
    .offset(window.offset);
  const total =
    search === undefined
      ? db
          .select({ total: archived ? runnerCounts.total : runnerCounts.live })
          .from(runnerCounts)
          .where(eq(runnerCounts.name, name ?? ""))
      : db.select({ total: sql<number>`count(*)` }).from(runners).where(listed);
  const [rows, totals] = await db.batch([page, total]);
  return { rows, total: totals[0]?.total ?? 0 };
}
