import { and, asc, eq, isNotNull, ne, or, type SQL, sql } from "drizzle-orm";
import { QUICKMARK } from "../benchmarks/methods.ts";
import type { Database } from "../db/client.ts";
import { insertFrom } from "../db/insert-from.ts";
import { baselines, gpuModels, scoreboard } from "../db/schema/scoreboard.ts";
import type { RatedMetric } from "../lib/enums.ts";
import { type AuditContext, auditOfRows } from "../resources/audit.ts";
import { containsModel } from "./models-column.ts";
import type { BaselineRow } from "./rating-store.ts";

/** The model and metric of a baseline, and the class of methods that it compares. */
export interface BaselineKey {
  model: string;
  metric: RatedMetric;
  class: string;
}

/** The newest version, and this server's own baselines, fleet or pinned. One round trip. */
export async function listBaselines(
  db: Database,
  limit: number,
): Promise<{ version: number; rows: BaselineRow[] }> {
  const [[state], rows] = await db.batch([
    db.select({ version: scoreboard.version }).from(scoreboard),
    db
      .select()
      .from(baselines)
      .where(or(isNotNull(baselines.fleetMedian), isNotNull(baselines.pinnedValue)))
      .orderBy(asc(baselines.model), asc(baselines.metric), asc(baselines.class))
      .limit(limit),
  ]);
  return { version: state?.version ?? 0, rows };
}

/** Null if the server has no own baseline. One round trip. */
export async function findBaseline(db: Database, key: BaselineKey): Promise<BaselineRow | null> {
  const [row] = await db.select().from(baselines).where(byKey(key));
  return row ?? null;
}

/** A baseline before and after a change, which may have been refused. */
export interface PinChange {
  before: BaselineRow | null;
  after: BaselineRow | null;
}

/**
 * Pins a value, or removes the pin (null), with a row in the audit log, and has the jobs of the model rated
 * again. Changes nothing if the value is pinned already, or if the baseline is in none of the versions. One
 * batch, one round trip.
 *
 * @param versions of the caller's precondition; null for any version
 */
export async function pinBaseline(
  db: Database,
  key: BaselineKey,
  value: number | null,
  versions: readonly number[] | null,
  audit: AuditContext,
): Promise<PinChange> {
  const { model, metric, class: name } = key;
  const of = (column: SQL | typeof baselines.version | typeof baselines.pinnedValue) =>
    sql`(select ${column} from ${baselines} where ${byKey(key)})`;
  const versionMatches =
    versions === null
      ? sql`true`
      : sql`coalesce(${of(baselines.version)}, 0) in (select value from json_each(${JSON.stringify(versions)}))`;
  // True for each statement of the batch until the row is changed.
  const willChange = sql`${of(baselines.pinnedValue)} is not ${value} and ${versionMatches}`;
  const newest = sql<number>`(select version from scoreboard)`;
  const event = {
    action: value === null ? ("baseline_unpinned" as const) : ("baseline_pinned" as const),
    subject: { kind: "baseline" as const, id: nameOf(key) },
    customerId: null,
  };
  const pin = {
    version: newest,
    pinnedValue: value,
    pinnedAt: value === null ? null : audit.now,
    pinnedBy: value === null ? null : audit.origin.actor,
  };
  const [[before], , , , , , [after]] = await db.batch([
    db.select().from(baselines).where(byKey(key)),
    auditOfRows(db, event, audit, sql`where ${willChange}`),
    db
      .update(scoreboard)
      .set({ version: sql`${scoreboard.version} + 1` })
      .where(willChange),
    // Also for a model that nobody has measured, since its first job may be being rated.
    insertFrom(
      db,
      gpuModels,
      { model, version: newest, isStale: true },
      sql`where ${willChange}`,
    ).onConflictDoUpdate({ target: gpuModels.model, set: { version: newest, isStale: true } }),
    // Nodes with several models, this one among them.
    db
      .update(gpuModels)
      .set({ version: newest, isStale: true })
      .where(and(containsModel(gpuModels.model, model), ne(gpuModels.model, model), willChange)),
    insertFrom(
      db,
      baselines,
      { model, metric, class: name, ...pin },
      sql`where ${willChange}`,
    ).onConflictDoUpdate({
      target: [baselines.model, baselines.metric, baselines.class],
      set: pin,
    }),
    db.select().from(baselines).where(byKey(key)),
  ]);
  return { before: before ?? null, after: after ?? null };
}

/** The name of a baseline; that of QuickMark's own class is named by model and metric alone. */
export function nameOf({ model, metric, class: name }: BaselineKey): string {
  return name === QUICKMARK ? `${model}/${metric}` : `${model}/${metric}/${name}`;
}

function byKey({ model, metric, class: name }: BaselineKey): SQL | undefined {
  return and(eq(baselines.model, model), eq(baselines.metric, metric), eq(baselines.class, name));
}
