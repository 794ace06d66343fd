import { createApp } from "./app.ts";
import { systemClock } from "./lib/clock.ts";
import { readConfig } from "./lib/config.ts";
import { depsOf } from "./services.ts";

export { JobCoordinator } from "./coordinator/job-coordinator.ts";
export { Lobby } from "./lobbies/lobby.ts";

/** The app of this isolate, whose bindings never change. */
let app: ReturnType<typeof createApp> | undefined;

function appOf(env: Env): ReturnType<typeof createApp> {
  app ??= createApp(depsOf(env));
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
