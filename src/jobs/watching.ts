/** Requests of people that wait for their job. Loaded with the first of them. */
import type { Context } from "hono";
import type { CallCoordinator } from "../coordinator/client.ts";
import { ApiError, invalidField, notFound, unauthorized, unavailable } from "../http/errors.ts";
import { type WrittenReply, writtenReply } from "../http/replies.ts";
import { scopeOf } from "../identity/actor.ts";
import type { UserEnv } from "../identity/guards.ts";
import type { Identity } from "../identity/service.ts";
import { type Clock, SECOND_MS } from "../lib/clock.ts";
import { logEvent } from "../lib/log.ts";
import { framesOf, streamOf } from "./event-stream.ts";
import { findWatched, type WatchedRow } from "./store.ts";
import { beginWaiting, waitForChange } from "./waiting.ts";
import type { JobView } from "./wire.ts";

export interface WatchingDeps {
  watchCoordinator: CallCoordinator;
  identity: Identity;
  clock: Clock;
}

/** `Retry-After` for a person whose other requests wait already. */
const RETRY_SECONDS = 20;

/**
 * Waits until a job differs from the view, for at most `waitSeconds`; false when it does not. Whoever has too many
 * waiting requests waits no more.
 */
export async function awaitChange(
  c: Context<UserEnv>,
  view: JobView,
  waitSeconds: number,
  { watchCoordinator, identity, clock }: WatchingDeps,
): Promise<boolean> {
  const end = beginWaiting(c.get("actor").userUuid, clock);
  if (end === null) return false;
  try {
    const waiting = {
      meter: c.get("meter"),
      watchCoordinator,
      read: () => readAgain(c, identity, view.row.id),
      clock,
    };
    const hasChanged = await waitForChange(view, waitSeconds * SECOND_MS, waiting);
    // Rights end within 30 s, also for whoever waits.
    const actor = await actorAgain(c, identity);
    if (actor === null) throw unauthorized();
    c.set("actor", actor);
    return hasChanged;
  } finally {
    end();
  }
}

/** Answers with a job's events as they happen. What the stream has cost is in a line of its own at its end. */
export async function streamEvents(
  c: Context<UserEnv>,
  jobId: number,
  { watchCoordinator, identity, clock }: WatchingDeps,
): Promise<WrittenReply> {
  const from = readLastEventId(c.req.header("Last-Event-ID"));
  const read = () => readAgain(c, identity, jobId);
  const row = await read();
  if (row === null) throw notFound("Job", jobId);
  const headers = { "Content-Type": "text/event-stream", "X-Accel-Buffering": "no" };
  if (c.req.method === "HEAD") return writtenReply(c.body(null, 200, headers));
  const meter = c.get("meter");
  const watch = (seen: { mark: string | null; events: number }, waitMs: number) =>
    watchCoordinator({ jobId, meter }, (coordinator) => coordinator.watch(jobId, seen, waitMs));
  if (row.coordinated && row.endedAt === null) {
    // A failure is still an error reply here.
    const first = await watch({ mark: null, events: from }, 0);
    if (!first.ok) throw unavailable(2, new Error(`coordinator says ${first.reason}`));
  }
  const end = beginWaiting(c.get("actor").userUuid, clock);
  if (end === null) {
    const message = "Too many jobs are followed at once; end some of the streams first";
    throw new ApiError("TOO_MANY_REQUESTS", message, {
      headers: {
        "Retry-After": String(RETRY_SECONDS),
        RateLimit: `"streams";r=0;t=${RETRY_SECONDS}`,
      },
    });
  }
  const startedAt = clock.now();
  const onEnd = () => {
    end();
    logEvent("info", "event_stream", {
      request_id: c.get("requestId"),
      job: jobId,
      seconds: Math.round((clock.now() - startedAt) / SECOND_MS),
      d1_round_trips: meter.d1RoundTrips,
      object_hops: meter.objectHops,
    });
  };
  const frames = framesOf({ jobId, row, from, read, watch, clock });
  return writtenReply(c.body(streamOf(frames, onEnd), 200, headers));
}

/** Number of events that the client has: the id of the last one. */
function readLastEventId(header: string | undefined): number {
  if (header === undefined || header === "") return 0;
  if (/^[0-9]{1,9}$/.test(header)) return Number(header);
  throw invalidField("Last-Event-ID", "must be the id of an event of this job, a whole number");
}

/** The job as D1 has it now; null when the person may not see it any more. */
async function readAgain(
  c: Context<UserEnv>,
  identity: Identity,
  jobId: number,
): Promise<WatchedRow | null> {
  const actor = await actorAgain(c, identity);
  return actor && findWatched(c.get("databases").session, scopeOf(actor), jobId);
}

function actorAgain(c: Context<UserEnv>, identity: Identity) {
  return identity.actorOf(c.get("databases").primary, c.get("actor").credential);
}
