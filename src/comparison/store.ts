/** Reads the figures that compare (`figures_indexed` in db/schema/triggers.sql). */
import { and, between, eq, isNull, type SQL, sql } from "drizzle-orm";
import { QUICKMARK, UNKNOWN } from "../benchmarks/methods.ts";
import type { Database } from "../db/client.ts";
import { fromJson } from "../db/json.ts";
import { byReference } from "../db/named-rows.ts";
import { parts } from "../db/packed.ts";
import { machines } from "../db/schema/machines.ts";
import { jobs, specs } from "../db/schema.ts";
import { counterKey, labelPrefix, type Scope } from "../identity/actor.ts";
import type { RatedMetric } from "../lib/enums.ts";
import { taskIdRange } from "../lib/ids.ts";
import type { Key } from "./keys.ts";

/** A figure per GPU of one machine and job. */
export interface Figure {
  machineUuid: string;
  class: string;
  value: number;
}

export interface Wanted {
  metric: RatedMetric;
  /** Normalised; null for all. */
  model: string | null;
  /** Results of each key that are read: the newest. */
  limit: number;
}

/** What the scope sees of each key: its name, if it has any, the UUID of a spec, and its figures. One round trip. */
export async function readFigures(
  db: Database,
  scope: Scope,
  keys: readonly Key[],
  wanted: Wanted,
): Promise<{ label: string | null; specUuid: string | null; figures: Figure[] }[]> {
  const queries = keys.map((key) => resultsOf(db, scope, key, wanted));
  const names = keys.map((key) =>
    key.by === "spec" ? sql`json((${nameOf(scope, key)}))` : sql`(${nameOf(scope, key)})`,
  );
  const allNames = sql`json_array(${sql.join(names, sql`, `)})`;
  const texts = db
    .select({ names: fromJson<(StoredName | null)[]>(allNames).as("names") })
    .from(sql`(select 1)`);
  const [[named], ...found] = await db.batch([texts, ...queries] as const);
  return keys.map((key, at) => ({
    ...namesIn(named?.names[at] ?? null),
    figures: (found[at]?.[0]?.results ?? []).flatMap((result) =>
      figuresOf(result, key.by === "model" ? key.model : wanted.model, wanted),
    ),
  }));
}

/** As `nameOf` has it: a name, or that of a spec with its UUID. */
type StoredName = string | [name: string, uuid: string];

function namesIn(stored: StoredName | null) {
  const [label, specUuid] = Array.isArray(stored) ? stored : [stored, null];
  return { label, specUuid };
}

/** A result as the view has it; a class is null for that of QuickMark. */
type Result = [
  machineUuid: string,
  bf16Class: string | null,
  memoryClass: string | null,
  bf16Tflops: number | null,
  memoryBandwidthGbs: number | null,
  parts: unknown,
];

/** The figures of a result: of each model where they count apart, else one. Nothing compares with those of unknown methods. */
function figuresOf(
  [machineUuid, bf16Class, memoryClass, bf16, memory, apart]: Result,
  model: string | null,
  { metric }: Wanted,
): Figure[] {
  const [name, whole] = metric === "bf16_tflops" ? [bf16Class, bf16] : [memoryClass, memory];
  if (name === UNKNOWN) return [];
  const values =
    apart === null
      ? [whole]
      : parts
          .unpack(apart)
          .filter((part) => model === null || part.model === model)
          .map((part) => part.values[metric]);
  return values.flatMap((value) =>
    value === null ? [] : [{ machineUuid, class: name ?? QUICKMARK, value }],
  );
}

function resultsOf(db: Database, scope: Scope, key: Key, { model, limit }: Wanted) {
  const newest = newestOf(scope, key, model, limit);
  // A model that is asked for twice is the same, or has no figures.
  const isOther = key.by === "model" && model !== null && model !== key.model;
  return db
    .select({ results: fromJson<Result[]>(sql`json_group_array(json(figure))`).as("results") })
    .from(sql`(${isOther ? sql`select null figure where false` : newest})`);
}

/** The newest results of a key. */
function newestOf(scope: Scope, key: Key, model: string | null, limit: number): SQL {
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
      ? // An unknown spec has a label without a text, which no figure has: the index refuses an empty query.
        sql`(select ${`${prefix}x`} || coalesce((select hex(${specs.uuid}) from ${specs} where ${byReference(specs, key.spec)}), '')${also === "" ? sql`` : sql` || ${also}`})`
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

/** A query of the name of what the key names, if the scope sees it; of a spec as JSON, with its UUID. */
function nameOf(scope: Scope, key: Key): SQL {
  switch (key.by) {
    case "job":
      return sql`select ${jobs.name} from ${jobs} where ${seenJob(scope, key.jobId)}`;
    case "machine":
      return sql`select ${machines.hostName} from ${machines} where ${machines.scope} = ${counterKey(scope)} and ${machines.machineUuid} = ${key.machineUuid}`;
    case "spec": {
      // People know archived specs by their own jobs alone.
      const hasFigures = sql`exists (${newestOf(scope, key, null, 1)})`;
      return sql`select json_array(${specs.name}, ${specs.uuid}) from ${specs} where ${byReference(specs, key.spec)} and (${isNull(specs.archivedAt)} or ${hasFigures})`;
    }
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
