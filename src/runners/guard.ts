import { createMiddleware } from "hono/factory";
import type { RequestVariables } from "../http/context.ts";
import { addressOf, type RateLimits } from "../http/rate-limit.ts";
import { parseReference } from "../http/reference.ts";
import { bearerToken, type Guards } from "../identity/guards.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, MINUTE_MS } from "../lib/clock.ts";
import type { Keyring, KnownRunner } from "./keyring.ts";
import { KEY_PATTERN } from "./keys.ts";

export interface RunnerEnv {
  Variables: RequestVariables & { runner: KnownRunner };
}

interface RunnerGuardDeps {
  guards: Guards;
  limits: RateLimits;
  keyring: Keyring;
  clock: Clock;
}

/**
 * Lets only the runner pass that the path names, with its key; the handler finds it under `runner`. For
 * everyone else there is no such runner: the same 401, whether it exists or not.
 */
export function createRunnerGuard({ guards, limits, keyring, clock }: RunnerGuardDeps) {
  // Keys can be made up as fast as they can be sent: from where a wrong one came, others are counted before
  // D1 is asked. A fleet behind one address, with good keys, is not.
  const suspects = new BoundedCache<true>({
    ...{ maxEntries: 10_000, maxAgeMs: MINUTE_MS },
    clock,
  });
  return createMiddleware<RunnerEnv>(async (c, next) => {
    const key = bearerToken(c.req.header("authorization"));
    if (key === null || !KEY_PATTERN.test(key)) {
      await limits.check(c, "address", addressOf(c));
      return guards.refuse(c, key);
    }
    const reference = parseReference(c.req.param("runner") ?? "");
    let runner = keyring.known(reference, key);
    if (runner === null) {
      const address = addressOf(c);
      const isSuspect = suspects.get(address) === true;
      if (isSuspect) await limits.check(c, "address", address);
      runner = await keyring.find(c.get("databases").primary, reference, key);
      if (runner === null) {
        suspects.set(address, true);
        if (!isSuspect) await limits.check(c, "address", address);
        return guards.refuse(c, key);
      }
    }
    c.set("principal", { kind: "runner", id: runner.uuid });
    await limits.check(c, "runner", runner.uuid);
    c.set("runner", runner);
    await next();
  });
}
