import { and, eq, getTableColumns, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { auditEvents } from "../../db/schema.ts";
import type { KeysetOrder, PageWindow } from "../../http/keyset-page.ts";
import type { AuditAction } from "../audit.ts";
import { selectTotal } from "../named-rows.ts";

const { customerId, ...columns } = getTableColumns(auditEvents);

/** An entry with its customer's UUID in place of the internal id. */
export type AuditEventRow = Omit<typeof auditEvents.$inferSelect, "customerId"> & {
  customer: string | null;
};

export const newestFirst: KeysetOrder<AuditEventRow> = {
  columns: [{ column: sql`${auditEvents.id}`, type: "number" }],
  descending: true,
  keyOf: ({ id }) => [id],
};

export interface AuditFilter {
  action?: AuditAction | undefined;
  actor?: string | undefined;
  subject?: string | undefined;
}

/** @param seen the only customer whose entries are visible; null for all. One batch, one round trip. */
export async function listAuditEvents(
  db: Database,
  seen: number | null,
  { action, actor, subject }: AuditFilter,
  { where, orderBy, limit, offset }: PageWindow,
): Promise<{ rows: AuditEventRow[]; total: number }> {
  const ofCustomer: SQL | undefined = seen === null ? undefined : eq(customerId, seen);
  const asked = and(
    action === undefined ? undefined : eq(columns.action, action),
    actor === undefined ? undefined : eq(columns.actor, actor),
    subject === undefined ? undefined : eq(columns.subject, subject),
  );
  const listed = and(ofCustomer, asked);
  const customer = sql<string | null>`(select c.uuid from customers c where c.id = customer_id)`.as(
    "customer",
  );
  const page = db
    .select({ ...columns, customer })
    .from(auditEvents)
    .where(and(listed, where))
    .orderBy(...orderBy)
    .limit(limit)
    .offset(offset);
  const [rows, totals] = await db.batch([page, total()]);
  return { rows, total: totals[0]?.total ?? 0 };

  function total() {
    if (asked !== undefined) {
      return db.select({ total: sql<number>`count(*)` }).from(auditEvents).where(listed);
    }
    if (seen !== null) return selectTotal(db, `audit_events:${seen}`);
    // Nothing is ever removed, and numbers are drawn in the transaction that adds: there are no gaps.
    return db.select({ total: sql<number>`coalesce(max(${auditEvents.id}), 0)` }).from(auditEvents);
  }
}
