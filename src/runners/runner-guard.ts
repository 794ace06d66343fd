import { createMiddleware } from "hono/factory";
import type { RequestVariables } from "../http/context.ts";
import { addressOf, type RateLimits } from "../http/rate-limit.ts";
import { type Authenticator, sentToken } from "../identity/guards.ts";
import type { Suspects } from "../identity/suspects.ts";
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
  suspects: Suspects;
}

/**
 * Admits only the runner that the path names, with its key, and sets the variable `runner`. Everyone else gets
 * the same 401, for an unknown runner too.
 */
export function createRunnerGuard({
  authenticator,
  limits,
  runnerAuth,
  suspects,
}: RunnerGuardDeps) {
  return createMiddleware<RunnerEnv>(async (c, next) => {
    const key = sentToken(c);
    if (key === null || !KEY_PATTERN.test(key)) {
      await limits.check(c, "address", addressOf(c));
      return authenticator.refuse(c, key, "runner key");
    }
    const reference = parseReference(c.req.param("runner") ?? "");
    // A claim is a contact; that of a runner that comes to wait is written by its lobby.
    const isContact = c.req.method === "POST";
    const find = () => runnerAuth.find(c.get("databases").primary, reference, key, isContact);
    const runner = runnerAuth.remembered(reference, key) ?? (await suspects.find(c, find));
    if (runner === null) return authenticator.refuse(c, key, "runner key");
    c.set("principal", { kind: "runner", id: runner.uuid });
    await limits.check(c, "runner", runner.uuid);
    c.set("runner", runner);
    await next();
  });
}
