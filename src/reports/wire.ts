/** From rows of reports to replies. */
import { toTimestamp } from "../lib/clock.ts";
import { taskIdOf } from "../lib/ids.ts";
import type { ReportRecord } from "./lookup-store.ts";

/** The public facts of a report. */
export function toReport(report: ReportRecord) {
  const { hash, jobId, rank, version, status, state } = report;
  return {
    hash,
    job_id: String(jobId),
    task_id: rank === null ? null : String(taskIdOf(jobId, rank)),
    version,
    is_latest: report.latest === hash,
    status,
    replayed: report.isReplayed,
    state,
    created_at: toTimestamp(report.createdAt),
    started_at: toTimestamp(report.startedAt),
    ended_at: toTimestamp(report.endedAt),
    made_at: toTimestamp(report.madeAt),
    file_sha256: report.fileSha256,
    file_bytes: report.bytes,
    signed_by: report.kid,
  };
}
