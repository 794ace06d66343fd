/** The full-text indexes of jobs: what they hold says migration `0014_job_search`. */
import { type SQL, sql } from "drizzle-orm";
import { INDEXED_SEARCH_LENGTH } from "../http/list-query.ts";
import { codePoints } from "../http/schemas.ts";
import type { Scope } from "../identity/actor.ts";

/** A condition that an index answers with the ids of jobs, in their order. */
export interface Match {
  /** Has the columns `rowid`, which is the job's id, and `job`, the job itself as JSON. */
  table: SQL;
  rowId: SQL;
  condition: SQL;
  /** Whether the condition says all that there is to say of the name. */
  coversName: boolean;
}

/** The index that leads to the jobs of a scope with these tags, benchmark or part of a name; null for none. */
export function matchOf(
  scope: Scope,
  filter: { name?: string | undefined; benchmarkId?: string | undefined; tags: readonly string[] },
): Match | null {
  const { name, benchmarkId, tags } = filter;
  const labels = tags.map((tag) => labelOf(scope, "t", tag));
  if (benchmarkId !== undefined) labels.push(labelOf(scope, "b", benchmarkId));
  if (labels.length > 0) return match("jobs_labels", labels.join(" AND "), false);
  if (name === undefined || isShort(name)) return null;
  const part = name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()).replaceAll('"', '""');
  const words = [`title : "${part}"`];
  if (scope.kind === "user") words.push(`scope : "${trigramOf("\u0001", scope.userId)}"`);
  if (scope.kind === "customer") words.push(`scope : "${trigramOf("\u0002", scope.customerId)}"`);
  return match("jobs_search", words.join(" AND "), !ALIKE_IN_INDEX.test(name));
}

/** SQLite's full-text index reads all three as U+FFFD. */
const ALIKE_IN_INDEX = /[\uFFFD-\uFFFF]/;

/** Too short for the index, which has every three characters that follow each other. */
export function isShort(name: string): boolean {
  return codePoints(name) < INDEXED_SEARCH_LENGTH;
}

function match(name: string, words: string, coversName: boolean): Match {
  const table = sql.identifier(name);
  const rowId = sql`${table}.rowid`;
  return { table: sql`${table}`, rowId, condition: sql`${table} match ${words}`, coversName };
}

/** One word of `labels`. */
function labelOf(scope: Scope, kind: "t" | "b", text: string): string {
  return `"${prefixOf(scope)}${kind}${Buffer.from(text).toString("hex")}"`;
}

function prefixOf(scope: Scope): string {
  switch (scope.kind) {
    case "user":
      return `u${scope.userId}`;
    case "customer":
      return `c${scope.customerId}`;
    case "all":
      return "a";
  }
}

const DIGITS = 20_000;
const FIRST_DIGIT = 0x4e00;

/** One trigram of `scope`. */
function trigramOf(mark: string, id: number): string {
  const digits = [Math.floor(id / DIGITS), id % DIGITS].map((digit) => FIRST_DIGIT + digit);
  return mark + String.fromCodePoint(...digits);
}
