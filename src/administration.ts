/**
 * What people and machines need around jobs: signing in, accounts, hardware specs, runners, baselines. It
 * is loaded with the first request for one of them, so that who polls a job never waits for it.
 */
import type { App } from "./app.ts";
import type { Foundation } from "./foundation.ts";
import { versionRoute } from "./http/version.ts";
import { createApiTokensRouter } from "./identity/api-tokens/router.ts";
import { createApiTokensService } from "./identity/api-tokens/service.ts";
import { createAuditRouter } from "./identity/audit-trail/router.ts";
import { createCustomersRouter } from "./identity/customers/router.ts";
import { createCustomersService } from "./identity/customers/service.ts";
import { createPeopleRouter } from "./identity/people/router.ts";
import { createPeopleService } from "./identity/people/service.ts";
import { createSignInRouter } from "./identity/sign-in/router.ts";
import { createSignInService } from "./identity/sign-in/service.ts";
import { RELEASE } from "./lib/release.ts";
import { createCandidates } from "./runners/candidates.ts";
import { createClaimRouter } from "./runners/claim-router.ts";
import { createClaims } from "./runners/claims.ts";
import { createRunnerGuard } from "./runners/guard.ts";
import { createKeyring } from "./runners/keyring.ts";
import { createRunnersRouter } from "./runners/router.ts";
import { createRunnersService } from "./runners/service.ts";
import { createBaselinesRouter } from "./scoreboard/router.ts";
import { createSpecsRouter } from "./specs/router.ts";
import { createSpecsService } from "./specs/service.ts";

/** Mounts all of it. Its paths are those of `isAdministration`. */
export function mountAdministration(app: App, foundation: Foundation): void {
  const { tokens, identity, limits, guards, callCoordinator, config, clock } = foundation;
  const { passwordPepper: pepper, nodeTimeoutMs: timeoutMs } = config;
  const signIns = createSignInService({
    ...{ identity, tokens, clock, pepper },
    failureScale: config.rateLimitScale,
  });
  const people = createPeopleService({ identity, tokens, clock, pepper });
  const apiTokens = createApiTokensService({ identity, tokens, clock });
  const customers = createCustomersService({ clock });
  const specs = createSpecsService({ clock, timeoutMs });
  const keyring = createKeyring({ clock, timeoutMs });
  const runners = createRunnersService({ clock, keyring });
  const candidates = createCandidates({ clock });
  const claims = createClaims({ tokens, clock, keyring, candidates, callCoordinator });
  const runnerGuard = createRunnerGuard({ guards, limits, keyring, clock });

  app.route("/", createSignInRouter({ signIns, limits }));
  app.route("/", createBaselinesRouter({ guards, clock, thresholds: config.rating }));
  app.route("/", createSpecsRouter({ specs, guards }));
  app.route("/", createCustomersRouter({ customers, guards }));
  app.route("/", createPeopleRouter({ people, guards, limits }));
  app.route("/", createApiTokensRouter({ apiTokens, guards }));
  app.route("/", createAuditRouter({ guards }));
  app.route("/", createRunnersRouter({ runners, guards, clock, timeoutMs }));
  app.route("/", createClaimRouter({ claims, guard: runnerGuard }));
  app.openapi({ ...versionRoute, middleware: guards.open }, (c) =>
    c.json({ version: RELEASE }, 200),
  );
}
