import { and, eq, getTableColumns, isNull, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { runnerSpecs, runners, specs } from "../db/schema.ts";
import type { Precondition } from "../http/entity-tag.ts";
import { batchOnce, claimFrom, type IdempotencyClaim } from "../http/idempotency.ts";
import type { KeysetOrder, PageWindow } from "../http/keyset-page.ts";
import { namedOrder } from "../http/named-order.ts";
import { contains, type NamedFilter, unindexed } from "../http/named-search.ts";
import type { Reference } from "../http/reference.ts";
import { isInVersion } from "../http/version-match.ts";
import { type Act, auditOfRows } from "../identity/audit.ts";
import { isReferred as isSpec } from "../specs/live-spec.ts";
import { MAX_OFFERED } from "./schemas.ts";
import { event, isReferred, moved, type Order } from "./store.ts";

const { id: _id, ...specColumns } = getTableColumns(specs);
export type SpecRow = Omit<typeof specs.$inferSelect, "id">;

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
      db.insert(runnerSpecs).select(sql`select ${runners.id}, ${specs.uuid} ${from}`),
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

/** What a runner offers is few, as well. */
export function orderOfOffered(query: Order): KeysetOrder<SpecRow> {
  return namedOrder(specs, query, { isUnindexed: true });
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
