/**
 * Fills a D1 database. Only rows of customers, people, jobs and tasks are written here: what
 * hangs on them (counters, tags, search) is written by the triggers that write it in production, whichever
 * there are. Indexes stay in place, since triggers read by them.
 */
import { createChance } from "./seed-random.ts";
import { type Row, type RowsOptions, type SeededOwner, seededJobs } from "./seed-rows.ts";

/** The part of a D1 database that seeding uses, inside a Worker or from outside. */
export interface SeedDatabase<Bound extends SeedStatement = SeedStatement> {
  prepare(sql: string): Bound;
  batch(statements: Bound[]): Promise<unknown>;
}

interface SeedStatement {
  bind(...values: unknown[]): this;
  all<Found>(): Promise<{ results: Found[] }>;
}

export interface SeedOptions extends Partial<RowsOptions> {
  jobs: number;
  onProgress?: (jobs: number) => void;
}

export interface Seeded {
  jobs: number;
  tasks: number;
}

/** The share of all jobs, in per cent, that each customer has; people are spread likewise. */
const CUSTOMER_SHARES = [30, 15, 10, 8, 6, 5, 4, 4, 3, 3, 2.5, 2, 2, 1.5, 1, 1, 0.8, 0.6, 0.4, 0.2];
const PEOPLE = 200;
/** The hash of no password at all: nobody signs in as them. */
const NO_PASSWORD = `$scrypt$ln=14,r=8,p=5$${"A".repeat(22)}$${"A".repeat(43)}`;
/** Jobs in one batch: about 2 MB. */
const BATCH_JOBS = 1_500;

/** Adds jobs, with 20 customers and about 200 people of their own. Fails where the same seed was sown before. */
export async function seedDatabase<Bound extends SeedStatement>(
  db: SeedDatabase<Bound>,
  options: SeedOptions,
): Promise<Seeded> {
  const { jobs, onProgress = () => {} } = options;
  const { seed = 1, until = Date.now(), tasksPerJob = 2, isQuiet = false } = options;
  const rows = { jobs, seed, until, tasksPerJob, isQuiet };
  const owners = await addOwners(db, rows.seed, rows.until);
  return addJobs(db, owners, rows, onProgress);
}

async function addJobs<Bound extends SeedStatement>(
  db: SeedDatabase<Bound>,
  owners: readonly SeededOwner[],
  options: RowsOptions,
  onProgress: (jobs: number) => void,
): Promise<Seeded> {
  const insert = createInsert(db);
  const seeded = { jobs: 0, tasks: 0 };
  let batch: Record<keyof Seeded, Row[]> = { jobs: [], tasks: [] };
  const send = async () => {
    await db.batch([...insert("jobs", batch.jobs), ...insert("tasks", batch.tasks)]);
    seeded.jobs += batch.jobs.length;
    seeded.tasks += batch.tasks.length;
    batch = { jobs: [], tasks: [] };
    onProgress(seeded.jobs);
  };
  for (const { job, tasks } of seededJobs(owners, options)) {
    batch.jobs.push(job);
    batch.tasks.push(...tasks);
    if (batch.jobs.length === BATCH_JOBS) await send();
  }
  if (batch.jobs.length > 0) await send();
  return seeded;
}

/** Makes one statement of many rows: a JSON parameter, since D1 takes at most 100. */
function createInsert<Bound extends SeedStatement>(db: SeedDatabase<Bound>) {
  const prepared = new Map<string, { statement: Bound; columns: string[] }>();
  return (table: string, rows: readonly Row[]): Bound[] => {
    const [first] = rows;
    if (first === undefined) return [];
    let insert = prepared.get(table);
    if (insert === undefined) {
      const columns = Object.keys(first);
      const values = columns.map((_, at) => `value ->> ${at}`).join(", ");
      const sql = `INSERT INTO ${table} (${columns.join(", ")}) SELECT ${values} FROM json_each(?)`;
      insert = { statement: db.prepare(sql), columns };
      prepared.set(table, insert);
    }
    const { statement, columns } = insert;
    const list = rows.map((row) => columns.map((column) => row[column]));
    return [statement.bind(JSON.stringify(list))];
  };
}

async function addOwners<Bound extends SeedStatement>(
  db: SeedDatabase<Bound>,
  seed: number,
  now: number,
): Promise<SeededOwner[]> {
  // Chance of its own: another number of people changes no job.
  const chance = createChance(seed + 0x5eed);
  const insert = createInsert(db);
  const times = { created_at: now, modified_at: now };
  const customers = CUSTOMER_SHARES.map((_, at) => ({
    uuid: chance.uuid(),
    name: `Seeded customer ${at + 1}`,
    slug: `seeded-${seed}-${at + 1}`,
    ...times,
  }));
  await db.batch(insert("customers", customers));
  const customerIds = await idsOf(db, "customers", customers);
  const people = CUSTOMER_SHARES.flatMap((share, at) => {
    const ranks = [...Array(Math.max(1, Math.round((share / 100) * PEOPLE))).keys()];
    // The n-th person of a customer makes an n-th of the jobs that the first one makes.
    const parts = ranks.reduce((sum, rank) => sum + 1 / (rank + 1), 0);
    return ranks.map((rank) => {
      const slug = `seeded-${seed}-${at + 1}-${rank + 1}`;
      return {
        uuid: chance.uuid(),
        customer_id: customerIds[at] ?? 0,
        email: `${slug}@example.com`,
        email_folded: `${slug}@example.com`,
        name: `Seeded person ${at + 1}.${rank + 1}`,
        slug,
        role: rank === 0 ? "customer_admin" : "user",
        password_hash: NO_PASSWORD,
        ...times,
        weight: share / parts / (rank + 1),
      };
    });
  });
  await db.batch(
    insert(
      "users",
      people.map(({ weight: _weight, ...row }) => row),
    ),
  );
  const userIds = await idsOf(db, "users", people);
  return people.map(({ customer_id: customerId, weight }, at) => ({
    customerId,
    userId: userIds[at] ?? 0,
    weight,
  }));
}

/** The ids that the database gave to rows, in their order. */
async function idsOf(
  db: SeedDatabase,
  table: string,
  rows: readonly { uuid: string }[],
): Promise<number[]> {
  const { results } = await db
    .prepare(
      `SELECT t.id FROM json_each(?) wanted JOIN ${table} t ON t.uuid = wanted.value ORDER BY wanted.key`,
    )
    .bind(JSON.stringify(rows.map(({ uuid }) => uuid)))
    .all<{ id: number }>();
  return results.map(({ id }) => id);
}
