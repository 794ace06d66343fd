import { createCoordinatorClient, WATCHING } from "./coordinator/client.ts";
import type { JobCoordinator } from "./coordinator/job-coordinator.ts";
import { type RateLimitCounters, RateLimits } from "./http/rate-limit.ts";
import { Authenticator, jobGuards, personGuards } from "./identity/guards.ts";
import { Refusals } from "./identity/refusals.ts";
import { Identity } from "./identity/service.ts";
import { Suspects } from "./identity/suspects.ts";
import { createTokens } from "./identity/tokens.ts";
import { createAnonymousReader } from "./jobs/anonymous/reading.ts";
import { JobsService } from "./jobs/service.ts";
import { type Clock, systemClock } from "./lib/clock.ts";
import { type Config, readConfig } from "./lib/config.ts";
import { JobIdSource } from "./lib/ids.ts";
import type { LobbyNamespace } from "./lobbies/client.ts";
import { createWaker } from "./lobbies/wake.ts";
import { NodesService } from "./nodes/service.ts";
import { ReportLinks } from "./reports/links.ts";
import { Candidates } from "./runners/candidates.ts";
import { Claims } from "./runners/claims.ts";
import { RunnerAuth } from "./runners/runner-auth.ts";
import { createRunnerGuard } from "./runners/runner-guard.ts";

export interface ServiceDeps {
  d1: D1Database;
  bucket: R2Bucket;
  /** The static files of `public/`. */
  assets: Fetcher;
  coordinators: DurableObjectNamespace<JobCoordinator>;
  lobbies: LobbyNamespace;
  rateLimitCounters: RateLimitCounters;
  config: Config;
  clock: Clock;
}

/** The bindings and settings of a Worker. */
export function depsOf(env: Env): ServiceDeps {
  return {
    d1: env.DB,
    bucket: env.BUCKET,
    assets: env.ASSETS,
    coordinators: env.COORDINATOR,
    lobbies: env.LOBBY,
    rateLimitCounters: {
      user: env.LIMIT_USER,
      "node-2": env.LIMIT_NODE_2,
      "node-12": env.LIMIT_NODE_12,
      "node-64": env.LIMIT_NODE_64,
      node: env.LIMIT_NODE,
      runner: env.LIMIT_RUNNER,
      address: env.LIMIT_ADDRESS,
      anonymous: env.LIMIT_ANONYMOUS,
      "sign-in-address": env.LIMIT_SIGN_IN_ADDRESS,
      "sign-in-account": env.LIMIT_SIGN_IN_ACCOUNT,
      report: env.LIMIT_REPORT,
    },
    config: readConfig(env),
    clock: systemClock,
  };
}

export type Services = Awaited<ReturnType<typeof createServices>>;

/** Whatever holds dependencies or memory and serves requests, made once per isolate. */
export async function createServices(deps: ServiceDeps) {
  const { bucket, assets, coordinators, lobbies, rateLimitCounters, config, clock } = deps;
  const { passwordPepper: pepper, nodeTimeoutMs: timeoutMs, quotas } = config;
  const tokens = await createTokens(config.tokenSecrets, clock);
  const identity = new Identity({ tokens, clock });
  const limits = new RateLimits(rateLimitCounters, config.rateLimitScale, clock);
  const refusals = new Refusals(clock);
  const suspects = new Suspects({ limits, clock });
  const authenticator = new Authenticator({ identity, limits, refusals, suspects });
  const callCoordinator = createCoordinatorClient(coordinators);

  const watchCoordinator = createCoordinatorClient(coordinators, WATCHING);

  const runnerAuth = new RunnerAuth({ clock, timeoutMs });
  const wakeRunners = createWaker(deps.d1, lobbies);
  const candidates = new Candidates(clock, timeoutMs);
  const claims = new Claims({
    tokens,
    clock,
    runnerAuth,
    candidates,
    callCoordinator,
    wakeRunners,
  });
  const runner = createRunnerGuard({ authenticator, limits, runnerAuth, suspects });

  const links = new ReportLinks(config.tokenSecrets, clock);
  const { rating: thresholds, reportSeeds: seeds } = config;
  const jobIds = new JobIdSource(clock);
  const stores = { callCoordinator, r2: bucket };
  const jobs = new JobsService({ tokens, clock, jobIds, ...stores, quotas });
  const readAnonymous = createAnonymousReader({ jobs, clock });
  const nodes = new NodesService({ tokens, callCoordinator });

  return {
    bucket,
    assets,
    clock,
    pepper,
    setupToken: config.setupToken,
    failureScale: config.rateLimitScale,
    tokens,
    identity,
    runnerAuth,
    thresholds,
    seeds,
    timeoutMs,
    guards: {
      ...personGuards(authenticator, clock),
      ...jobGuards(authenticator, limits),
      runner,
    },
    limits,
    refusals,
    links,
    watchCoordinator,
    callCoordinator,
    claims,
    lobbies,
    wakeRunners,
    jobs,
    readAnonymous,
    stores,
    nodes,
  };
}
