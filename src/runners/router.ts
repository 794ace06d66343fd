import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context, MiddlewareHandler } from "hono";
import { readIfMatch, singleJson, versionTag } from "../http/entity-tag.ts";
import { readIdempotencyKey } from "../http/idempotency.ts";
import { JSON_BODY_LIMIT, readBody } from "../http/json-body.ts";
import { announcePage } from "../http/paging.ts";
import { throwOnInvalid } from "../http/validation.ts";
import { originOf } from "../identity/audit.ts";
import type { Guards, UserEnv } from "../identity/guards.ts";
import type { Clock } from "../lib/clock.ts";
import { toSpec } from "../specs/wire.ts";
import {
  createRunnerRoute,
  getRunnerRoute,
  listOfferedRoute,
  listRunnersRoute,
  offerSpecRoute,
  rotateKeyRoute,
  updateRunnerRoute,
  withdrawSpecRoute,
} from "./contract.ts";
import type { RunnerWire } from "./schemas.ts";
import type { RunnersService } from "./service.ts";
import type { RunnerRow } from "./store.ts";
import { stateOf, toRunner } from "./wire.ts";

const LIST_PARAMETERS = Object.keys(listRunnersRoute.request.query.shape);

interface RunnersRouterDeps {
  runners: RunnersService;
  guards: Guards;
  clock: Clock;
  /** A runner out of contact for so long is offline. */
  timeoutMs: number;
}

/** What administrators do with runners. */
export function createRunnersRouter({ runners, guards, clock, timeoutMs }: RunnersRouterDeps) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });
  const show = (row: RunnerRow) => toRunner(row, stateOf(row, clock.now(), timeoutMs));

  router.openapi({ ...listRunnersRoute, middleware: guards.admin }, async (c) => {
    const query = c.req.valid("query");
    const { items, total, neighbours } = await runners.list(c.get("databases").session, query);
    const { page, per_page: perPage } = query;
    announcePage(c, { page, perPage, total, neighbours }, LIST_PARAMETERS);
    return c.json(items.map(show), 200);
  });

  router.openapi(
    {
      ...createRunnerRoute,
      middleware: [guards.admin, readBody(JSON_BODY_LIMIT), secret] as const,
    },
    async (c) => {
      const input = c.req.valid("json");
      const claim = readIdempotencyKey(c, input);
      const { session } = c.get("databases");
      const { made, replayed } = await runners.create(session, originOf(c), input, claim);
      if (replayed) c.header("Idempotency-Replayed", "true");
      return c.json(made, 201);
    },
  );

  router.openapi({ ...getRunnerRoute, middleware: guards.admin }, async (c) => {
    const { runner } = c.req.valid("param");
    const row = await runners.view(c.get("databases").session, runner);
    const shown = show(row);
    return single(c, shown, tagOf(row, shown));
  });

  router.openapi(
    { ...updateRunnerRoute, middleware: [guards.admin, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const { runner } = c.req.valid("param");
      const input = c.req.valid("json");
      const { session } = c.get("databases");
      const row = await runners.update(session, originOf(c), runner, readIfMatch(c), input);
      const shown = show(row);
      c.header("ETag", tagOf(row, shown));
      return c.json(shown, 200);
    },
  );

  router.openapi({ ...rotateKeyRoute, middleware: [guards.admin, secret] as const }, async (c) => {
    const { runner } = c.req.valid("param");
    // One route for all runners: which of them is part of what was asked.
    const claim = readIdempotencyKey(c, { runner });
    const { session } = c.get("databases");
    const { made, replayed } = await runners.rotateKey(session, originOf(c), runner, claim);
    if (replayed) c.header("Idempotency-Replayed", "true");
    return c.json(made, 201);
  });

  router.openapi({ ...listOfferedRoute, middleware: guards.admin }, async (c) => {
    const query = c.req.valid("query");
    const { runner } = c.req.valid("param");
    const { session } = c.get("databases");
    const { items, total, neighbours } = await runners.listOffered(session, runner, query);
    const { page, per_page: perPage } = query;
    announcePage(c, { page, perPage, total, neighbours }, LIST_PARAMETERS);
    return c.json(items.map(toSpec), 200);
  });

  router.openapi(
    { ...offerSpecRoute, middleware: [guards.admin, readBody(JSON_BODY_LIMIT)] as const },
    async (c) => {
      const { runner } = c.req.valid("param");
      const { spec: wanted } = c.req.valid("json");
      const claim = readIdempotencyKey(c, { runner, spec: wanted });
      const { session } = c.get("databases");
      const offered = await runners.offer(session, originOf(c), runner, wanted, claim);
      if (offered.replayed) c.header("Idempotency-Replayed", "true");
      return c.json(toSpec(offered.spec), 201);
    },
  );

  router.openapi({ ...withdrawSpecRoute, middleware: guards.admin }, async (c) => {
    const { runner, spec } = c.req.valid("param");
    const { session } = c.get("databases");
    await runners.withdraw(session, originOf(c), runner, spec, readIfMatch(c));
    return c.body(null, 204);
  });

  return router;
}

/** Replies with a key are kept by nobody on the way. */
const secret: MiddlewareHandler<UserEnv> = async (c, next) => {
  c.header("Cache-Control", "no-store");
  await next();
};

const STATES = ["offline", "online", "busy"] as const satisfies RunnerWire["state"][];

/** What is shown moves with the runner's contact too, which is no version of it. */
function tagOf(row: RunnerRow, { state }: RunnerWire): string {
  return versionTag(row, STATES.indexOf(state), row.lastHeartbeatAt ?? 0);
}

function single(c: Context<UserEnv>, value: RunnerWire, etag: string) {
  // The body is the JSON of `value`: typed as `c.json` would have typed it.
  return singleJson(c, JSON.stringify(value), etag) as unknown as ReturnType<
    typeof c.json<RunnerWire, 200>
  >;
}
