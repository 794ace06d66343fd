import { createMiddleware } from "hono/factory";
import type { RequestVariables } from "../http/context.ts";
import { addressOf, type RateLimits } from "../http/rate-limit.ts";
import { type Authenticator, sentToken } from "../identity/guards.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, MINUTE_MS } from "../lib/clock.ts";
import { parseReference } from "../lib/references.ts";
import { KEY_PATTERN } from "./keys.ts";
import type { AuthenticatedRunner, RunnerAuth } from "./runner-auth.ts";

interface RunnerVariables {
  runner: AuthenticatedRunner;
}

declare module "../http/context.ts" {
  interface CallerVariables {
    runner: RunnerVariables;
  }
}

interface RunnerEnv {
  Variables: RequestVariables & RunnerVariables;
}

interface RunnerGuardDeps {
  authenticator: Authenticator;
  limits: RateLimits;
  runnerAuth: RunnerAuth;
  clock: Clock;
}

/**
 * Admits only the runner that the path names, with its key, and sets the variable `runner`. Everyone else gets
 * the same 401, for an unknown runner too.
 */
export function createRunnerGuard({ authenticator, limits, runnerAuth, clock }: RunnerGuardDeps) {
  // Addresses that sent a wrong key. Their further keys count against the limit before D1 is read, since keys
  // can be made up quickly. A fleet with right keys behind one address is not counted.
  const suspects = new BoundedCache<true>({
    maxEntries: 10_000,
    maxAgeMs: MINUTE_MS,
    clock,
  });
  return createMiddleware<RunnerEnv>(async (c, next) => {
    const key = sentToken(c);
    if (key === null || !KEY_PATTERN.test(key)) {
      await limits.check(c, "address", addressOf(c));
      return authenticator.refuse(c, key);
    }
    const reference = parseReference(c.req.param("runner") ?? "");
    let runner = runnerAuth.remembered(reference, key);
    if (runner === null) {
      const address = addressOf(c);
      const isSuspect = suspects.get(address) === true;
      if (isSuspect) await limits.check(c, "address", address);
      const { primary } = c.get("databases");
      // A claim is a contact; that of a runner that comes to wait is written by its lobby.
      runner = await runnerAuth.find(primary, reference, key, c.req.method === "POST");
      if (runner === null) {
        suspects.set(address, true);
        if (!isSuspect) await limits.check(c, "address", address);
        return authenticator.refuse(c, key);
      }
    }
    c.set("principal", { kind: "runner", id: runner.uuid });
    await limits.check(c, "runner", runner.uuid);
    c.set("runner", runner);
    await next();
  });
}
