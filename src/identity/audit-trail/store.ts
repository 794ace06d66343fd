import { and, eq, getTableColumns, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import type { KeysetOrder, PageWindow } from "../../db/keyset.ts";
import { countRows, inWindow, selectTotal } from "../../db/named-rows.ts";
import { auditEvents } from "../../db/schema.ts";
import type { AuditAction } from "../../lib/enums.ts";

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

/**
 * A page of the entries that match, and the total. One batch, one round trip.
 *
 * @param onlyCustomer the only customer whose entries are visible; null for all
 */
export async function listAuditEvents(
  db: Database,
  onlyCustomer: number | null,
  { action, actor, subject }: AuditFilter,
  window: PageWindow,
): Promise<{ rows: AuditEventRow[]; total: number }> {
  const visible = onlyCustomer === null ? sql`true` : eq(customerId, onlyCustomer);
  const filtered = and(
    action === undefined ? undefined : eq(columns.action, action),
    actor === undefined ? undefined : eq(columns.actor, actor),
    subject === undefined ? undefined : eq(columns.subject, subject),
  );
  const listed = and(visible, filtered);
  const customer = sql<string | null>`(select c.uuid from customers c where c.id = customer_id)`.as(
    "customer",
  );
  const [rows, totals] = await db.batch([
    inWindow(
      db
        .select({ ...columns, customer })
        .from(auditEvents)
        .$dynamic(),
      listed,
      window,
    ),
    total(),
  ]);
  return { rows, total: totals[0]?.total ?? 0 };

  function total() {
    if (filtered !== undefined) return countRows(db, auditEvents, listed);
    if (onlyCustomer !== null) return selectTotal(db, `audit_events:${onlyCustomer}`);
    // Ids have no gaps: entries are never removed, and get their ids in the transaction that adds them.
    return db.select({ total: sql<number>`coalesce(max(${auditEvents.id}), 0)` }).from(auditEvents);
  }
}
