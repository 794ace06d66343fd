import { toReaderView } from "../../coordinator/node-view.ts";
import type { Database, Meter } from "../../db/client.ts";
import { entityTagOf } from "../../http/entity-tag.ts";
import { ApiError } from "../../http/errors.ts";
import { stringifyWithRaw } from "../../http/raw-json.ts";
import { ANONYMOUS } from "../../identity/anonymous.ts";
import type { Clock } from "../../lib/clock.ts";
import type { JobsService } from "../service.ts";
import { toJobDetail } from "../wire.ts";

/** What whoever holds the token of a job without an account is shown. */
export interface Reading {
  etag: string;
  /** JSON of a `NodeView` with the job's `detail`. */
  text: string;
  pollAfterSeconds: number;
}

/** Jobs without an account get no reports. */
const NO_LINK = () => null;

/** Null for a job that has been deleted. One D1 round trip, and one hop while the job lives. */
export type ReadAnonymousJob = (
  using: { db: Database; meter: Meter },
  jobId: number,
) => Promise<Reading | null>;

export function createAnonymousReader(deps: { jobs: JobsService; clock: Clock }): ReadAnonymousJob {
  const { jobs, clock } = deps;
  return async (using, jobId) => {
    try {
      // Asked for as its owner: the token of any other job finds nothing here.
      const { view, token } = await jobs.detail({ actor: ANONYMOUS, ...using }, jobId);
      const { poll_after_seconds: pollAfterSeconds, ...seen } = toReaderView(
        view.row,
        view.job,
        clock.now(),
        Math.random,
      );
      const shown = { ...seen, detail: toJobDetail(view, token, NO_LINK) };
      return {
        // Weak: when to ask again is drawn anew each time.
        etag: `W/${entityTagOf(stringifyWithRaw(shown))}`,
        text: stringifyWithRaw({ ...shown, poll_after_seconds: pollAfterSeconds }),
        pollAfterSeconds,
      };
    } catch (error) {
      if (error instanceof ApiError && error.code === "RESOURCE_NOT_FOUND") return null;
      throw error;
    }
  };
}
