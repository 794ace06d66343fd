/** What the requests do that make a report or check one. Loaded with the first of them. */
import type { Database } from "../db/client.ts";
import { ApiError, notFound } from "../http/errors.ts";
import { toTimestamp } from "../lib/clock.ts";
import { taskIdOf } from "../lib/ids.ts";
import { type MakeDeps, makeReports } from "./make.ts";
import type { ReportedJob } from "./service.ts";
import { type FoundReport, findReport } from "./store.ts";

export async function makeOnRequest(deps: MakeDeps, job: ReportedJob): Promise<void> {
  if (job.userId === 0) {
    const message = "A job that was made without an account gets no report";
    throw new ApiError("JOB_STATE_INVALID", message);
  }
  if (job.endedAt === null) {
    const message = "The job has not ended yet; its report is made when it has";
    throw new ApiError("JOB_STATE_INVALID", message);
  }
  // Null for one that was deleted since it was looked at.
  if ((await makeReports(deps, job.id)) === null) throw notFound("Job", job.id);
}

export async function viewReport(db: Database, hash: string) {
  const found = await findReport(db, hash);
  if (found === null) throw notFound("Report", hash);
  return toReport(found);
}

function toReport(found: FoundReport) {
  const { hash, jobId, rank, version, status, state } = found;
  return {
    hash,
    job_id: String(jobId),
    task_id: rank === null ? null : String(taskIdOf(jobId, rank)),
    version,
    is_latest: found.latest === hash,
    status,
    state,
    created_at: toTimestamp(found.createdAt),
    started_at: toTimestamp(found.startedAt),
    ended_at: toTimestamp(found.endedAt),
    made_at: toTimestamp(found.madeAt),
    file_sha256: found.fileSha256,
    file_bytes: found.bytes,
  };
}
