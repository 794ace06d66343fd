import type { MiddlewareHandler } from "hono";
import { HonoBase } from "hono/hono-base";
import { getPath } from "hono/utils/url";
import type { App, RequestEnv } from "./http/context.ts";
import { ApiError, onError } from "./http/errors.ts";
import { unknownRoute } from "./http/methods.ts";
import type { Pages } from "./http/pages.ts";
import { pipeline } from "./http/pipeline.ts";
import { SegmentRouter } from "./http/router.ts";
import { limitAddress, mount, type Served } from "./http/serve.ts";
import { jobsRoutes } from "./jobs/router.ts";
import { channelRoutes } from "./nodes/channel.ts";
import { nodesRoutes } from "./nodes/router.ts";
import { claimRoutes } from "./runners/claim-router.ts";
import { indexPage, serviceRoutes } from "./service/router.ts";
import { createServices, type ServiceDeps, type Services } from "./services.ts";

/** Paths of the administration, which load with the first request to one of them. */
const ADMINISTRATION =
  /^\/(?:cli$|v0\/(?!server\/version$|runners\/[^/]+\/(?:jobs|channel)$)|password$|setup$|token$|\.well-known\/assay|token\/|api\/(?:user\/|silicon-mark\/v1\/(?:specs$|tasks|machines|comparison$|baselines|reports\/|shared\/|jobs\/(?:anonymous$|[^/]+\/(?:shares|report$|generate-report$)))))/;

/** The whole API. Make it once per isolate: its services share caches of callers. */
export async function createApp(deps: ServiceDeps): Promise<App> {
  const services = await createServices(deps);
  let administration: Promise<App> | undefined;
  const load = async () => {
    const { mountAdministration } = await import("./administration.ts");
    return assemble(deps, services, (app) => mountAdministration(app, services, deps.assets));
  };
  return assemble(
    deps,
    services,
    (app) => mountAll(app, services, deps.assets),
    async (c, next) => {
      if (!ADMINISTRATION.test(c.req.path)) return next();
      administration ??= load();
      return (await administration).fetch(c.req.raw, c.env);
    },
  );
}

/** An app with the whole path of a request. `first` sees each request before anything else does. */
function assemble(
  deps: ServiceDeps,
  services: Services,
  addRoutes: (app: App) => void,
  first?: MiddlewareHandler<RequestEnv>,
): App {
  const app: App = new HonoBase<RequestEnv>({
    router: new SegmentRouter(),
    getPath: normalizedPath,
  });
  app.onError(async (error, c) => {
    if (error instanceof ApiError && error.code === "PERMISSION_DENIED") {
      await services.refusals.note(c, "permission_denied");
    }
    return onError(error, c);
  });
  app.notFound(unknownRoute(app, deps.assets));
  const { d1, clock, config } = deps;
  const { site, isDevelopment: serverTiming, routineLogOneIn } = config;
  if (first !== undefined) app.use(first);
  app.use(pipeline({ app, d1, clock, site, serverTiming, routineLogOneIn }));
  addRoutes(app);
  return app;
}

function mountAll(app: App, services: Services, pages: Pages): void {
  mount(app, services, routesOf(services));
  app.get("/", limitAddress(services.limits, "address"), indexPage(pages));
}

/** Every operation, for the build of the API document. */
export async function describedRoutes(deps: ServiceDeps): Promise<Served[]> {
  const services = await createServices(deps);
  const { administrationRoutes } = await import("./administration.ts");
  return [...routesOf(services), ...administrationRoutes(services)];
}

function routesOf(services: Services): Served[] {
  return [
    ...claimRoutes(services),
    // Before the jobs, whose `{id}` would match `current`.
    ...nodesRoutes(services),
    ...channelRoutes(services),
    ...jobsRoutes(services),
    ...serviceRoutes(),
  ];
}

/** Drops empty path segments (docs/contract.md, "HTTP rules"), since command-line clients send `//v0/specs`. */
function normalizedPath(request: Request): string {
  const path = getPath(request);
  if (!path.includes("//") && (path === "/" || !path.endsWith("/"))) return path;
  return `/${path.split("/").filter(Boolean).join("/")}`;
}
