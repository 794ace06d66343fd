import { createMeter, openDatabase } from "../db/client.ts";
import { readConfig } from "../lib/config.ts";
import { rateSettledJob } from "./rating.ts";

/** The scoreboard's part in the aftermath of a job. */
export const stage = {
  async run({ jobId, env, now }: { jobId: number; env: Env; now: number }): Promise<void> {
    const db = openDatabase(env.DB, createMeter());
    await rateSettledJob(db, jobId, now, readConfig(env).rating);
  },
};
