import { OpenAPIHono } from "@hono/zod-openapi";
import { getPath } from "hono/utils/url";
import { createCoordinatorClient } from "./coordinator/client.ts";
import type { JobCoordinator } from "./coordinator/job-coordinator.ts";
import { ping } from "./db/client.ts";
import type { RequestEnv } from "./http/context.ts";
import { singleJson } from "./http/entity-tag.ts";
import { ApiError, unavailable } from "./http/errors.ts";
import { healthRoute } from "./http/health.ts";
import { indexPage } from "./http/index-page.ts";
import { unknownRoute } from "./http/methods.ts";
import { onError } from "./http/on-error.ts";
import { createRateLimits, type RateLimitCounters } from "./http/rate-limit.ts";
import { surface } from "./http/surface.ts";
import { throwOnInvalid } from "./http/validation.ts";
import { versionRoute } from "./http/version.ts";
import { createApiTokensRouter } from "./identity/api-tokens/router.ts";
import { createApiTokensService } from "./identity/api-tokens/service.ts";
import { createAuditRouter } from "./identity/audit-trail/router.ts";
import { createCustomersRouter } from "./identity/customers/router.ts";
import { createCustomersService } from "./identity/customers/service.ts";
import { createGuards } from "./identity/guards.ts";
import { createPeopleRouter } from "./identity/people/router.ts";
import { createPeopleService } from "./identity/people/service.ts";
import { createRefusals } from "./identity/refusals.ts";
import { createIdentity } from "./identity/service.ts";
import { createSignInRouter } from "./identity/sign-in/router.ts";
import { createSignInService } from "./identity/sign-in/service.ts";
import { createTokens } from "./identity/tokens.ts";
import { createAnonymousReader } from "./jobs/anonymous/reading.ts";
import { createAnonymousJobsRouter } from "./jobs/anonymous/router.ts";
import { createResultArchive } from "./jobs/result-archive.ts";
import { createJobsRouter } from "./jobs/router.ts";
import { createJobsService } from "./jobs/service.ts";
import { createJobStatsRouter } from "./jobs/stats/router.ts";
import { createTasksRouter } from "./jobs/tasks/router.ts";
import { createTasksService } from "./jobs/tasks/service.ts";
import type { Clock } from "./lib/clock.ts";
import type { Config } from "./lib/config.ts";
import { createJobIdSource } from "./lib/ids.ts";
import { PRODUCT, RELEASE } from "./lib/release.ts";
import { createNodesRouter } from "./nodes/router.ts";
import { createNodesService } from "./nodes/service.ts";
import { createReportLinks } from "./reports/links.ts";
import { createReportsRouter } from "./reports/router.ts";
import { createReportsService } from "./reports/service.ts";
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

export interface AppDeps {
  d1: D1Database;
  bucket: R2Bucket;
  coordinators: DurableObjectNamespace<JobCoordinator>;
  rateLimitCounters: RateLimitCounters;
  config: Config;
  clock: Clock;
}

