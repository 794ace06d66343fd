import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { readIfMatch, singleJson, versionTag } from "../http/entity-tag.ts";
import { JSON_BODY_LIMIT, readBody } from "../http/json-body.ts";
import { throwOnInvalid } from "../http/validation.ts";
import { originOf } from "../identity/audit.ts";
import type { Guards, UserEnv } from "../identity/guards.ts";
import type { Clock } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import {
  getBaselineRoute,
  listBaselinesRoute,
  pinBaselineRoute,
  unpinBaselineRoute,
} from "./contract.ts";

interface Options {
  guards: Guards;
  clock: Clock;
  thresholds: RatingThresholds;
}

/** Baselines are asked for seldom: their rules and figures load with the first request. */
const loadService = () => import("./service.ts");

export function createBaselinesRouter({ guards, clock, thresholds }: Options) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...listBaselinesRoute, middleware: guards.user }, async (c) => {
    const { allBaselines } = await loadService();
    return single(c, await allBaselines(c.get("databases").session, thresholds));
  });

  router.openapi({ ...getBaselineRoute, middleware: guards.user }, async (c) => {
    const { model, metric } = c.req.valid("param");
    const { viewBaseline } = await loadService();
    const { baseline, ...version } = await viewBaseline(c.get("databases").session, model, metric);
    return single(c, baseline, versionTag(version));
  });

  router.openapi(
    { ...pinBaselineRoute, middleware: [guards.admin, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const { model, metric } = c.req.valid("param");
      const { value } = c.req.valid("json");
      const { pin } = await loadService();
      const { session } = c.get("databases");
      const act = { origin: originOf(c), now: clock.now() };
      const pinned = await pin(session, model, metric, value, readIfMatch(c), act);
      c.header("ETag", versionTag(pinned));
      return c.json(pinned.baseline, 200);
    },
  );

  router.openapi({ ...unpinBaselineRoute, middleware: guards.admin }, async (c) => {
    const { model, metric } = c.req.valid("param");
    const { unpin } = await loadService();
    const act = { origin: originOf(c), now: clock.now() };
    await unpin(c.get("databases").session, model, metric, readIfMatch(c), act);
    return c.body(null, 204);
  });

  return router;
}

/** One resource with its validator. */
function single<T extends object>(c: Context<UserEnv>, value: T, etag?: string) {
  // The body is the JSON of `value`: typed as `c.json` would have typed it.
  return singleJson(c, JSON.stringify(value), etag) as unknown as ReturnType<typeof c.json<T, 200>>;
}
