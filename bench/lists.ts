/** The list of jobs at a thousand and at a million jobs, and beside the textbook's at a hundred thousand. */
import { createWorld, type World } from "../test/fuzz/world.ts";
import { HttpPool, requestBytes } from "./http-pool.ts";
import { type Comparison, type Contender, compare } from "./rounds.ts";
import { seedDatabase } from "./seed-database.ts";
import { openStage, type Stage } from "./stage.ts";

const LIST = "/api/silicon-mark/v1/jobs";
const CONNECTIONS = 8;
/** Requests of one round. */
const REQUESTS = 60;
/** Rows that the seed's jobs have beside them would only take time: a list reads none of them. */
const SEED = { tasksPerJob: 0 };

/** The one index that a textbook has: for its order; and, beyond that, one that even the count can be read from. */
const TEXTBOOK_INDEXES = [
  { columns: "created_at", floor: 2.5, what: "textbook" },
  { columns: "deleted_at, created_at", floor: 1, what: "its best index" },
];

export interface ListMatch {
  name: string;
  floor: number;
  comparison: Comparison;
}

/** @param folder for the built baselines */
export async function compareLists(
  folder: string,
  bundle: Parameters<typeof openStage>[1],
  { jobs, rounds }: { jobs: { few: number; textbook: number; many: number }; rounds: number },
): Promise<ListMatch[]> {
  const textbook = { name: "textbook", file: "textbook-list" };
  const few = await openFilled(jobs.few);
  const many = await openFilled(jobs.textbook);
  const lists = async ({ stage, world }: Filled) => contender(await open(stage), world);
  try {
    const { db } = many.stage;
    await db.batch([db.prepare("CREATE TABLE textbook_jobs AS SELECT * FROM jobs")]);
    const besides: ListMatch[] = [];
    for (const { columns, floor, what } of TEXTBOOK_INDEXES) {
      const make = `CREATE INDEX textbook_jobs_index ON textbook_jobs (${columns})`;
      await db.batch([db.prepare("DROP INDEX IF EXISTS textbook_jobs_index"), db.prepare(make)]);
      const pool = await HttpPool.open(await many.stage.urlOf("textbook"), CONNECTIONS);
      const bare = { ...idle, prepare: firstPage, run: (all: readonly Buffer[]) => pool.run(all) };
      const comparison = await compare(await lists(many), bare, rounds);
      pool.close();
      besides.push({ name: `list ÷ ${what}, ${count(jobs.textbook)} jobs`, floor, comparison });
    }
    await many.stage.db.batch([many.stage.db.prepare("DROP TABLE textbook_jobs")]);
    await seedDatabase(many.stage.db, { jobs: jobs.many - jobs.textbook, seed: 2, ...SEED });
    const grown = await compare(await lists(many), await lists(few), rounds);
    const name = `list at ${count(jobs.many)} ÷ at ${count(jobs.few)} jobs`;
    return [...besides, { name, floor: 0.9, comparison: grown }];
  } finally {
    for (const { stage, world } of [few, many]) {
      world.close();
      await stage.stop();
    }
  }

  async function openFilled(size: number): Promise<Filled> {
    const stage = await openStage(folder, bundle, [textbook]);
    const world = await createWorld({ url: stage.url, db: stage.db });
    await seedDatabase(stage.db, { jobs: size, ...SEED });
    return { stage, world };
  }
}

interface Filled {
  stage: Stage;
  world: World;
}

const idle = { settle: async () => {} };
const count = (jobs: number) => jobs.toLocaleString("en");
const firstPage = async () => repeated(requestBytes("GET", "/?page=1"));
const repeated = (request: Buffer) => Array<Buffer>(REQUESTS).fill(request);

function open(stage: Stage): Promise<HttpPool> {
  return HttpPool.open(stage.url, CONNECTIONS);
}

/** The first page of all jobs there are, as staff see them. */
function contender(pool: HttpPool, world: World): Contender {
  return {
    ...idle,
    prepare: async () => repeated(requestBytes("GET", LIST, { token: world.ownerToken() })),
    run: (requests) => pool.run(requests),
  };
}
