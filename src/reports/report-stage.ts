import { createMeter, openDatabase } from "../db/client.ts";
import { readConfig } from "../lib/config.ts";
import { makeReports } from "./make.ts";

/**
 * Makes the reports of a job that has settled, after it was rated: a stage of what follows a job's end.
 * Running it again makes what is still missing.
 */
export const stage = {
  async run({ jobId, env, now }: { jobId: number; env: Env; now: number }): Promise<void> {
    const db = openDatabase(env.DB, createMeter());
    await makeReports({ db, bucket: env.BUCKET, thresholds: readConfig(env).rating, now }, jobId);
  },
};
