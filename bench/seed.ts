/**
 * `npm run seed -- --jobs N [--seed S] [--state DIR]`: adds N jobs, as two years of use by 20 customers
 * would have left them, to the local database of `npm start`, which must not run meanwhile. The jobs of one
 * seed are the same each time, up to when they were made. At most two nodes of a job get rows, each with one
 * QuickMark result. `--keep-indexes` leaves the indexes where they are, so that the database stays whole even
 * when this is killed: slower from some ten thousand jobs on.
 */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { convertV4MiniflareOptions, Miniflare, NoOpLog } from "miniflare";
import type { Database } from "../scripts/lib/local-worker.ts";
import { prepareDatabase } from "../scripts/lib/migrations.ts";
import { ROOT } from "../scripts/lib/project.ts";
import { lockState } from "../scripts/lib/state-lock.ts";
import { seedDatabase } from "./seed-database.ts";

const { values } = parseArgs({
  options: {
    jobs: { type: "string" },
    seed: { type: "string", default: "1" },
    state: { type: "string", default: process.env.ASSAY_STATE ?? ".wrangler/state" },
    "keep-indexes": { type: "boolean", default: false },
  },
});
const jobs = wholeNumber("jobs", values.jobs);
const seed = wholeNumber("seed", values.seed);
const state = resolve(ROOT, values.state);

try {
  const lock = lockState(state);
  try {
    await sow();
  } finally {
    lock.release();
  }
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  const isSown = message.includes("UNIQUE constraint failed");
  console.error(isSown ? `Seed ${seed} was already used there: choose another --seed` : message);
  process.exitCode = 1;
}

async function sow(): Promise<void> {
  await prepareDatabase(state);
  const { db, bytes, close } = await openLocalDatabase(state);
  try {
    const before = await bytes();
    const startedAt = performance.now();
    let printed = 0;
    const seeded = await seedDatabase(db, {
      jobs,
      seed,
      deferIndexes: !values["keep-indexes"],
      onProgress(done) {
        if (done - printed < jobs / 10) return;
        printed = done;
        console.log(`${done} jobs, ${seconds(startedAt)} s`);
      },
    });
    const after = await bytes();
    const perJob = Math.round((after - before) / seeded.jobs).toLocaleString("en-US");
    console.log(
      `${seeded.jobs} jobs, ${seeded.tasks} tasks in ${seconds(startedAt)} s; database ${megabytes(before)} MB before, ${megabytes(after)} MB after: ${perJob} bytes a job, neither rated nor reported`,
    );
  } finally {
    await close();
  }
}

/** The database of a state folder, as wrangler keeps it there. */
async function openLocalDatabase(folder: string) {
  process.env.WRANGLER_LOG = "error";
  const { unstable_getMiniflareWorkerOptions } = await import("wrangler");
  const { workerOptions } = unstable_getMiniflareWorkerOptions(join(ROOT, "wrangler.toml"));
  // Its declared type leaves out what every Worker with a D1 binding has.
  const { d1Databases } = workerOptions as unknown as {
    d1Databases: Record<string, { id: string }>;
  };
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      workers: [
        {
          name: "seed",
          modules: [{ type: "ESModule", path: "seed.mjs", contents: "export default {}" }],
          d1Databases,
        },
      ],
      resourcePersistencePath: join(folder, "v3"),
      host: "127.0.0.1",
      cf: false,
      log: new NoOpLog(),
    }),
  );
  await miniflare.ready;
  const d1 = await miniflare.getD1Database("DB");
  const db: Database = d1;
  const bytes = async () => (await d1.prepare("SELECT 1").run()).meta.size_after;
  return { db, bytes, close: () => miniflare.dispose() };
}

function wholeNumber(name: string, text: string | undefined): number {
  const value = Number(text);
  if (text !== undefined && /^[0-9]{1,9}$/.test(text) && value > 0) return value;
  console.error(`--${name} must be a whole number above 0`);
  process.exit(2);
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1_000).toFixed(1);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
