import { OpenAPIHono } from "@hono/zod-openapi";
import { getPath } from "hono/utils/url";
import { ping } from "./db/client.ts";
import { type AppDeps, createFoundation, type Foundation } from "./foundation.ts";
import type { RequestEnv } from "./http/context.ts";
import { singleJson } from "./http/entity-tag.ts";
import { ApiError, unavailable } from "./http/errors.ts";
import { healthRoute } from "./http/health.ts";
import { indexPage } from "./http/index-page.ts";
import { unknownRoute } from "./http/methods.ts";
import { onError } from "./http/on-error.ts";
import { surface } from "./http/surface.ts";
import { throwOnInvalid } from "./http/validation.ts";
import { createAnonymousReader } from "./jobs/anonymous/reading.ts";
import { createAnonymousJobsRouter } from "./jobs/anonymous/router.ts";
import { createResultArchive } from "./jobs/result-archive.ts";
import { createJobsRouter } from "./jobs/router.ts";
import { createJobsService } from "./jobs/service.ts";
import { createJobStatsRouter } from "./jobs/stats/router.ts";
import { createTasksRouter } from "./jobs/tasks/router.ts";
import { createTasksService } from "./jobs/tasks/service.ts";
import { createJobIdSource } from "./lib/ids.ts";
import { PRODUCT, RELEASE } from "./lib/release.ts";
import { createNodesRouter } from "./nodes/router.ts";
import { createNodesService } from "./nodes/service.ts";
import { createReportLinks } from "./reports/links.ts";
import { createReportsRouter } from "./reports/router.ts";
import { createReportsService } from "./reports/service.ts";

export type { AppDeps } from "./foundation.ts";

export type App = OpenAPIHono<RequestEnv>;

/** The whole HTTP surface in one: for the API document, and for tests. */
export async function createApp(deps: AppDeps): Promise<App> {
  return createWholeApp(await createFoundation(deps));
}

export interface Surface {
  fetch(request: Request, env: Env, ctx: ExecutionContext): Promise<Response>;
}

/** The surface as an isolate serves it, in two halves: each is made with the first request for it. */
export async function createSurface(deps: AppDeps): Promise<Surface> {
  const foundation = await createFoundation(deps);
  let jobs: App | undefined;
  let administration: Promise<App> | undefined;
  const half = (request: Request): App | Promise<App> => {
    if (isAdministration(normalizedPath(request))) {
      administration ??= createAdministration(foundation);
      return administration;
    }
    jobs ??= createJobsApp(foundation);
    return jobs;
  };
  return {
    fetch: async (request, env, ctx) => (await half(request)).fetch(request, env, ctx),
  };
}

function createJobsApp(foundation: Foundation): App {
  const app = createBareApp(foundation);
  mountJobs(app, foundation);
  return app;
}

async function createAdministration(foundation: Foundation): Promise<App> {
  const { mountAdministration } = await import("./administration.ts");
  const app = createBareApp(foundation);
  mountAdministration(app, foundation);
  return app;
}

async function createWholeApp(foundation: Foundation): Promise<App> {
  const { mountAdministration } = await import("./administration.ts");
  const app = createBareApp(foundation);
  mountAdministration(app, foundation);
  mountJobs(app, foundation);
  return app;
}

const API = "/api/silicon-mark/v1";
const ADMINISTRATION = [
  "/v0",
  "/token",
  "/password",
  "/api/user",
  `${API}/specs`,
  `${API}/baselines`,
];

function isAdministration(path: string): boolean {
  return ADMINISTRATION.some(
    (prefix) =>
      path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === "/"),
  );
}

/** What surrounds every request, without a route. */
function createBareApp({ refusals, d1, clock, config }: Foundation): App {
  const app = new OpenAPIHono<RequestEnv>({ defaultHook: throwOnInvalid, getPath: normalizedPath });
  app.onError(async (error, c) => {
    if (error instanceof ApiError && error.code === "PERMISSION_DENIED") {
      await refusals.note(c, "permission_denied");
    }
    return onError(error, c);
  });
  app.notFound(unknownRoute(app));
  app.use(surface({ app, d1, clock, serverTiming: config.isDevelopment }));
  return app;
}

/** Jobs, tasks, their reports, the node protocol, and the service itself. */
function mountJobs(app: App, foundation: Foundation): void {
  const { tokens, limits, guards, callCoordinator, bucket, config, clock } = foundation;
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

  // Before the jobs: `current` is a word, not a job's id.
  app.route("/", createNodesRouter({ nodes, readAnonymous, guards, limits }));
  app.route("/", createAnonymousJobsRouter({ jobs, guards }));
  // Before what takes an id: `stats` is a word.
  app.route("/", createJobStatsRouter({ guards }));
  app.route("/", createJobsRouter({ jobs, guards, limits, links }));
  app.route("/", createTasksRouter({ tasks, guards, links }));
  app.route("/", createReportsRouter({ reports, links, bucket, guards }));

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
  // Built when it is first asked for, of parts that nothing else needs, and kept as text.
  let document: Promise<string> | undefined;
  app.get("/openapi.json", guards.open, async (c) => {
    document ??= describe(foundation);
    return singleJson(c, await document);
  });
}

async function describe(foundation: Foundation): Promise<string> {
  const { servedDocument } = await import("./openapi.ts");
  return servedDocument(await createWholeApp(foundation));
}

/** Empty path segments are dropped (contract §1): real command-line clients send `//v0/specs`. */
function normalizedPath(request: Request): string {
  const path = getPath(request);
  if (!path.includes("//") && (path === "/" || !path.endsWith("/"))) return path;
  return `/${path.split("/").filter(Boolean).join("/")}`;
}
