import { toReaderView } from "../../coordinator/wire/node-view.ts";
import type { Database, Meter } from "../../db/client.ts";
import { ApiError } from "../../http/errors.ts";
import { type Piece, piecesOf } from "../../http/raw-json.ts";
import { type HoleSource, hashOf } from "../../http/replies.ts";
import { ANONYMOUS } from "../../identity/anonymous.ts";
import type { Clock } from "../../lib/clock.ts";
import type { JobsService } from "../service.ts";
import { toJobDetail } from "../wire.ts";

/** The reply to a reader of a job without an account. */
export interface Reading {
  etag: string;
  /** JSON of a `NodeView` with the job's `detail`. */
  pieces: readonly Piece[];
  source: HoleSource;
  pollAfterSeconds: number;
}

/** Jobs without an account get no reports. */
const NO_LINK = () => null;

/** Answers null for a deleted job. One D1 round trip, and one hop while the job lives. */
export type ReadAnonymousJob = (
  using: { db: Database; meter: Meter },
  jobId: number,
) => Promise<Reading | null>;

export function createAnonymousReader(deps: { jobs: JobsService; clock: Clock }): ReadAnonymousJob {
  const { jobs, clock } = deps;
  return async (using, jobId) => {
    try {
      // Read as the owner of anonymous jobs: the token of any other job finds nothing here.
      const { view, token } = await jobs.detail({ actor: ANONYMOUS, ...using }, jobId);
      const { poll_after_seconds: pollAfterSeconds, ...state } = toReaderView(
        view.row,
        view.job,
        clock.now(),
        Math.random,
      );
      const detail = toJobDetail(view, token, NO_LINK, null);
      // The detail has all of it; a poll that names its task gets these.
      const body = { ...state, performance: null, findings: null, spec_check: null, detail };
      return {
        // Weak: `poll_after_seconds` is drawn anew each time.
        etag: `W/"${hashOf(piecesOf(body))}"`,
        pieces: piecesOf({ ...body, poll_after_seconds: pollAfterSeconds }),
        source: view.bodies.source,
        pollAfterSeconds,
      };
    } catch (error) {
      if (error instanceof ApiError && error.code === "RESOURCE_NOT_FOUND") return null;
      throw error;
    }
  };
}
