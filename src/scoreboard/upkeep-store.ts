/** Cron's reads and writes of fleets, and of jobs to rate again. */

import { and, asc, desc, eq, gt, isNotNull, isNull, lt, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { insertFrom } from "../db/insert-from.ts";
import {
  baselines,
  customerFleets,
  gpuModels,
  machineFigures,
  scoreboard,
  taskFigures,
} from "../db/schema/scoreboard.ts";
import { jobs } from "../db/schema.ts";
import type { RatedMetric } from "../lib/enums.ts";
import { JOB_ID_STRIDE } from "../lib/ids.ts";

/** The figures of a customer's machines. */
export interface ComputedFleet {
  median: number;
  machines: number;
  spread: readonly [low: number, first: number, third: number, high: number];
}

/** The fleet of all customers counts customers with at least so many machines, and needs so many customers. */
const MIN_MACHINES_OF_CUSTOMER = 5;
const MIN_CUSTOMERS = 3;

/**
 * Stores the current rules. Changed rules make a new version, by which every job is rated again. One round trip; two
 * when the rules have changed.
 */
export async function applyRules(db: Database, rules: string): Promise<void> {
  const [state] = await db.select({ rules: scoreboard.rules }).from(scoreboard);
  if (state === undefined || state.rules === rules) return;
  if (state.rules === "") {
    // A new server: every verdict so far was made by these rules.
    await db.update(scoreboard).set({ rules });
    return;
  }
  await db.batch([
    db.update(scoreboard).set({ rules, version: sql`${scoreboard.version} + 1` }),
    db.update(gpuModels).set({ version: sql`(select version from scoreboard)`, isStale: true }),
  ]);
}

/** A customer's machines of one model and class of methods, and the number of their changes so far. */
export type CustomerFleet = Pick<
  typeof customerFleets.$inferSelect,
  "model" | "customerId" | "class" | "changes"
>;

/** Fleets with new measurements that are large enough for a median, the least recently computed first. One round trip. */
export function customerFleetsWithNews(db: Database, limit: number): Promise<CustomerFleet[]> {
  const { model, customerId, changes, computedAt } = customerFleets;
  return (
    db
      .select({ model, customerId, class: customerFleets.class, changes })
      .from(customerFleets)
      // As the index has it.
      .where(sql`changes <> computed_changes and machines >= 3`)
      .orderBy(asc(computedAt))
      .limit(limit)
  );
}

/** The figures of the machines that measured last, at most `limit`. One round trip. */
export function readMachines(
  db: Database,
  { model, customerId, class: name }: Omit<CustomerFleet, "changes">,
  limit: number,
): Promise<Record<RatedMetric, number | null>[]> {
  return db
    .select({
      bf16_tflops: machineFigures.bf16Tflops,
      memory_bandwidth_gbs: machineFigures.memoryBandwidthGbs,
    })
    .from(machineFigures)
    .where(
      and(
        eq(machineFigures.model, model),
        eq(machineFigures.customerId, customerId),
        eq(machineFigures.class, name),
      ),
    )
    .orderBy(desc(machineFigures.at))
    .limit(limit);
}

/**
 * Stores a customer's medians of a model, then the medians of all customers' medians. Changed baselines get a new
 * version. One batch, one round trip.
 *
 * @param changes when the machines were read: with more since then, the fleet is computed again
 */
export async function writeFleet(
  db: Database,
  { changes, ...fleet }: CustomerFleet,
  { bf16_tflops: bf16, memory_bandwidth_gbs: memory }: Record<RatedMetric, ComputedFleet | null>,
  now: number,
): Promise<void> {
  const { model, customerId, class: name } = fleet;
  await db.batch([
    db
      .update(customerFleets)
      .set({
        bf16Median: bf16?.median ?? null,
        bf16Machines: bf16?.machines ?? 0,
        memoryMedian: memory?.median ?? null,
        memoryMachines: memory?.machines ?? 0,
        bf16Spread: bf16?.spread ?? null,
        memorySpread: memory?.spread ?? null,
        computedChanges: changes,
        computedAt: now,
      })
      .where(
        and(
          eq(customerFleets.model, model),
          eq(customerFleets.customerId, customerId),
          eq(customerFleets.class, name),
        ),
      ),
    upsertFleet(db, fleet, "bf16_tflops", "bf16", now),
    upsertFleet(db, fleet, "memory_bandwidth_gbs", "memory", now),
    db.update(scoreboard).set({
      version: sql`max(${scoreboard.version}, coalesce((select max(${baselines.version}) from ${baselines} where ${baselines.model} = ${model}), 0))`,
    }),
  ]);
}

/** Stores the median of customers' medians of a metric, each with the weight of one customer, if it has changed. */
function upsertFleet(
  db: Database,
  { model, class: name }: Pick<CustomerFleet, "model" | "class">,
  metric: RatedMetric,
  column: "bf16" | "memory",
  now: number,
) {
  const [median, machines] = [`${column}_median`, `${column}_machines`].map(sql.raw);
  const customers = sql`select ${median} as median, ${machines} as machines from ${customerFleets} where ${customerFleets.model} = ${model} and ${customerFleets.class} = ${name} and ${machines} >= ${MIN_MACHINES_OF_CUSTOMER}`;
  // The middle customer, or the mean of the two in the middle.
  const all = sql`(select avg(case when place in ((customers + 1) / 2, (customers + 2) / 2) then median end) as median, sum(machines) as machines, count(*) as customers, json_array(min(median), max(case when place = (customers + 3) / 4 then median end), max(case when place = (3 * customers + 1) / 4 then median end), max(median)) as spread from (select *, count(*) over () as customers, row_number() over (order by median) as place from (${customers})))`;
  const ifEnough = (value: string) =>
    sql`case when fleet.customers >= ${MIN_CUSTOMERS} then fleet.${sql.raw(value)} end`;
  const figures = {
    version: sql`(select version from ${scoreboard}) + 1`,
    fleetMedian: ifEnough("median"),
    fleetMachines: ifEnough("machines"),
    fleetAt: sql`${now}`,
    fleetCustomers: ifEnough("customers"),
    fleetSpread: ifEnough("spread"),
  };
  const known = sql`(select 1 from ${baselines} where ${baselines.model} = ${model} and ${baselines.metric} = ${metric} and ${baselines.class} = ${name})`;
  const from = sql`from ${all} fleet where fleet.customers >= ${MIN_CUSTOMERS} or exists ${known}`;
  return insertFrom(
    db,
    baselines,
    { model, metric, class: name, ...figures },
    from,
  ).onConflictDoUpdate({
    target: [baselines.model, baselines.metric, baselines.class],
    set: {
      version: sql`excluded.version`,
      fleetMedian: sql`excluded.fleet_median`,
      fleetMachines: sql`excluded.fleet_machines`,
      fleetAt: sql`excluded.fleet_at`,
      fleetCustomers: sql`excluded.fleet_customers`,
      fleetSpread: sql`excluded.fleet_spread`,
    },
    setWhere: sql`(excluded.fleet_median, excluded.fleet_machines) is not (${baselines.fleetMedian}, ${baselines.fleetMachines})`,
  });
}

/**
 * Jobs to rate: jobs that ended before a time, ms, and were never rated, and jobs with nodes of a model whose
 * baselines are newer than their verdict. One round trip.
 *
 * @returns `isLast` when no more jobs have older verdicts, though models are marked stale
 */
export async function jobsToRate(db: Database, endedBefore: number, limit: number) {
  const jobId = sql<number>`${taskFigures.taskId} - ${taskFigures.taskId} % ${JOB_ID_STRIDE}`;
  const [stale, forgotten, flagged] = await db.batch([
    db
      .selectDistinct({ jobId: jobId.as("stale_job_id") })
      .from(gpuModels)
      .innerJoin(
        taskFigures,
        and(
          eq(taskFigures.model, gpuModels.model),
          lt(taskFigures.ratedVersion, gpuModels.version),
        ),
      )
      .where(sql`${gpuModels.isStale} = 1`)
      .limit(limit),
    db
      .select({ jobId: jobs.id })
      .from(jobs)
      .where(
        and(
          isNotNull(jobs.endedAt),
          isNull(jobs.ratedAt),
          gt(jobs.currentNodes, 0),
          isNull(jobs.deletedAt),
          lt(jobs.endedAt, endedBefore),
        ),
      )
      .orderBy(asc(jobs.endedAt))
      .limit(limit),
    db
      .select({ model: gpuModels.model })
      .from(gpuModels)
      .where(sql`${gpuModels.isStale} = 1`)
      .limit(1),
  ]);
  // Half of the run is for jobs that were never rated, because the others may take days after a change.
  const first = forgotten.slice(0, Math.ceil(limit / 2));
  const ids = new Set([...first, ...stale, ...forgotten].map((row) => row.jobId));
  return { ids: [...ids].slice(0, limit), isLast: flagged.length > 0 && stale.length < limit };
}

/** Clears the mark of models that have no job left to rate again. One round trip. */
export async function clearStale(db: Database): Promise<void> {
  const left = db
    .select({ one: sql`1` })
    .from(taskFigures)
    .where(
      and(eq(taskFigures.model, gpuModels.model), lt(taskFigures.ratedVersion, gpuModels.version)),
    );
  await db
    .update(gpuModels)
    .set({ isStale: false })
    .where(sql`${gpuModels.isStale} = 1 and not exists ${left}`);
}
