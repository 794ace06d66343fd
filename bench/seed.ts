/**
 * `npm run seed -- --jobs N [--seed S] [--state DIR]`: adds N jobs, as two years of use by 20 customers
 * would have left them, to the local database of `npm start`, which must not run meanwhile. The jobs of one
 * seed are the same each time, up to when they were made. At most two nodes of a job get rows, each with one
 * QuickMark result.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { databaseFiles, prepareDatabase } from "../scripts/lib/migrations.ts";
import { ROOT } from "../scripts/lib/project.ts";
import { lockState } from "../scripts/lib/state-lock.ts";
import { DatabaseFile } from "./database-file.ts";
import { seedDatabase } from "./seed-database.ts";

const { values } = parseArgs({
  options: {
    jobs: { type: "string" },
    seed: { type: "string", default: "1" },
    state: { type: "string", default: process.env.ASSAY_STATE ?? ".wrangler/state" },
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
  const [file = ""] = databaseFiles(state);
  const db = new DatabaseFile(file);
  try {
    const before = db.bytes();
    const startedAt = performance.now();
    let printed = 0;
    const seeded = await seedDatabase(db, {
      jobs,
      seed,
      onProgress(done) {
        if (done - printed < jobs / 10) return;
        printed = done;
        console.log(`${done} jobs, ${seconds(startedAt)} s`);
      },
    });
    const after = db.bytes();
    const perJob = Math.round((after - before) / seeded.jobs).toLocaleString("en-US");
    console.log(
      `${seeded.jobs} jobs, ${seeded.tasks} tasks in ${seconds(startedAt)} s; database ${megabytes(before)} MB before, ${megabytes(after)} MB after: ${perJob} bytes a job, neither rated nor reported`,
    );
  } finally {
    db.close();
  }
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
