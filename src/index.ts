import { createSurface } from "./app.ts";
import { systemClock } from "./lib/clock.ts";
import { readConfig } from "./lib/config.ts";

export { JobCoordinator } from "./coordinator/job-coordinator.ts";

/** One per isolate; the bindings of an isolate never change. */
let surface: ReturnType<typeof createSurface> | undefined;

function surfaceOf(env: Env): ReturnType<typeof createSurface> {
  surface ??= createSurface({
    d1: env.DB,
    bucket: env.BUCKET,
    coordinators: env.COORDINATOR,
    rateLimitCounters: {
      user: env.LIMIT_USER,
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
  return surface;
}

export default {
  async fetch(request, env, ctx) {
    return (await surfaceOf(env)).fetch(request, env, ctx);
  },

  async scheduled(_controller, env) {
    // No request needs it.
    const { runTick } = await import("./maintenance/tick.ts");
    const { DB: d1, BUCKET: bucket, COORDINATOR: coordinators } = env;
    await runTick({ d1, bucket, coordinators, config: readConfig(env), clock: systemClock });
  },
} satisfies ExportedHandler<Env>;
