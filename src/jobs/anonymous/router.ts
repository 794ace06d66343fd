import { OpenAPIHono } from "@hono/zod-openapi";
import type { RequestEnv } from "../../http/context.ts";
import { JSON_BODY_LIMIT, readBody } from "../../http/json-body.ts";
import { siteOf } from "../../http/site.ts";
import { throwOnInvalid } from "../../http/validation.ts";
import { ANONYMOUS } from "../../identity/anonymous.ts";
import type { Guards } from "../../identity/guards.ts";
import type { JobsService } from "../service.ts";
import { toCreatedJob } from "../wire.ts";
import { createAnonymousJobRoute } from "./contract.ts";

interface AnonymousJobsRouterDeps {
  jobs: JobsService;
  guards: Guards;
}

/** Jobs without an account: made here, and read with their token where the node protocol is. */
export function createAnonymousJobsRouter({ jobs, guards }: AnonymousJobsRouterDeps) {
  const router = new OpenAPIHono<RequestEnv>({ defaultHook: throwOnInvalid });

  router.openapi(
    {
      ...createAnonymousJobRoute,
      middleware: [guards.anonymous, readBody(JSON_BODY_LIMIT, { optional: true })] as const,
    },
    async (c) => {
      const { description, benchmarks, node_count, tags } = c.req.valid("json");
      const caller = { actor: ANONYMOUS, db: c.get("databases").session };
      const input = { description, benchmarks, node_count, tags };
      const { row, token } = await jobs.create(caller, input, null, siteOf(c));
      return c.json(toCreatedJob(row, token), 201);
    },
  );

  return router;
}
