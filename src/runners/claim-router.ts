import { OpenAPIHono } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import { JSON_BODY_LIMIT, readBody } from "../http/json-body.ts";
import { throwOnInvalid } from "../http/validation.ts";
import type { Claims } from "./claims.ts";
import { claimRoute } from "./contract.ts";
import type { RunnerEnv } from "./guard.ts";

/** When a runner without a job asks again, s: with jitter, so that a fleet does not come as one wave. */
const IDLE_SECONDS = { min: 5, max: 10 };

interface ClaimRouterDeps {
  claims: Claims;
  guard: MiddlewareHandler<RunnerEnv>;
}

/** What a runner does with its key. */
export function createClaimRouter({ claims, guard }: ClaimRouterDeps) {
  const router = new OpenAPIHono<RunnerEnv>({ defaultHook: throwOnInvalid });

  router.openapi(
    {
      ...claimRoute,
      middleware: [guard, readBody(JSON_BODY_LIMIT, { optional: true })] as const,
    },
    async (c) => {
      // Present on the platform, absent in tests: where the request entered the network.
      const cf = c.req.raw.cf as { continent?: string; longitude?: string } | undefined;
      const call = {
        runner: c.get("runner"),
        db: c.get("databases").primary,
        meter: c.get("meter"),
        place: cf,
      };
      const claimed = await claims.claim(call, c.req.valid("json"));
      if (claimed === null) {
        c.header("Retry-After", String(idleSeconds()));
        return c.json(null, 200);
      }
      const { jobId, token, task, repeated } = claimed;
      if (repeated) c.header("Claim-Repeated", "true");
      // The task is as the object wrote it, in the form that the contract declares; tests parse it strictly.
      return c.json({ job_id: String(jobId), token, task }, 200) as never;
    },
  );

  return router;
}

function idleSeconds(): number {
  const { min, max } = IDLE_SECONDS;
  return min + Math.floor(Math.random() * (max - min + 1));
}
