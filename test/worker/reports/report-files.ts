/** Reports as their tests look at them: files behind links, in R2, and the rows that name them. */
import { env, exports } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { openBucket } from "../../../src/db/bucket.ts";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { reports } from "../../../src/db/schema/reports.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { makeReports } from "../../../src/reports/make.ts";
import { call } from "../harness/client.ts";
import type { TestJob } from "../harness/factories.ts";
import { db, jobRow, setJob } from "../harness/rows.ts";
import { eventually } from "../harness/time.ts";

export async function open(url: string, headers: Record<string, string> = {}, method = "GET") {
  const response = await exports.default.fetch(new Request(url, { method, headers }));
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { status: response.status, headers: response.headers, bytes };
}

export function make(job: TestJob) {
  const bucket = openBucket(env.BUCKET, createMeter());
  const db = openDatabase(env.DB, createMeter());
  const { rating: thresholds, reportSeeds: seeds } = readConfig(env);
  const now = systemClock.now();
  return makeReports({ db, bucket, thresholds, seeds, now }, Number(job.id));
}

/** Asks for a job's reports, again while the isolate makes those of another test's job. */
export async function askReport(job: TestJob) {
  return eventually(async () => {
    const reply = await call("POST", `/jobs/${job.id}/report`, { token: job.owner.token });
    if (reply.status === 503) throw new Error(reply.text);
    return reply;
  });
}

export async function keysOf(job: TestJob): Promise<string[]> {
  const { objects } = await env.BUCKET.list({ prefix: `reports/${job.id}/` });
  return objects.map(({ key }) => key);
}

/** What the log's warnings say about a job. */
export function failuresOf({ id }: TestJob, warned: { mock: { calls: unknown[][] } }): string {
  const lines = warned.mock.calls.map(([line]) => String(line));
  return lines.filter((line) => JSON.parse(line).job === Number(id)).join("\n");
}

export function reportRows({ id }: TestJob) {
  const ofJob = db
    .select()
    .from(reports)
    .where(eq(reports.jobId, Number(id)));
  return ofJob.orderBy(reports.rank, reports.version);
}

/** As if the job had been rated anew by these baselines. */
export async function rateAgain(job: TestJob, baselineVersion: number): Promise<void> {
  const { verdict } = await jobRow(job);
  if (verdict === null) throw new Error(`job ${job.id} has not been rated`);
  await setJob(job, { verdict: { ...verdict, baselineVersion } });
}
