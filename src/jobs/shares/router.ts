import { readIdempotencyKey } from "../../http/idempotency.ts";
import { created, empty, single, singleFilled } from "../../http/replies.ts";
import { serve } from "../../http/serve.ts";
import { siteOf } from "../../http/site.ts";
import { actorContextOf } from "../../identity/guards.ts";
import type { JobView } from "../wire.ts";
import {
  createShareRoute,
  deleteShareRoute,
  getSharedJobRoute,
  getSharedResultsRoute,
  listSharesRoute,
} from "./contract.ts";
import { DEFAULT_TTL_SECONDS } from "./schemas.ts";
import type { SharesService } from "./service.ts";
import { shareUrl, toShare, toSharedJob, toSharedResults } from "./wire.ts";

export const sharesRoutes = ({ shares }: { shares: SharesService }) => [
  serve(createShareRoute, async (c) => {
    const { job_id } = c.req.valid("param");
    const ttl = c.req.valid("json").ttl ?? DEFAULT_TTL_SECONDS;
    const key = readIdempotencyKey(c, { ttl, job_id });
    const { session } = c.get("databases");
    const context = actorContextOf(c);
    const { row, token, replayed } = await shares.create(session, context, job_id, ttl, key);
    const url = token === null ? null : shareUrl(siteOf(c), token);
    return created(c, { ...toShare(row), url }, { replayed });
  }),

  serve(listSharesRoute, async (c) => {
    const { job_id } = c.req.valid("param");
    const rows = await shares.list(c.get("databases").session, c.get("actor"), job_id);
    return single(c, { shares: rows.map(toShare) });
  }),

  serve(deleteShareRoute, async (c) => {
    const { job_id, uuid } = c.req.valid("param");
    const { session } = c.get("databases");
    await shares.remove(session, actorContextOf(c), { jobId: job_id, uuid });
    return empty(c);
  }),

  serve(getSharedJobRoute, async (c) => {
    const { share: token } = c.req.valid("param");
    // From the primary, so that revoked links stop working at once.
    const using = { db: c.get("databases").primary, meter: c.get("meter") };
    const { view, until } = await shares.view(using, token);
    return singleFilled(c, toSharedJob(view, until), view.bodies.source, tagOf(view));
  }),

  serve(getSharedResultsRoute, async (c) => {
    const { share: token } = c.req.valid("param");
    const using = { db: c.get("databases").primary, meter: c.get("meter") };
    const { view } = await shares.view(using, token, "cluster");
    const { include_display_names } = c.req.valid("query");
    const results = toSharedResults(view, { displayNames: include_display_names });
    return singleFilled(c, results, view.bodies.source, tagOf(view));
  }),
];

/** The entity tag of what a link shows, which is not that of what people see. */
const tagOf =
  ({ row }: JobView) =>
  (rest: string) =>
    `"${row.id}.s.${rest}"`;
