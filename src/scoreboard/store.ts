import { and, asc, eq, isNotNull, or, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { baselines, gpuModels, scoreboard } from "../db/schema/scoreboard.ts";
import { type Act, auditOfRows } from "../identity/audit.ts";
import type { RatedMetric } from "./metrics.ts";
import type { BaselineRow } from "./rating-store.ts";

/** Whose baseline it is. */
export interface BaselineKey {
  model: string;
  metric: RatedMetric;
}

/** The newest version, and every baseline that is not only shipped. One round trip. */
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
      .orderBy(asc(baselines.model), asc(baselines.metric))
      .limit(limit),
  ]);
  return { version: state?.version ?? 0, rows };
}

/** One round trip. */
export async function findBaseline(db: Database, key: BaselineKey): Promise<BaselineRow | null> {
  const [row] = await db.select().from(baselines).where(isMeant(key));
  return row ?? null;
}

/** A baseline before and after a wish to change it. */
export interface PinChange {
  before: BaselineRow | null;
  after: BaselineRow | null;
}

/**
 * Pins a value, or takes the pin back (null), with its trace in the audit trail, and has the jobs of the
 * model rated again; nothing of that happens where it is so already, or in another version than is meant.
 * One batch, one round trip.
 *
 * @param versions those that are meant; null for any
 */
export async function pinBaseline(
  db: Database,
  key: BaselineKey,
  value: number | null,
  versions: readonly number[] | null,
  { origin, now, details }: Act,
): Promise<PinChange> {
  const { model, metric } = key;
  const of = (column: SQL | typeof baselines.version | typeof baselines.pinnedValue) =>
    sql`(select ${column} from ${baselines} where ${isMeant(key)})`;
  const isInVersion =
    versions === null
      ? sql`true`
      : sql`coalesce(${of(baselines.version)}, 0) in (select value from json_each(${JSON.stringify(versions)}))`;
  // As long as the row itself has not been changed, every statement of the batch finds the same.
  const isChange = sql`${of(baselines.pinnedValue)} is not ${value} and ${isInVersion}`;
  const newest = sql<number>`(select version from scoreboard)`;
  const event = {
    action: value === null ? ("baseline_unpinned" as const) : ("baseline_pinned" as const),
    subject: { kind: "baseline" as const, id: `${model}/${metric}` },
    customerId: null,
    details,
  };
  const pin = {
    version: newest,
    pinnedValue: value,
    pinnedAt: value === null ? null : now,
    pinnedBy: value === null ? null : origin.actor,
  };
  const [[before], , , , , [after]] = await db.batch([
    db.select().from(baselines).where(isMeant(key)),
    auditOfRows(db, origin, event, now, sql`where ${isChange}`),
    db
      .update(scoreboard)
      .set({ version: sql`${scoreboard.version} + 1` })
      .where(isChange),
    db
      .insert(baselines)
      .select(
        sql`select ${model}, ${metric}, ${newest}, null, null, null, null, null, ${pin.pinnedValue}, ${pin.pinnedAt}, ${pin.pinnedBy} where ${isChange}`,
      )
      .onConflictDoUpdate({ target: [baselines.model, baselines.metric], set: pin }),
    db
      .update(gpuModels)
      .set({ version: newest, isStale: true })
      .where(and(eq(gpuModels.model, model), sql`${of(baselines.version)} = ${newest}`)),
    db.select().from(baselines).where(isMeant(key)),
  ]);
  return { before: before ?? null, after: after ?? null };
}

function isMeant({ model, metric }: BaselineKey): SQL | undefined {
  return and(eq(baselines.model, model), eq(baselines.metric, metric));
}
