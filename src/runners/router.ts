import type { Context } from "hono";
import { readIfMatch, versionTag } from "../http/entity-tag.ts";
import { readIdempotencyKey } from "../http/idempotency.ts";
import { changed, created, empty, list, single } from "../http/replies.ts";
import { serve } from "../http/serve.ts";
import type { UserEnv } from "../identity/guards.ts";
import { originOf } from "../identity/origin.ts";
import type { Clock } from "../lib/clock.ts";
import { RUNNER_STATES, SPEC_CHECK_STATUSES } from "../lib/enums.ts";
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
import { contactOf, stateOf, toRunner } from "./wire.ts";

interface RunnersDeps {
  runners: RunnersService;
  clock: Clock;
  /** A runner out of contact for this long is offline. */
  timeoutMs: number;
}

/** Runners as administrators manage them. */
export const runnersRoutes = ({ runners, clock, timeoutMs }: RunnersDeps) => {
  const toWire = (row: RunnerRow) => toRunner(row, stateOf(row, clock.now(), timeoutMs));

  return [
    serve(listRunnersRoute, async (c) => {
      const page = await runners.list(c.get("databases").session, c.req.valid("query"));
      return list(c, page, page.items.map(toWire));
    }),

    serve(createRunnerRoute, async (c) => {
      const input = c.req.valid("json");
      const key = readIdempotencyKey(c, input);
      const { session } = c.get("databases");
      const { made, replayed } = await runners.create(session, originOf(c), input, key);
      return created(c, made, { replayed });
    }),

    serve(getRunnerRoute, async (c) => {
      const { runner } = c.req.valid("param");
      const row = await runners.view(c.get("databases").session, runner);
      const wire = toWire(row);
      return single(c, wire, tagOf(row, wire));
    }),

    serve(updateRunnerRoute, async (c) => {
      const { runner } = c.req.valid("param");
      const input = c.req.valid("json");
      const row = await runners.update(storeOf(c), originOf(c), runner, readIfMatch(c), input);
      const wire = toWire(row);
      return changed(c, wire, tagOf(row, wire));
    }),

    serve(rotateKeyRoute, async (c) => {
      const { runner } = c.req.valid("param");
      // One route serves all runners, so the runner is part of the request that the key stands for.
      const key = readIdempotencyKey(c, { runner });
      const { made, replayed } = await runners.rotateKey(storeOf(c), originOf(c), runner, key);
      return created(c, made, { replayed });
    }),

    serve(listOfferedRoute, async (c) => {
      const { runner } = c.req.valid("param");
      const { session } = c.get("databases");
      const page = await runners.listOffered(session, runner, c.req.valid("query"));
      return list(c, page, page.items.map(toSpec));
    }),

    serve(offerSpecRoute, async (c) => {
      const { runner } = c.req.valid("param");
      const { spec: reference } = c.req.valid("json");
      const key = readIdempotencyKey(c, { runner, spec: reference });
      const offered = await runners.offer(storeOf(c), originOf(c), runner, reference, key);
      return created(c, toSpec(offered.spec), offered);
    }),

    serve(withdrawSpecRoute, async (c) => {
      const { runner, spec } = c.req.valid("param");
      await runners.withdraw(storeOf(c), originOf(c), runner, spec, readIfMatch(c));
      return empty(c);
    }),
  ];
};

/** The tag includes the runner's contact and its checks, which do not change its version. */
function tagOf(row: RunnerRow, { state }: RunnerWire): string {
  const beside = [RUNNER_STATES.indexOf(state), contactOf(row) ?? 0];
  return versionTag(row, ...beside, ...(row.checks.length === 0 ? [] : [markOf(row.checks)]));
}

/** The largest prime below 2^32. */
const PRIME = 4_294_967_291;

/** Another number for other checks, all but surely. */
function markOf(checks: RunnerRow["checks"]): number {
  return checks.reduce(
    (mark, [, status, taskId]) =>
      (mark * 31 + (taskId % PRIME) * 3 + SPEC_CHECK_STATUSES.indexOf(status)) % PRIME,
    checks.length,
  );
}

function storeOf(c: Context<UserEnv>) {
  return { db: c.get("databases").session, meter: c.get("meter") };
}
