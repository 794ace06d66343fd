/** Reads the figures that compare (`figures_indexed` in db/schema/triggers.sql). */
import { and, between, eq, isNull, type SQL, sql } from "drizzle-orm";
import { UNKNOWN } from "../benchmarks/methods.ts";
import type { Database } from "../db/client.ts";
import { fromJson } from "../db/json.ts";
import { byReference } from "../db/named-rows.ts";
import { machines } from "../db/schema/machines.ts";
import { jobs, specs } from "../db/schema.ts";
import { counterKey, labelPrefix, type Scope } from "../identity/actor.ts";
import type { RatedMetric } from "../lib/enums.ts";
import { taskIdRange } from "../lib/ids.ts";
import type { Key } from "./keys.ts";

/** The figures of a key that one class of methods made. */
export interface ClassFigures {
  class: string;
  values: number[];
  machines: number;
}

export interface Wanted {
  metric: RatedMetric;
  /** Normalised; null for all. */
  model: string | null;
  /** Results of each key that are read: the newest. */
  limit: number;
}

/** What the scope sees of each key: its name, if it has any, and its figures by class. One round trip. */
export async function readFigures(
  db: Database,
  scope: Scope,
  keys: readonly Key[],
  wanted: Wanted,
): Promise<{ label: string | null; figures: ClassFigures[] }[]> {
  const queries = keys.map((key) => figuresOf(db, scope, key, wanted));
  const names = keys.map((key) => ({ name: sql`(${nameOf(scope, key)})` }));
  const texts = db
    .select({
      names: fromJson<(string | null)[]>(
        sql`json_array(${sql.join(
          names.map(({ name }) => name),
          sql`, `,
        )})`,
      ).as("names"),
    })
    .from(sql`(select 1)`);
  const [[named], ...found] = await db.batch([texts, ...queries] as const);
  return keys.map((_key, at) => ({
    label: named?.names[at] ?? null,
    figures: found[at] ?? [],
  }));
}

function figuresOf(db: Database, scope: Scope, key: Key, { metric, model, limit }: Wanted) {
  const [ofClass, place] = metric === "bf16_tflops" ? ["$[1]", "$[1][0]"] : ["$[2]", "$[1][1]"];
  const path = (text: string) => sql.raw(`'${text}'`);
  const only = key.by === "model" ? key.model : model;
  const isOf = only === null ? sql`true` : sql`part.value ->> '$[0]' = ${only}`;
  const isAlso = key.by === "model" && model !== null ? sql`${key.model} = ${model}` : sql`true`;
  const each = sql`select figure ->> '$[0]' machine, figure ->> ${path(ofClass)} class, part.value ->> ${path(place)} amount from (${resultsOf(scope, key, model, limit)}) cross join json_each(figure, '$[3]') part where ${isOf} and ${isAlso}`;
  return db
    .select({
      class: sql<string>`class`.as("class"),
      values: fromJson<number[]>(sql`json_group_array(amount)`).as("amounts"),
      machines: sql<number>`count(distinct machine)`.as("machines"),
    })
    .from(sql`(${each})`)
    .where(sql`amount is not null and class <> ${UNKNOWN}`)
    .groupBy(sql`class`)
    .orderBy(sql`class`);
}

/** The newest results of a key. */
function resultsOf(scope: Scope, key: Key, model: string | null, limit: number): SQL {
  const index = sql.raw("figures_search");
  if (key.by === "job") {
    const ofJob = between(sql`id`, ...taskIdRange(key.jobId));
    const isSeen = sql`exists (select 1 from ${jobs} where ${seenJob(scope, key.jobId)})`;
    return sql`select figure from figures_indexed where ${ofJob} and ${isSeen} limit ${limit}`;
  }
  const prefix = labelPrefix(scope);
  const also = model === null || key.by === "model" ? "" : ` AND ${prefix}g${hexOf(model)}`;
  const terms =
    key.by === "spec"
      ? sql`(select ${prefix} || 'x' || hex(${specs.uuid}) || ${also} from ${specs} where ${byReference(specs, key.spec)})`
      : sql`${`${prefix}${labelOf(key)}${also}`}`;
  return sql`select figure from ${index} where ${index} match ${terms} order by rowid desc limit ${limit}`;
}

function labelOf(key: Exclude<Key, { by: "job" | "spec" }>): string {
  switch (key.by) {
    case "machine":
      return `m${hexOf(key.machineUuid)}`;
    case "model":
      return `g${hexOf(key.model)}`;
    case "provider":
      return `p${hexOf(key.folded)}`;
    case "region":
      return `r${hexOf(key.folded)}`;
  }
}

function hexOf(text: string): string {
  return Buffer.from(text).toString("hex");
}

/** A query of the name of what the key names, if the scope sees it. */
function nameOf(scope: Scope, key: Key): SQL {
  switch (key.by) {
    case "job":
      return sql`select ${jobs.name} from ${jobs} where ${seenJob(scope, key.jobId)}`;
    case "machine":
      return sql`select ${machines.hostName} from ${machines} where ${machines.scope} = ${counterKey(scope)} and ${machines.machineUuid} = ${key.machineUuid}`;
    case "spec":
      return sql`select ${specs.name} from ${specs} where ${byReference(specs, key.spec)}`;
    case "model":
    case "provider":
    case "region":
      return sql`select null`;
  }
}

function seenJob(scope: Scope, jobId: number): SQL | undefined {
  const isSeen =
    scope.kind === "all"
      ? undefined
      : scope.kind === "customer"
        ? eq(jobs.customerId, scope.customerId)
        : eq(jobs.owner, counterKey(scope));
  return and(eq(jobs.id, jobId), isNull(jobs.deletedAt), isSeen);
}
