import { and, eq, getTableColumns, isNull, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { runnersOnline } from "../db/runner-contact.ts";
import { specCounts, specs } from "../db/schema.ts";
import type { Precondition } from "../http/entity-tag.ts";
import { batchOnce, claimStatements, type IdempotencyClaim } from "../http/idempotency.ts";
import type { KeysetOrder, PageWindow } from "../http/keyset-page.ts";
import { type NamedOrderQuery, namedOrder } from "../http/named-order.ts";
import { foundBy, type NamedFilter } from "../http/named-search.ts";
import type { Reference } from "../http/reference.ts";
import { isInVersion } from "../http/version-match.ts";
import { type Act, auditOfChange, auditOfRows } from "../identity/audit.ts";
import type { SlugChoice } from "../lib/slugs.ts";
import { isReferred } from "./live-spec.ts";

/** A spec as the database has it, without its internal id. */
export type SpecRow = Omit<typeof specs.$inferSelect, "id">;

const { id: _id, ...shown } = getTableColumns(specs);

/** For the audit trail. */
const subject = { kind: "spec" as const, id: sql`${specs.uuid}` };
const searched = { table: specs, ...getTableColumns(specs), index: "specs_search" };

/**
 * Stores a spec with the preferred slug, or the other one where that is taken; answers it as stored. One
 * batch, one round trip, with the idempotency key that it was asked for by. Fails on a key used before,
 * or when both slugs are taken: see `uniqueViolation`.
 */
export async function insertSpec(
  db: Database,
  row: Omit<SpecRow, "slug">,
  { preferred, otherwise }: SlugChoice,
  claim: IdempotencyClaim | null,
  { origin, now, details }: Act,
): Promise<SpecRow> {
  const slug = sql<string>`(case when exists (select 1 from ${specs} where ${specs.slug} = ${preferred}) then ${otherwise} else ${preferred} end)`;
  const insert = db
    .insert(specs)
    .values({ ...row, slug })
    .returning(shown);
  const event = {
    action: "spec_created" as const,
    subject: { kind: "spec" as const, id: row.uuid },
    customerId: null,
    details,
  };
  // The statements of a batch see the same rows: the slug in the facts is the one that is stored.
  const facts = sql<string>`json_set(${JSON.stringify(row)}, '$.slug', ${slug})`;
  const [stored] = await batchOnce(
    db,
    claim === null ? null : claimStatements(db, claim, facts, row.createdAt),
    [insert, auditOfChange(db, origin, event, now)],
  );
  return first(stored);
}

/** One round trip. */
export async function findSpec(db: Database, reference: Reference): Promise<SpecRow | null> {
  const [row] = await db.select(shown).from(specs).where(isReferred(reference));
  return row ?? null;
}

/** What a change met: nothing, a version that it was not meant for, or the spec, as it was left. */
export type Change = "not_found" | "other_version" | { spec: SpecRow };

export interface SpecChanges {
  name?: string | undefined;
  slug?: string | undefined;
  archived?: boolean | undefined;
}

/**
 * Changes a spec, if it is in a version that the precondition names. An archived spec keeps the time at
 * which it first was. Fails on a taken slug: see `uniqueViolation`. One batch, one round trip.
 */
export async function updateSpec(
  db: Database,
  reference: Reference,
  precondition: Precondition | null,
  { archived, ...changes }: SpecChanges,
  { origin, now, details }: Act,
): Promise<Change> {
  const archivedAt = archived === false ? null : sql`coalesce(${specs.archivedAt}, ${now})`;
  const meant = and(isReferred(reference), isInVersion(specs, precondition));
  const event = { action: "spec_updated" as const, subject, customerId: null, details };
  const [before, , after] = await db.batch([
    db.select(shown).from(specs).where(isReferred(reference)),
    auditOfRows(db, origin, event, now, sql`from ${specs} where ${meant}`),
    db
      .update(specs)
      .set({
        ...changes,
        ...(archived === undefined ? {} : { archivedAt }),
        modifiedAt: now,
        version: sql`${specs.version} + 1`,
      })
      .where(meant)
      .returning(shown),
  ]);
  return changeOf(before, after);
}

/**
 * Deletes a spec, if it is in a version that the precondition names. Fails while something refers to
 * it: see `foreignKeyViolation`. One batch, one round trip.
 */
export async function deleteSpec(
  db: Database,
  reference: Reference,
  precondition: Precondition | null,
  { origin, now, details }: Act,
): Promise<Change> {
  const meant = and(isReferred(reference), isInVersion(specs, precondition));
  const event = { action: "spec_deleted" as const, subject, customerId: null, details };
  const [before, , deleted] = await db.batch([
    db.select(shown).from(specs).where(isReferred(reference)),
    auditOfRows(db, origin, event, now, sql`from ${specs} where ${meant}`),
    db.delete(specs).where(meant).returning(shown),
  ]);
  return changeOf(before, deleted);
}

/** What a search finds is few, and its order must tempt no index. */
export function orderOfSpecs(query: NamedOrderQuery & NamedFilter): KeysetOrder<ListedSpec> {
  return namedOrder(specs, query, { isUnindexed: query.search !== undefined });
}

/** A spec in a list; `runnersOnline` is 0 where nobody has asked for it. */
export type ListedSpec = SpecRow & { runnersOnline: number };

/**
 * A page, and the total. One round trip.
 *
 * @param onlineAfter counts the runners that were heard after this; null to count none
 */
export async function listSpecs(
  db: Database,
  filter: NamedFilter,
  window: PageWindow,
  onlineAfter: number | null,
): Promise<{ rows: ListedSpec[]; total: number }> {
  const { archived, name, search } = filter;
  const isSearch = search !== undefined;
  const listed = isSearch
    ? foundBy(searched, filter, search)
    : and(
        archived ? undefined : isNull(specs.archivedAt),
        name === undefined ? undefined : eq(specs.name, name),
      );
  const page = db
    .select({
      ...shown,
      // Named, since a batch tells columns apart by their names.
      runnersOnline: (onlineAfter === null ? sql<number>`0` : runnersOnline(onlineAfter)).as(
        "runners_online",
      ),
    })
    .from(specs)
    .where(and(listed, window.where))
    .orderBy(...window.orderBy)
    .limit(window.limit)
    .offset(window.offset);
  const total = isSearch
    ? db.select({ total: sql<number>`count(*)` }).from(specs).where(listed)
    : db
        .select({ total: archived ? specCounts.total : specCounts.live })
        .from(specCounts)
        .where(eq(specCounts.name, name ?? ""));
  const [rows, totals] = await db.batch([page, total]);
  return { rows, total: totals[0]?.total ?? 0 };
}

function changeOf([before]: SpecRow[], [after]: SpecRow[]): Change {
  if (before === undefined) return "not_found";
  return after === undefined ? "other_version" : { spec: after };
}

function first<Row>([row]: Row[]): Row {
  if (row === undefined) throw new Error("An insert answered no row");
  return row;
}
