import { and, getTableColumns, isNull, not, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import type { IdempotencyKey } from "../db/idempotency.ts";
import { insertFrom } from "../db/insert-from.ts";
import { fromJson } from "../db/json.ts";
import type { KeysetOrder, PageWindow } from "../db/keyset.ts";
import { byReference, countRows, inWindow, namedOrder, nextVersion } from "../db/named-rows.ts";
import { type ArchivedFilter, matchesFilter } from "../db/named-search.ts";
import { runnerSpecs, runners, specs } from "../db/schema.ts";
import type { Precondition } from "../db/versions.ts";
import { ApiError, invalidField, notFound } from "../http/errors.ts";
import { nameOf, type Reference } from "../lib/references.ts";
import type { AuditContext } from "../resources/audit.ts";
import { changeIf, storedRow } from "../resources/change.ts";
import { versionRule } from "../resources/rules.ts";
import { MAX_OFFERED } from "./schemas.ts";
import { type Changed, changedColumns, changeOf, type Order, unknownRunner } from "./store.ts";

const { id: _id, network, ...otherSpecColumns } = getTableColumns(specs);
const specColumns = { ...otherSpecColumns, network };
export type SpecRow = Omit<typeof specs.$inferSelect, "id">;

/** A spec's row as JSON, in the names of `SpecRow`. */
const specJson = sql<string>`json_object('network', json(iif(${network}, 'true', 'false')), ${sql.join(
  Object.entries(otherSpecColumns).map(([name, column]) => sql`${sql.raw(`'${name}'`)}, ${column}`),
  sql`, `,
)})`;

/**
 * Offers a live spec; answers the spec and the runner. One batch, one round trip. Fails on an
 * idempotency key used before: see `uniqueViolation`.
 */
export async function insertOffer(
  db: Database,
  reference: Reference,
  spec: Reference,
  key: IdempotencyKey | null,
  audit: AuditContext,
): Promise<{ runner: Changed; spec: SpecRow }> {
  const live = sql`from ${specs} where ${and(byReference(specs, spec), isNull(specs.archivedAt))}`;
  const specUuid = sql`(select ${specs.uuid} ${live})`;
  const facts = sql<string>`(select ${specJson} ${live})`;
  const count = sql`(select count(*) from runner_specs where runner_id = ${runners.id})`;
  const rules = [
    { holds: sql`${specUuid} is not null`, refusal: () => unknownSpec(spec) },
    {
      holds: sql`${count} < ${MAX_OFFERED}`,
      refusal: () =>
        invalidField("spec", `is one too many: a runner offers at most ${MAX_OFFERED}`),
    },
    {
      holds: not(offers(specUuid)),
      refusal: () => {
        const message = `The runner offers the spec '${nameOf(spec)}' already`;
        return new ApiError("RESOURCE_ALREADY_EXISTS", message);
      },
    },
  ];
  const change = {
    ...changeOf("runner_spec_offered", reference, rules, audit),
    once: { key, facts },
  };
  const [updated] = await changeIf(db, change, (allowed, from) => [
    db
      .update(runners)
      .set(nextVersion(runners, audit.now))
      .where(allowed)
      .returning({
        ...changedColumns,
        spec: fromJson<SpecRow>(facts).as("spec"),
      }),
    insertFrom(db, runnerSpecs, { runnerId: runners.id, specUuid }, from),
  ]);
  const { spec: offered, ...runner } = storedRow(updated);
  return { runner, spec: offered };
}

/**
 * Withdraws a spec, if the runner is in a version that the precondition names; answers the runner.
 * One batch, one round trip.
 */
export async function deleteOffer(
  db: Database,
  reference: Reference,
  spec: Reference,
  precondition: Precondition | null,
  audit: AuditContext,
): Promise<Changed> {
  const specUuid = sql`(select ${specs.uuid} from ${specs} where ${byReference(specs, spec)})`;
  const rules = [
    { holds: offers(specUuid), refusal: () => unknownSpec(spec) },
    versionRule("runner", runners, precondition),
  ];
  const change = changeOf("runner_spec_withdrawn", reference, rules, audit);
  const [, updated] = await changeIf(db, change, (_allowed, from) => [
    db
      .delete(runnerSpecs)
      .where(sql`runner_id = (select ${runners.id} ${from}) and spec_uuid = ${specUuid}`),
    // The offer is deleted by now, so the rules no longer hold: the deletion decides.
    db
      .update(runners)
      .set(nextVersion(runners, audit.now))
      .where(and(byReference(runners, reference), sql`changes() > 0`))
      .returning(changedColumns),
  ]);
  return storedRow(updated);
}

/** The runner of this row offers the spec of this UUID. */
function offers(specUuid: SQL): SQL {
  return sql`exists (select 1 from runner_specs where runner_id = ${runners.id} and spec_uuid = ${specUuid})`;
}

function unknownSpec(spec: Reference): ApiError {
  return notFound("Spec", nameOf(spec));
}

/** The order of a list. A runner offers few specs, so no index may serve their order. */
export function orderOfOffered(query: Order): KeysetOrder<SpecRow> {
  return namedOrder(specs, query, { isUnindexed: true });
}

/** A page of the specs that a runner offers, and the total. One batch, one round trip. */
export async function listOffered(
  db: Database,
  reference: Reference,
  filter: ArchivedFilter,
  window: PageWindow,
): Promise<{ rows: SpecRow[]; total: number }> {
  const listed = and(
    sql`${specs.uuid} in (select spec_uuid from runner_specs where runner_id = (select id from runners where ${byReference(runners, reference)}))`,
    matchesFilter(specs, filter),
  );
  const [[runner], rows, totals] = await db.batch([
    db.select({ id: runners.id }).from(runners).where(byReference(runners, reference)),
    inWindow(db.select(specColumns).from(specs).$dynamic(), listed, window),
    countRows(db, specs, listed),
  ]);
  if (runner === undefined) throw unknownRunner(reference);
  return { rows, total: totals[0]?.total ?? 0 };
}
