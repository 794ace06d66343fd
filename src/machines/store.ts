/** Reads the machines that triggers keep (db/schema/triggers.sql, "Machines"). */
import { and, eq, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { fromJson } from "../db/json.ts";
import type { KeysetOrder, PageWindow } from "../db/keyset.ts";
import { gpuGroups } from "../db/packed.ts";
import { machineCounts, machines } from "../db/schema/machines.ts";
import { counterKey, labelPrefix, type Scope } from "../identity/actor.ts";
import type { PerformanceStatus, SpecCheckStatus } from "../lib/enums.ts";
import { labelsOf, type MachineFilter, nameTerms } from "./labels.ts";

export interface MachineRow {
  id: number;
  machineUuid: string;
  jobs: number;
  lastJobId: number;
  lastSeenAt: number;
  hostName: string | null;
  /** Null until it named any. */
  gpuModels: ReturnType<typeof gpuGroups.unpack> | null;
  provider: string | null;
  region: string | null;
  status: PerformanceStatus | null;
  findingCount: number | null;
  /** Its status is on a recording. */
  isReplayed: boolean | null;
  specCheck: SpecCheckStatus | null;
}

export interface MachineList extends MachineFilter {
  /** A part of the host name; ASCII letters match in either case. */
  name?: string | undefined;
}

const INDEX = sql.raw("machines_search");
const ROW_ID = sql.raw("machines_search.rowid");

/** The machine seen last comes first: ids rise with that time. */
export const ORDER: KeysetOrder<MachineRow> = {
  columns: [{ column: ROW_ID, type: "number" }],
  descending: true,
  keyOf: ({ id }) => [id],
};

/**
 * A page of machines, and the total of the list. One round trip.
 *
 * @param newest machines that a name without an index is searched in
 */
export async function listMachines(
  db: Database,
  scope: Scope,
  list: MachineList,
  { where, orderBy, limit, offset }: PageWindow,
  newest: number,
): Promise<{ rows: MachineRow[]; total: number }> {
  const { name, ...filter } = list;
  const listed = matching(scope, filter, name, newest);
  const labels = labelsOf(scope, filter);
  const [first] = labels;
  const isCounted = name === undefined && labels.length === 1 && first !== undefined;
  const total = isCounted
    ? sql`(select coalesce(sum(${machineCounts.machines}), 0) from ${machineCounts} where ${machineCounts.label} = ${first})`
    : sql`(select count(*) from ${INDEX} where ${listed})`;
  const [rows, totals] = await db.batch([
    db
      .select({ machine: fromJson<StoredMachine>(sql`machine`).as("machine") })
      .from(sql`${INDEX}`)
      .where(and(listed, where))
      .orderBy(...orderBy)
      .limit(limit)
      .offset(offset),
    db.select({ total: sql<number>`${total}`.as("total") }).from(sql`(select 1)`),
  ]);
  return { rows: rows.map(({ machine }) => toRow(machine)), total: totals[0]?.total ?? 0 };
}

/** Machines with all labels, whose host name contains a text. */
function matching(
  scope: Scope,
  filter: MachineFilter,
  name: string | undefined,
  newest: number,
): SQL | undefined {
  const terms = [...labelsOf(scope, filter), ...(name === undefined ? [] : nameTerms(name))];
  const match = sql`${INDEX} match ${terms.join(" AND ")}`;
  if (name === undefined) return match;
  const contains = sql`instr(lower(machine ->> '$.hostName'), lower(${name})) > 0`;
  if (nameTerms(name).length > 0) return and(match, contains);
  const oldest = sql`select rowid from ${INDEX} where ${INDEX} match ${labelPrefix(scope)} order by rowid desc limit 1 offset ${newest - 1}`;
  return and(match, contains, sql`${ROW_ID} >= coalesce((${oldest}), 0)`);
}

/** The columns as the view has them. */
type StoredMachine = Omit<MachineRow, "gpuModels" | "isReplayed"> & {
  gpuModels: unknown;
  isReplayed: 0 | 1 | null;
};

function toRow({ gpuModels, isReplayed, ...row }: StoredMachine): MachineRow {
  return {
    ...row,
    gpuModels: gpuModels === null ? null : gpuGroups.unpack(gpuModels),
    isReplayed: isReplayed === null ? null : isReplayed === 1,
  };
}

/** A machine that the scope sees, or null. One round trip. */
export async function findMachine(
  db: Database,
  scope: Scope,
  machineUuid: string,
): Promise<MachineRow | null> {
  const [row] = await db
    .select()
    .from(machines)
    .where(and(eq(machines.scope, counterKey(scope)), eq(machines.machineUuid, machineUuid)));
  return row ?? null;
}
