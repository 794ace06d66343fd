/** Rows of jobs and tasks as the records that they were written from. */
import type { JobRecord, TaskRecord } from "../coordinator/projection/records.ts";
import type { JobRow, TaskRow } from "./store.ts";

/** A task with its newest report, or the reason for having none; a live task has neither. */
export type ReportedTask = TaskRecord & {
  reportHash?: string | null;
  reportError?: string | null;
};

/** The projection in the row, as the record it was written from. */
export function toJobRecord(row: JobRow): JobRecord {
  return {
    version: row.version,
    state: row.state,
    currentNodes: row.currentNodes,
    startedAt: row.startedAt,
    endedAt: row.endedAt,
    steps: row.steps,
    events: row.events,
    specCheck: row.specCheck,
  };
}

export function toTaskRecord(row: Omit<TaskRow, "verdict">): ReportedTask {
  const {
    performanceStatus: _status,
    specStatus: _check,
    findingCount: _findings,
    isReplayed: _replayed,
    bodyOffset: _offset,
    ...task
  } = row;
  return task;
}