/** The whole HTTP surface: middleware in order, then one mount per resource. Made once per isolate. */
export async function createApp(deps: AppDeps) {
  const { d1, bucket, coordinators, rateLimitCounters, config, clock } = deps;
  const tokens = await createTokens(config.tokenSecrets, clock);
  const identity = createIdentity({ tokens, clock });
  const signIns = createSignInService({
    ...{ identity, tokens, clock },
    pepper: config.passwordPepper,
    failureScale: config.rateLimitScale,
  });
  const people = createPeopleService({ identity, tokens, clock, pepper: config.passwordPepper });
  const apiTokens = createApiTokensService({ identity, tokens, clock });
  const customers = createCustomersService({ clock });
  const limits = createRateLimits(rateLimitCounters, config.rateLimitScale, clock);
  const refusals = createRefusals({ clock });
  const guards = createGuards({ identity, limits, refusals });
  const callCoordinator = createCoordinatorClient(coordinators);
  const jobIds = createJobIdSource(clock);
  const resultArchive = createResultArchive(bucket);
  const links = createReportLinks(config.tokenSecrets, clock);
  const reports = createReportsService({
    ...{ bucket, links, clock },
    thresholds: config.rating,
    restore: resultArchive.restore,
  });
  const jobs = createJobsService({
    ...{ tokens, clock, jobIds, callCoordinator, resultArchive },
    reports,
  });
  const tasks = createTasksService({ callCoordinator, resultArchive });
  const nodes = createNodesService({ callCoordinator, reports });
  const readAnonymous = createAnonymousReader({ jobs, clock });
  const specs = createSpecsService({ clock, timeoutMs: config.nodeTimeoutMs });
  const keyring = createKeyring({ clock, timeoutMs: config.nodeTimeoutMs });
  const runners = createRunnersService({ clock, keyring });
  const candidates = createCandidates({ clock });
  const claims = createClaims({ tokens, clock, keyring, candidates, callCoordinator });

  const app = new OpenAPIHono<RequestEnv>({ defaultHook: throwOnInvalid, getPath: normalizedPath });
  app.onError(async (error, c) => {
    if (error instanceof ApiError && error.code === "PERMISSION_DENIED") {
      await refusals.note(c, "permission_denied");
    }
    return onError(error, c);
  });
  app.notFound(unknownRoute(app));
  app.use(surface({ app, d1, clock, serverTiming: config.isDevelopment }));

  app.route("/", createSignInRouter({ signIns, limits }));
  // Before the jobs: `current` is a word, not a job's id.
  app.route("/", createNodesRouter({ nodes, readAnonymous, guards, limits }));
  app.route("/", createAnonymousJobsRouter({ jobs, guards }));
  // Before what takes an id: `stats` is a word.
  app.route("/", createJobStatsRouter({ guards }));
  app.route("/", createJobsRouter({ jobs, guards, limits, links }));
  app.route("/", createTasksRouter({ tasks, guards, links }));
  app.route("/", createReportsRouter({ reports, links, bucket, guards }));
  app.route("/", createBaselinesRouter({ guards, clock, thresholds: config.rating }));
  app.route("/", createSpecsRouter({ specs, guards }));
  app.route("/", createCustomersRouter({ customers, guards }));
  app.route("/", createPeopleRouter({ people, guards, limits }));
  app.route("/", createApiTokensRouter({ apiTokens, guards }));
  app.route("/", createAuditRouter({ guards }));
  app.route("/", createRunnersRouter({ runners, guards, clock, timeoutMs: config.nodeTimeoutMs }));
  const runnerGuard = createRunnerGuard({ guards, limits, keyring, clock });
  app.route("/", createClaimRouter({ claims, guard: runnerGuard }));

  app.get("/", guards.open, indexPage({ name: "Assay", version: RELEASE, description: PRODUCT }));
  app.openapi({ ...healthRoute, middleware: guards.open }, async (c) => {
    try {
      await ping(c.get("databases").primary);
    } catch (error) {
      throw unavailable(5, error);
    }
    c.header("Cache-Control", "no-store");
    return c.json({ status: "ok" as const }, 200);
  });
  app.openapi({ ...versionRoute, middleware: guards.open }, (c) =>
    c.json({ version: RELEASE }, 200),
  );
  // Built when it is first asked for, of parts that nothing else needs, and kept as text.
  let document: Promise<string> | undefined;
  app.get("/openapi.json", guards.open, async (c) => {
    document ??= import("./openapi.ts").then(({ servedDocument }) => servedDocument(app));
    return singleJson(c, await document);
  });
  return app;
}

/** Empty path segments are dropped (contract §1): real command-line clients send `//v0/specs`. */
function normalizedPath(request: Request): string {
  const path = getPath(request);
  if (!path.includes("//") && (path === "/" || !path.endsWith("/"))) return path;
  return `/${path.split("/").filter(Boolean).join("/")}`;
}
