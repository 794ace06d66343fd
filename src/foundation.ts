import { type CallCoordinator, createCoordinatorClient } from "./coordinator/client.ts";
import type { JobCoordinator } from "./coordinator/job-coordinator.ts";
import { createRateLimits, type RateLimitCounters, type RateLimits } from "./http/rate-limit.ts";
import { createGuards, type Guards } from "./identity/guards.ts";
import { createRefusals, type Refusals } from "./identity/refusals.ts";
import { createIdentity, type Identity } from "./identity/service.ts";
import { createTokens, type Tokens } from "./identity/tokens.ts";
import type { Clock } from "./lib/clock.ts";
import type { Config } from "./lib/config.ts";

export interface AppDeps {
  d1: D1Database;
  bucket: R2Bucket;
  coordinators: DurableObjectNamespace<JobCoordinator>;
  rateLimitCounters: RateLimitCounters;
  config: Config;
  clock: Clock;
}

/** What all parts of the surface share, made once per isolate: who somebody is must be one answer. */
export interface Foundation extends AppDeps {
  tokens: Tokens;
  identity: Identity;
  limits: RateLimits;
  refusals: Refusals;
  guards: Guards;
  callCoordinator: CallCoordinator;
}

export async function createFoundation(deps: AppDeps): Promise<Foundation> {
  const { coordinators, rateLimitCounters, config, clock } = deps;
  const tokens = await createTokens(config.tokenSecrets, clock);
  const identity = createIdentity({ tokens, clock });
  const limits = createRateLimits(rateLimitCounters, config.rateLimitScale, clock);
  const refusals = createRefusals({ clock });
  const guards = createGuards({ identity, limits, refusals });
  const callCoordinator = createCoordinatorClient(coordinators);
  return { ...deps, tokens, identity, limits, refusals, guards, callCoordinator };
}
