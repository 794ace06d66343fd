import { and, eq, getTableColumns, isNull, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { isAtWork } from "../db/runner-contact.ts";
import { runnerCounts, runnerSpecs, runners, specs } from "../db/schema.ts";
import type { Precondition } from "../http/entity-tag.ts";
import {
  batchOnce,
  claimFrom,
  claimStatements,
  type IdempotencyClaim,
} from "../http/idempotency.ts";
import type { PageWindow } from "../http/keyset-page.ts";
import { contains, foundBy, type NamedFilter, unindexed } from "../http/named-search.ts";
import type { Reference } from "../http/reference.ts";
import { isInVersion } from "../http/version-match.ts";
import { type Act, type AuditAction, auditOfChange, auditOfRows } from "../identity/audit.ts";
import { isReferred as isSpec } from "../specs/live-spec.ts";
import { MAX_OFFERED } from "./schemas.ts";

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

const { id: _id, ...specColumns } = getTableColumns(specs);
export type SpecRow = Omit<typeof specs.$inferSelect, "id">;

/** The rows, at most one, that a reference means. */
export function isReferred(reference: Reference): SQL {
  return "uuid" in reference ? eq(runners.uuid, reference.uuid) : eq(runners.slug, reference.slug);
}

const subject = { kind: "runner" as const, id: sql`${runners.uuid}` };
const event = (action: AuditAction, details: Record<string, unknown>) => ({
  ...{ action, subject, details },
  customerId: null,
});
const moved = (now: number) => ({ modifiedAt: now, version: sql`${runners.version} + 1` });

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

/** What offering met; `runner` is the UUID of the one that offers it now. */
export type Offer =
  | "no_runner"
  | "no_spec"
  | "offered_already"
  | "too_many"
  | { runner: string; spec: SpecRow };

/** A spec's row as JSON, in the names of `SpecRow`; `network` as 0 or 1. */
const specFacts = sql<string>`json_object(${sql.join(
  Object.entries(specColumns).map(([name, column]) => sql`${sql.raw(`'${name}'`)}, ${column}`),
  sql`, `,
)})`;

/**
 * Offers a live spec. One batch, one round trip. Fails on an idempotency key used before: see
 * `uniqueViolation`.
 */
export async function insertOffer(
  db: Database,
  reference: Reference,
  spec: Reference,
  claim: IdempotencyClaim | null,
  { origin, now, details }: Act,
): Promise<Offer> {
  const count = sql`(select count(*) from runner_specs where runner_id = ${runners.id})`;
  const isOffered = sql`exists (select 1 from runner_specs where runner_id = ${runners.id} and spec_uuid = ${specs.uuid})`;
  const isLive = and(isSpec(spec), isNull(specs.archivedAt));
  const from = sql`from ${runners}, ${specs} where ${and(isReferred(reference), isLive, sql`not ${isOffered}`, sql`${count} < ${MAX_OFFERED}`)}`;
  const offered = event("runner_spec_offered", details);
  // Who offers it and who moves is decided by the rows as they are: the offer itself comes last.
  const [before, found, , moving] = await batchOnce(
    db,
    claim === null ? null : claimFrom(db, claim, specFacts, now, from),
    [
      db
        .select({ uuid: runners.uuid, count: count.as("count") })
        .from(runners)
        .where(isReferred(reference)),
      db.select(specColumns).from(specs).where(isLive),
      auditOfRows(db, origin, offered, now, from),
      db
        .update(runners)
        .set(moved(now))
        .where(sql`${runners.id} in (select ${runners.id} ${from})`)
        .returning({ uuid: runners.uuid }),
      db
        .insert(runnerSpecs)
        .select(
          sql`select ${runners.id}, ${specs.uuid} from ${runners}, ${specs} where ${and(isReferred(reference), isLive, sql`not ${isOffered}`, sql`${count} < ${MAX_OFFERED}`)}`,
        ),
    ],
  );
  if (before[0] === undefined) return "no_runner";
  if (found[0] === undefined) return "no_spec";
  if (moving[0] !== undefined) return { runner: moving[0].uuid, spec: found[0] };
  return Number(before[0].count) >= MAX_OFFERED ? "too_many" : "offered_already";
}

/**
 * Withdraws a spec, if the runner is in a version that the precondition names. One batch, one round trip.
 */
export async function deleteOffer(
  db: Database,
  reference: Reference,
  spec: Reference,
  precondition: Precondition | null,
  { origin, now, details }: Act,
): Promise<"no_runner" | "not_offered" | "other_version" | { runner: string }> {
  const uuid = sql`(select ${specs.uuid} from ${specs} where ${isSpec(spec)})`;
  const offers = sql`exists (select 1 from runner_specs where runner_id = ${runners.id} and spec_uuid = ${uuid})`;
  const meant = and(isReferred(reference), isInVersion(runners, precondition), offers);
  const withdrawn = event("runner_spec_withdrawn", details);
  const [before, , , [after]] = await db.batch([
    db
      .select({ offers: offers.mapWith(Boolean).as("offers") })
      .from(runners)
      .where(isReferred(reference)),
    auditOfRows(db, origin, withdrawn, now, sql`from ${runners} where ${meant}`),
    db
      .delete(runnerSpecs)
      .where(
        sql`runner_id = (select ${runners.id} from ${runners} where ${meant}) and spec_uuid = ${uuid}`,
      ),
    // The version is still the one that was meant.
    db
      .update(runners)
      .set(moved(now))
      .where(and(isReferred(reference), isInVersion(runners, precondition), sql`changes() > 0`))
      .returning({ uuid: runners.uuid }),
  ]);
  if (before[0] === undefined) return "no_runner";
  if (!before[0].offers) return "not_offered";
  return after === undefined ? "other_version" : { runner: after.uuid };
}

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

/** The specs that a runner offers: a page, and the total; null for no such runner. One round trip. */
export async function listOffered(
  db: Database,
  reference: Reference,
  { archived, name, search }: NamedFilter,
  window: PageWindow,
): Promise<{ rows: SpecRow[]; total: number } | null> {
  // They are few, and found by what the runner offers: no index of specs is to be tempting.
  const listed = and(
    sql`${specs.uuid} in (select spec_uuid from runner_specs where runner_id = (select id from runners where ${isReferred(reference)}))`,
    archived ? undefined : isNull(unindexed(specs.archivedAt)),
    name === undefined ? undefined : eq(unindexed(specs.name), name),
    search === undefined ? undefined : contains(specs, search),
  );
  const [found, rows, totals] = await db.batch([
    db.select({ id: runners.id }).from(runners).where(isReferred(reference)),
    db
      .select(specColumns)
      .from(specs)
      .where(and(listed, window.where))
      .orderBy(...window.orderBy)
      .limit(window.limit)
      .offset(window.offset),
    db.select({ total: sql<number>`count(*)` }).from(specs).where(listed),
  ]);
  return found.length === 0 ? null : { rows, total: totals[0]?.total ?? 0 };
}
