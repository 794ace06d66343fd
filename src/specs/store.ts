import { getTableColumns, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { batchAfter, type IdempotencyKey, reserveKey } from "../db/idempotency.ts";
import type { KeysetOrder, PageWindow } from "../db/keyset.ts";
import {
  archiveColumns,
  byReference,
  freeSlug,
  inWindow,
  type NamedOrderQuery,
  namedOrder,
  nextVersion,
} from "../db/named-rows.ts";
import { type ArchivedFilter, listedBy, totalOf } from "../db/named-search.ts";
import { specCounts, specs } from "../db/schema.ts";
import type { Precondition } from "../db/versions.ts";
import { notFound } from "../http/errors.ts";
import type { AuditAction } from "../lib/enums.ts";
import { nameOf, type Reference } from "../lib/references.ts";
import type { SlugChoice } from "../lib/slugs.ts";
import { type AuditContext, type AuditEvent, auditOfChange } from "../resources/audit.ts";
import { type Change, changeIf, storedRow } from "../resources/change.ts";
import { versionRule } from "../resources/rules.ts";
import { runnersOnline } from "./runners-online.ts";

/** A spec as stored, without its internal id. */
export type SpecRow = Omit<typeof specs.$inferSelect, "id">;

const { id: _id, ...specColumns } = getTableColumns(specs);
const searched = { table: specs, index: "specs_search", counts: specCounts };

const eventOf = (action: AuditAction, id: string | SQL): AuditEvent => ({
  action,
  subject: { kind: "spec", id },
  customerId: null,
});

/**
 * Stores a spec with the preferred slug, or the other slug if that is taken; answers the spec as stored. One
 * batch, one round trip. Fails on a key used before, or if both slugs are taken: see `uniqueViolation`.
 */
export async function insertSpec(
  db: Database,
  row: Omit<SpecRow, "slug">,
  choice: SlugChoice,
  key: IdempotencyKey | null,
  audit: AuditContext,
): Promise<SpecRow> {
  const slug = freeSlug(specs, choice);
  const facts = sql<string>`json_set(${JSON.stringify(row)}, '$.slug', ${slug})`;
  const [stored] = await batchAfter(db, reserveKey(db, key, facts, audit.now), [
    db
      .insert(specs)
      .values({ ...row, slug })
      .returning(specColumns),
    auditOfChange(db, eventOf("spec_created", row.uuid), audit),
  ]);
  return storedRow(stored);
}

/** One round trip. */
export async function findSpec(db: Database, reference: Reference): Promise<SpecRow | null> {
  const [row] = await db.select(specColumns).from(specs).where(byReference(specs, reference));
  return row ?? null;
}

export interface SpecChanges {
  name?: string | undefined;
  slug?: string | undefined;
  archived?: boolean | undefined;
}

/**
 * Changes a spec, if it is in a version that the precondition names. Fails on a taken slug: see
 * `uniqueViolation`. One batch, one round trip.
 */
export async function updateSpec(
  db: Database,
  reference: Reference,
  precondition: Precondition | null,
  { archived, ...changes }: SpecChanges,
  audit: AuditContext,
): Promise<SpecRow> {
  const change = changeOf("spec_updated", reference, precondition, audit);
  const [updated] = await changeIf(db, change, (allowed) => [
    db
      .update(specs)
      .set({
        ...changes,
        ...archiveColumns(specs, archived, audit.now),
        ...nextVersion(specs, audit.now),
      })
      .where(allowed)
      .returning(specColumns),
  ]);
  return storedRow(updated);
}

/**
 * Deletes a spec, if it is in a version that the precondition names. Fails while something refers to
 * it: see `foreignKeyViolation`. One batch, one round trip.
 */
export async function deleteSpec(
  db: Database,
  reference: Reference,
  precondition: Precondition | null,
  audit: AuditContext,
): Promise<void> {
  const change = changeOf("spec_deleted", reference, precondition, audit);
  await changeIf(db, change, (allowed) => [db.delete(specs).where(allowed)]);
}

function changeOf(
  action: AuditAction,
  reference: Reference,
  precondition: Precondition | null,
  audit: AuditContext,
): Change {
  return {
    table: specs,
    target: byReference(specs, reference),
    missing: () => notFound("Spec", nameOf(reference)),
    rules: [versionRule("spec", specs, precondition)],
    event: eventOf(action, sql`${specs.uuid}`),
    audit,
  };
}

/** The order of a list. A search finds few specs, so no index may serve their order. */
export function orderOfSpecs(query: NamedOrderQuery & ArchivedFilter): KeysetOrder<ListedSpec> {
  return namedOrder(specs, query, { isUnindexed: query.search !== undefined });
}

/** A spec in a list; `runnersOnline` is 0 if the list does not count them. */
export type ListedSpec = SpecRow & { runnersOnline: number };

/**
 * A page, and the total. One batch, one round trip.
 *
 * @param onlineAfter counts the runners whose last contact was after this time, ms; null to count none
 */
export async function listSpecs(
  db: Database,
  filter: ArchivedFilter,
  window: PageWindow,
  onlineAfter: number | null,
): Promise<{ rows: ListedSpec[]; total: number }> {
  const online = onlineAfter === null ? sql<number>`0` : runnersOnline(onlineAfter);
  // The count needs a name, since a batch tells columns apart by name.
  const columns = { ...specColumns, runnersOnline: online.as("runners_online") };
  const [rows, totals] = await db.batch([
    inWindow(db.select(columns).from(specs).$dynamic(), listedBy(searched, filter), window),
    totalOf(db, searched, filter),
  ]);
  return { rows, total: totals[0]?.total ?? 0 };
}
