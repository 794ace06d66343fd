import { and, eq, getTableColumns, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { batchAfter, type IdempotencyKey, reserveKey } from "../../db/idempotency.ts";
import type { PageWindow } from "../../db/keyset.ts";
import {
  byReference,
  countRows,
  freeSlug,
  inWindow,
  type NameFilter,
  nameFilter,
  nextVersion,
  selectTotal,
} from "../../db/named-rows.ts";
import { customers } from "../../db/schema.ts";
import type { Precondition } from "../../db/versions.ts";
import { notFound } from "../../http/errors.ts";
import type { AuditAction } from "../../lib/enums.ts";
import { nameOf, type Reference } from "../../lib/references.ts";
import type { SlugChoice } from "../../lib/slugs.ts";
import { type AuditContext, type AuditEvent, auditOfRows } from "../../resources/audit.ts";
import { changeIf, storedRow } from "../../resources/change.ts";
import { versionRule } from "../../resources/rules.ts";
import type { Actor } from "../actor.ts";
import { notAnonymous } from "../anonymous-rules.ts";

/** The row of a customer without its internal id. */
export type CustomerRow = Omit<typeof customers.$inferSelect, "id">;

const { id, ...customerColumns } = getTableColumns(customers);

const eventOf = (action: AuditAction): AuditEvent => ({
  action,
  subject: { kind: "customer", id: sql`${customers.uuid}` },
  customerId: sql`${id}`,
});

/**
 * Stores a customer with the preferred slug, or the other where that is taken; answers the stored row. One batch,
 * one round trip. Fails on a key used before, or when both slugs are taken: see `uniqueViolation`.
 */
export async function insertCustomer(
  db: Database,
  row: Omit<CustomerRow, "slug">,
  choice: SlugChoice,
  key: IdempotencyKey | null,
  audit: AuditContext,
): Promise<CustomerRow> {
  const slug = freeSlug(customers, choice);
  const facts = sql<string>`json_set(${JSON.stringify(row)}, '$.slug', ${slug})`;
  const inserted = sql`from ${customers} where ${customers.uuid} = ${row.uuid}`;
  const [stored] = await batchAfter(db, reserveKey(db, key, facts, audit.now), [
    db
      .insert(customers)
      .values({ ...row, slug })
      .returning(customerColumns),
    auditOfRows(db, eventOf("customer_created"), audit, inserted),
  ]);
  return storedRow(stored);
}

/** One round trip. */
export async function findCustomer(
  db: Database,
  actor: Actor,
  reference: Reference,
): Promise<CustomerRow | null> {
  const [row] = await db
    .select(customerColumns)
    .from(customers)
    .where(and(byReference(customers, reference), visibleTo(actor)));
  return row ?? null;
}

/** A page of the customers that the actor sees, and the total. One batch, one round trip. */
export async function listCustomers(
  db: Database,
  actor: Actor,
  filter: NameFilter,
  window: PageWindow,
): Promise<{ rows: CustomerRow[]; total: number }> {
  const { name, slug, uuid } = customers;
  const filtered = nameFilter(filter, { name, searched: [name, slug, uuid] });
  const listed = and(visibleTo(actor), filtered);
  const isCounted = filtered === undefined && actor.role === "root_admin";
  const [rows, totals] = await db.batch([
    inWindow(db.select(customerColumns).from(customers).$dynamic(), listed, window),
    isCounted ? selectTotal(db, "customers") : countRows(db, customers, listed),
  ]);
  return { rows, total: totals[0]?.total ?? 0 };
}

/**
 * Changes a customer, if it is in a version that the precondition names. Fails on a taken slug: see
 * `uniqueViolation`. One batch, one round trip.
 */
export async function updateCustomer(
  db: Database,
  reference: Reference,
  precondition: Precondition | null,
  changes: { name?: string | undefined; slug?: string | undefined },
  audit: AuditContext,
): Promise<CustomerRow> {
  const change = {
    table: customers,
    target: byReference(customers, reference),
    missing: () => notFound("Customer", nameOf(reference)),
    rules: [notAnonymous(customers), versionRule("customer", customers, precondition)],
    event: eventOf("customer_updated"),
    audit,
  };
  const [updated] = await changeIf(db, change, (allowed) => [
    db
      .update(customers)
      .set({ ...changes, ...nextVersion(customers, audit.now) })
      .where(allowed)
      .returning(customerColumns),
  ]);
  return storedRow(updated);
}

/** Root administrators see all customers, everyone else their own. */
function visibleTo({ role, customerId }: Actor): SQL {
  return role === "root_admin" ? sql`true` : eq(id, customerId);
}
