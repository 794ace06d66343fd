/** Search in the full-text indexes of jobs, which db/schema/triggers.sql describes. */
import { type SQL, sql } from "drizzle-orm";
import { codePoints } from "../api/schemas.ts";
import { INDEXED_SEARCH_LENGTH } from "../db/named-search.ts";
import { labelPrefix, type Scope } from "../identity/actor.ts";
import type { FoldedOrigins } from "../lib/stored-json.ts";
import { type Origins, originLabels } from "./origins.ts";

/** A full-text condition, with the table that answers it in the order of job ids. */
export interface Match {
  /** Has the columns `rowid`, which is the job's id, and `job`, the job itself as JSON. */
  table: SQL;
  rowId: SQL;
  condition: SQL;
  /** True when the condition covers the filter by name exactly. */
  coversName: boolean;
}

/** Chooses the index for a scope's jobs with these tags, benchmark, origins or part of a name; null if no index serves. */
export function matchOf(
  scope: Scope,
  filter: {
    name?: string | undefined;
    benchmarkId?: string | undefined;
    tags: readonly string[];
  } & Origins,
): Match | null {
  const { name, benchmarkId, tags } = filter;
  const labels = tags.map((tag) => labelOf(scope, "t", tag));
  labels.push(...originLabels(filter).map(([kind, text]) => labelOf(scope, kind, text)));
  if (benchmarkId !== undefined) labels.push(labelOf(scope, "b", benchmarkId));
  if (labels.length > 0) return match("jobs_labels", labels.join(" AND "), false);
  if (name === undefined || isShort(name)) return null;
  const part = name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()).replaceAll('"', '""');
  const terms = [`title : "${part}"`];
  if (scope.kind === "user") terms.push(`scope : "${trigramOf("\u0001", scope.userId)}"`);
  if (scope.kind !== "all") terms.push(`scope : "${trigramOf("\u0002", scope.customerId)}"`);
  return match("jobs_search", terms.join(" AND "), !ALIKE_IN_INDEX.test(name));
}

/** SQLite's full-text index reads all three as U+FFFD. */
const ALIKE_IN_INDEX = /[\uFFFD-\uFFFF]/;

/** True for names too short for the index, which holds sequences of three characters. */
export function isShort(name: string): boolean {
  return codePoints(name) < INDEXED_SEARCH_LENGTH;
}

function match(name: string, terms: string, coversName: boolean): Match {
  const table = sql.identifier(name);
  const rowId = sql`${table}.rowid`;
  return { table: sql`${table}`, rowId, condition: sql`${table} match ${terms}`, coversName };
}

/** One term of `labels`. */
function labelOf(scope: Scope, kind: "t" | "b" | keyof FoldedOrigins, text: string): string {
  return `"${labelPrefix(scope)}${kind}${Buffer.from(text).toString("hex")}"`;
}

const DIGITS = 20_000;
const FIRST_DIGIT = 0x4e00;

/** One trigram of `scope`. */
function trigramOf(mark: string, id: number): string {
  const digits = [Math.floor(id / DIGITS), id % DIGITS].map((digit) => FIRST_DIGIT + digit);
  return mark + String.fromCodePoint(...digits);
}
