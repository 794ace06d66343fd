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
  const textbook = { name: "textbook", file: "textbook-list", payload: "" };
  const few = await openFilled(jobs.few);
  const many = await openFilled(jobs.textbook);
  const lists = async ({ stage, world }: Filled) => contender(await open(stage), world);
  try {
    await addTextbook(many.stage);
    const textbookPool = await HttpPool.open(await many.stage.urlOf("textbook"), CONNECTIONS);
    const beside = await compare(
      await lists(many),
      {
        ...idle,
        prepare: async () => repeated(requestBytes("GET", "/?page=1")),
        run: (all) => textbookPool.run(all),
      },
      rounds,
    );
    textbookPool.close();
    await many.stage.db.batch([many.stage.db.prepare("DROP TABLE textbook_jobs")]);
    await seedDatabase(many.stage.db, { jobs: jobs.many - jobs.textbook, seed: 2, ...SEED });
    const grown = await compare(await lists(many), await lists(few), rounds);
    return [
      { name: `list ÷ textbook at ${count(jobs.textbook)} jobs`, floor: 2.5, comparison: beside },
      {
        name: `list at ${count(jobs.many)} ÷ at ${count(jobs.few)} jobs`,
        floor: 0.9,
        comparison: grown,
      },
    ];
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

async function addTextbook({ db }: Stage): Promise<void> {
  await db.batch([
    db.prepare("CREATE TABLE textbook_jobs AS SELECT * FROM jobs"),
    db.prepare("CREATE INDEX textbook_jobs_by_time ON textbook_jobs (deleted_at, created_at)"),
  ]);
}
