/** Stores new jobs. */
import { and, eq, getTableColumns, is, isNull, type Placeholder, SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { batchAfter, type IdempotencyKey, reserveKey } from "../db/idempotency.ts";
import { insertFrom } from "../db/insert-from.ts";
import { prepareQuery } from "../db/prepared.ts";
import { jobs } from "../db/schema.ts";
import { ANONYMOUS } from "../identity/anonymous.ts";
import type { Quotas } from "../lib/config.ts";
import type { Reference } from "../lib/references.ts";
import { liveSpecUuid } from "../specs/live-spec.ts";
import { type Compared, type ExceededQuota, exceededQuota, quotaValues } from "./quotas.ts";

/** A new job. The database resolves the references to its specs. */
export type NewJobRow = Omit<typeof jobs.$inferInsert, "specUuid" | "expectedSpecUuid">;

/** The spec that the job's runners offer, and the spec that its machines are compared with, if another is named. */
interface NamedSpecs {
  spec: Reference | null;
  expected: Reference | null;
}

type Refusal = ExceededQuota | "two_specs";

/**
 * Stores a job together with the idempotency key of its request, or neither if it is refused, which it answers: a quota
 * is full, or the two specs are different. One batch, one round trip. Fails on a key used before, a taken id or a taken
 * name (see `uniqueViolation`), and on an unknown or archived spec (see `foreignKeyViolation`).
 */
export async function insertJob(
  db: Database,
  row: NewJobRow,
  specs: NamedSpecs,
  key: IdempotencyKey | null,
  quotas: Quotas,
): Promise<Refusal | null> {
  const whose = row.customerId === ANONYMOUS.customerId ? "anonymous" : "person";
  const isPlain = specs.spec === null && specs.expected === null;
  const { refusal, insert } = isPlain ? PLAIN[whose] : statementsFor(whose, specs);
  const compared = { ...quotaValues(row, quotas), name: row.name };
  const reserved =
    key === null
      ? []
      : reserveKey(db, key, row, row.createdAt, rulesFor(whose, specs, compared).from);
  const values = { ...DEFAULTS, ...row, checkAt: row.expiresAt, ...compared };
  const [answer] = await batchAfter(db, reserved, [refusal(db, values), insert(db, values)]);
  return answer[0]?.refusal ?? null;
}

type Whose = "person" | "anonymous";

/** The rules of a new job, with the values that they compare, or placeholders for them. */
function rulesFor(
  whose: Whose,
  { spec, expected }: NamedSpecs,
  { name, ...compared }: Compared & { name: string | Placeholder },
) {
  const specUuid = spec === null ? null : liveSpecUuid(spec);
  const expectedUuid = expected === null ? null : liveSpecUuid(expected);
  // An unknown spec is for the foreign key to refuse.
  const areTwo =
    specUuid === null || expectedUuid === null
      ? sql`false`
      : sql`('' not in (${specUuid}, ${expectedUuid}) and ${specUuid} <> ${expectedUuid})`;
  const exceeded = exceededQuota(whose === "anonymous", compared);
  const sameName = sql`select 1 from ${jobs} where ${and(eq(jobs.customerId, compared.customer), eq(jobs.name, name), isNull(jobs.deletedAt))}`;
  return {
    specUuid,
    // The same spec is stored once; an unknown one is left for the foreign key.
    expectedSpecUuid:
      specUuid === null || expectedUuid === null
        ? expectedUuid
        : sql<string>`nullif(${expectedUuid}, ${specUuid})`,
    // A taken name is refused before a full quota: the insert fails on it.
    from: sql`where not ${areTwo} and (${exceeded} is null or exists (${sameName}))`,
    refusal: sql<Refusal | null>`iif(${areTwo}, 'two_specs', ${exceeded})`,
  };
}

const COLUMNS = Object.entries(getTableColumns(jobs)).filter(
  ([name, { generated, default: value }]) =>
    generated === undefined &&
    !is(value, SQL) &&
    name !== "specUuid" &&
    name !== "expectedSpecUuid",
);
const DEFAULTS = Object.fromEntries(
  COLUMNS.map(([name, column]) => [name, column.default ?? null]),
);

function placeholdersFor<Name extends string>(names: readonly Name[]) {
  const entries = names.map((name) => [name, sql.placeholder(name)]);
  return Object.fromEntries(entries) as Record<Name, Placeholder>; // one for each name
}

/** The statements that store a job and tell its refusal. */
function statementsFor(whose: Whose, specs: NamedSpecs) {
  const compared = placeholdersFor([
    ...["name", "customer", "scope", "day"],
    ...["anonymousLiveJobs", "anonymousBytes", "customerJobsPerDay", "customerBytes"],
  ] as const);
  const { refusal, from, ...ofSpecs } = rulesFor(whose, specs, compared);
  const row = placeholdersFor(COLUMNS.map(([name]) => name as keyof NewJobRow)); // columns of the table
  return {
    refusal: prepareQuery((db) =>
      db.select({ refusal: refusal.as("refusal") }).from(sql`(select 1)`),
    ),
    insert: prepareQuery((db) => insertFrom(db, jobs, { ...row, ...ofSpecs }, from)),
  };
}

const NO_SPECS: NamedSpecs = { spec: null, expected: null };
/** Most jobs name no spec. */
const PLAIN = {
  person: statementsFor("person", NO_SPECS),
  anonymous: statementsFor("anonymous", NO_SPECS),
};
