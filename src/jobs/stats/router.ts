import { OpenAPIHono } from "@hono/zod-openapi";
import { invalidField } from "../../http/errors.ts";
import { throwOnInvalid } from "../../http/validation.ts";
import { scopeOf } from "../../identity/actor.ts";
import type { Guards, UserEnv } from "../../identity/guards.ts";
import { MAX_TAGS } from "../create-schema.ts";
import { countJobs } from "../list-store.ts";
import { getJobStatsRoute } from "./contract.ts";

export function createJobStatsRouter({ guards }: { guards: Guards }) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...getJobStatsRoute, middleware: guards.user }, async (c) => {
    const { name, tags: given, tag: older, state } = c.req.valid("query");
    const tags = [...new Set([...given, ...older])];
    if (tags.length > MAX_TAGS) throw invalidField("tags", `must have at most ${MAX_TAGS} entries`);
    const filter = { name, tags, state, performance: "underperforming" as const };
    const alerts = await countJobs(c.get("databases").session, scopeOf(c.get("actor")), filter);
    return c.json({ alert_job_count: alerts }, 200);
  });

  return router;
}
