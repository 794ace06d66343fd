import { and, eq, getTableColumns, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { customers } from "../../db/schema.ts";
import { batchOnce, claimStatements, type IdempotencyClaim } from "../../http/idempotency.ts";
import type { PageWindow } from "../../http/keyset-page.ts";
import type { NamedListQuery } from "../../http/list-query.ts";
import type { Reference } from "../../http/reference.ts";
import type { SlugChoice } from "../../lib/slugs.ts";
import { type Act, auditOfRows } from "../audit.ts";
import { filtered, isReferred, selectTotal } from "../named-rows.ts";
import { allHold, type Rule, verdictOf } from "../rules.ts";

/** A customer as the database has it, without its internal id. */
export type CustomerRow = Omit<typeof customers.$inferSelect, "id">;

const { id, ...shown } = getTableColumns(customers);

/**
 * Stores a customer with the preferred slug, or the other one where that is taken; answers it as stored.
 * One batch, one round trip. Fails on a key used before, or when both slugs are taken: see
 * `uniqueViolation`.
 */
export async function insertCustomer(
  db: Database,
  row: Omit<CustomerRow, "slug">,
  { preferred, otherwise }: SlugChoice,
  claim: IdempotencyClaim | null,
  { origin, now, details }: Act,
): Promise<CustomerRow> {
  const slug = sql<string>`(case when exists (select 1 from ${customers} where ${customers.slug} = ${preferred}) then ${otherwise} else ${preferred} end)`;
  const facts = sql<string>`json_set(${JSON.stringify(row)}, '$.slug', ${slug})`;
  const event = {
    action: "customer_created" as const,
    subject: { kind: "customer" as const, id: row.uuid },
    customerId: sql`${id}`,
    details,
  };
  const [stored] = await batchOnce(
    db,
    claim === null ? null : claimStatements(db, claim, facts, now),
    [
      db
        .insert(customers)
        .values({ ...row, slug })
        .returning(shown),
      auditOfRows(
        db,
        origin,
        event,
        now,
        sql`from ${customers} where ${customers.uuid} = ${row.uuid}`,
      ),
    ],
  );
  const [created] = stored;
  if (created === undefined) throw new Error("An insert answered no row");
  return created;
}

/** @param seen the only customer that is visible; null for all. One round trip. */
export async function findCustomer(
  db: Database,
  reference: Reference,
  seen: number | null,
): Promise<CustomerRow | null> {
  const [row] = await db
    .select(shown)
    .from(customers)
    .where(and(isReferred(customers, reference), isSeen(seen)));
  return row ?? null;
}

/** A page, and the total; `seen` as above. One batch, one round trip. */
export async function listCustomers(
  db: Database,
  seen: number | null,
  filter: Pick<NamedListQuery, "name" | "search">,
  { where, orderBy, limit, offset }: PageWindow,
): Promise<{ rows: CustomerRow[]; total: number }> {
  const { name, slug, uuid } = shown;
  const listed = and(isSeen(seen), filtered(filter, { name, searched: [name, slug, uuid] }));
  const page = db
    .select(shown)
    .from(customers)
    .where(and(listed, where))
    .orderBy(...orderBy)
    .limit(limit)
    .offset(offset);
  const total =
    listed === undefined
      ? selectTotal(db, "customers")
      : db.select({ total: sql<number>`count(*)` }).from(customers).where(listed);
  const [rows, totals] = await db.batch([page, total]);
  return { rows, total: totals[0]?.total ?? 0 };
}

/**
 * Changes a customer, if all rules hold. Fails on a taken slug: see `uniqueViolation`. One batch, one
 * round trip.
 */
export async function updateCustomer(
  db: Database,
  reference: Reference,
  rules: readonly Rule[],
  changes: { name?: string | undefined; slug?: string | undefined },
  { origin, now, details }: Act,
) {
  const meant = isReferred(customers, reference);
  const allowed = and(meant, allHold(rules));
  const event = {
    action: "customer_updated" as const,
    subject: { kind: "customer" as const, id: sql`${customers.uuid}` },
    customerId: sql`${id}`,
    details,
  };
  const [before, , after] = await db.batch([
    db
      .select({ verdict: verdictOf(rules) })
      .from(customers)
      .where(meant),
    auditOfRows(db, origin, event, now, sql`from ${customers} where ${allowed}`),
    db
      .update(customers)
      .set({ ...changes, modifiedAt: now, version: sql`${customers.version} + 1` })
      .where(allowed)
      .returning(shown),
  ]);
  return { verdict: before[0]?.verdict ?? null, customer: after[0] ?? null };
}

function isSeen(seen: number | null): SQL | undefined {
  return seen === null ? undefined : eq(id, seen);
}
