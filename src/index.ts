import { createApp } from "./app.ts";
import { systemClock } from "./lib/clock.ts";
import { readConfig } from "./lib/config.ts";

export { JobCoordinator } from "./coordinator/job-coordinator.ts";
export { Lobby } from "./lobbies/lobby.ts";

/** The app of this isolate, whose bindings never change. */
let app: ReturnType<typeof createApp> | undefined;

function appOf(env: Env): ReturnType<typeof createApp> {
  app ??= createApp({
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
  });
  return app;
}

export default {
  async fetch(request, env, ctx) {
    return (await appOf(env)).fetch(request, env, ctx);
  },

  async scheduled(_controller, env) {
    // Loaded only here, since no request needs it.
    const { runTick } = await import("./maintenance/tick.ts");
    await runTick({
      d1: env.DB,
      bucket: env.BUCKET,
      assets: env.ASSETS,
      coordinators: env.COORDINATOR,
      lobbies: env.LOBBY,
      config: readConfig(env),
      clock: systemClock,
    });
  },
} satisfies ExportedHandler<Env>;
