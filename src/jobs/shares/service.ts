import type { Database, Meter } from "../../db/client.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { ApiError, notFound } from "../../http/errors.ts";
import type { Actor, Requester } from "../../identity/actor.ts";
import type { ActorContext } from "../../identity/origin.ts";
import { type Clock, SECOND_MS } from "../../lib/clock.ts";
import { drawKey, hashOfKey } from "../../lib/keys.ts";
import { createOnce } from "../../resources/create.ts";
import type { BodyPart } from "../bodies.ts";
import type { JobsService } from "../service.ts";
import type { JobView } from "../wire.ts";
import { SHARE_PREFIX } from "./schemas.ts";
import { deleteShare, findShared, insertShare, listShares, type ShareRow } from "./store.ts";

/** Links that show jobs to people without an account. */
export class SharesService {
  readonly #jobs: JobsService;
  readonly #clock: Clock;

  constructor({ jobs, clock }: { jobs: JobsService; clock: Clock }) {
    this.#jobs = jobs;
    this.#clock = clock;
  }

  /** Makes a share; its token is null where the request is a repeat. One round trip, and one more for a repeat. */
  async create(
    db: Database,
    context: ActorContext,
    jobId: number,
    ttl: number,
    key: IdempotencyKey | null,
  ): Promise<{ row: ShareRow; token: string | null; replayed: boolean }> {
    const token = drawKey(SHARE_PREFIX);
    const { created: row, replayed } = await createOnce(key, async () => {
      const createdAt = this.#clock.now();
      const share: ShareRow = {
        uuid: crypto.randomUUID(),
        jobId,
        createdBy: context.actor.userUuid,
        createdAt,
        expiresAt: createdAt + ttl * SECOND_MS,
      };
      await insertShare(db, context, share, hashOfKey(token), key);
      return share;
    });
    return { row, token: replayed ? null : token, replayed };
  }

  /** The shares of a job that work. One round trip. */
  async list(db: Database, actor: Actor, jobId: number): Promise<ShareRow[]> {
    const rows = await listShares(db, actor, jobId, this.#clock.now());
    if (rows === null) throw notFound("Job", jobId);
    return rows;
  }

  /** One round trip. */
  async remove(
    db: Database,
    context: ActorContext,
    share: { jobId: number; uuid: string },
  ): Promise<void> {
    await deleteShare(db, context, share, this.#clock.now());
  }

  /** The job that a token shows, as the job's customer sees it. One round trip, and what the view costs. */
  async view(
    { db, meter }: { db: Database; meter: Meter },
    token: string,
    part: BodyPart = "results",
  ): Promise<{ view: JobView; until: number }> {
    const shared = await findShared(db, hashOfKey(token), this.#clock.now());
    // The token is a secret, and stays out of the message.
    if (shared === null) throw new ApiError("RESOURCE_NOT_FOUND", "No shared job has this token");
    const { customerId, jobId, expiresAt } = shared;
    const view = await this.#jobs.view({ actor: readerOf(customerId), db, meter }, jobId, part);
    return { view, until: expiresAt };
  }
}

/** Reads the jobs of one customer. */
function readerOf(customerId: number): Requester {
  return { userId: 0, userUuid: "", customerId, role: "customer_admin" };
}
