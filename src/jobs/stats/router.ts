import { OpenAPIHono } from "@hono/zod-openapi";
import { throwOnInvalid } from "../../http/validation.ts";
import { scopeOf } from "../../identity/actor.ts";
import type { Guards, UserEnv } from "../../identity/guards.ts";
import { getJobStatsRoute } from "./contract.ts";
import { countAlerts } from "./store.ts";

export function createJobStatsRouter({ guards }: { guards: Guards }) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...getJobStatsRoute, middleware: guards.user }, async (c) => {
    const { name, tags = [], tag = [], state } = c.req.valid("query");
    const { session } = c.get("databases");
    const filter = { name, state, tags: [...new Set([...tags, ...tag])] };
    const alerts = await countAlerts(session, scopeOf(c.get("actor")), filter);
    return c.json({ alert_job_count: alerts }, 200);
  });

  return router;
}
