/**
 * The product with the first rooms of its routes alone, all loaded at the start: what a route adds to the bundle and to the
 * start-up. The product itself loads most of them later (`src/app.ts`).
 */
import type { Hono } from "hono";
import { HonoBase } from "hono/hono-base";
import type { RequestEnv } from "../../src/http/context.ts";
import { SegmentRouter } from "../../src/http/router.ts";
import { mount, type Served } from "../../src/http/serve.ts";
import { createServices, depsOf, type Services } from "../../src/services.ts";

export { JobCoordinator } from "../../src/coordinator/job-coordinator.ts";
export { Lobby } from "../../src/lobbies/lobby.ts";

/** Number of rooms that are built in: a constant of the build, so that the code of the others is left out. */
declare const ROOMS: number;

async function routesOf(services: Services): Promise<Served[]> {
  const routes: Served[] = [];
  if (ROOMS > 0) {
    const { serviceRoutes } = await import("../../src/service/router.ts");
    routes.push(...serviceRoutes());
  }
  if (ROOMS > 1) {
    const { claimRoutes } = await import("../../src/runners/claim-router.ts");
    const { nodesRoutes } = await import("../../src/nodes/router.ts");
    routes.push(...claimRoutes(services), ...nodesRoutes(services));
  }
  if (ROOMS > 2) {
    const { jobsRoutes } = await import("../../src/jobs/router.ts");
    routes.push(...jobsRoutes(services));
  }
  if (ROOMS > 3) {
    const { administrationRoutes } = await import("../../src/administration.ts");
    routes.push(...administrationRoutes(services));
  }
  return routes;
}

let made: Promise<{ app: Hono<RequestEnv>; routes: number }> | undefined;

async function make(env: Env) {
  const services = await createServices(depsOf(env));
  const app = new HonoBase<RequestEnv>({ router: new SegmentRouter() });
  const routes = await routesOf(services);
  mount(app, services, routes);
  return { app, routes: routes.length };
}

export default {
  /** Answers the number of routes, once they are mounted. */
  async fetch(_request, env) {
    made ??= make(env);
    return new Response(String((await made).routes));
  },
} satisfies ExportedHandler<Env>;
