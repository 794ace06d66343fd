import { availableParallelism } from "node:os";
import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { PATIENCE, patient } from "./test/patience.ts";
import { watchRunners } from "./test/quiet-runners.ts";

/** Tests that take minutes: `npm test` leaves them out, `npm run test:long` runs nothing else. */
const LONG = "**/*.long.test.ts";

/** Tests that take many minutes or wait for real ones: `npm run test:slow` alone runs them. */
const SLOW = "**/*.slow.test.ts";

/** Tests that run inside workerd, beside the Worker. */
const inWorker = {
  setupFiles: ["./test/worker/setup.ts"],
  testTimeout: patient(180_000),
  hookTimeout: patient(180_000),
};

/** Tests that run in Node: the agent, and the stack from outside. */
const inNode = {
  testTimeout: patient(240_000),
  hookTimeout: patient(120_000),
  // Wrangler's own default, for the commands that these tests run.
  env: { WRANGLER_LOG: "log" },
};

/** @param bindings settings that differ from those of `wrangler.toml` */
function workerd(bindings: Record<string, string> = {}) {
  return cloudflareTest(async () => {
    // Wrangler would warn of the secrets that are set below.
    process.env.WRANGLER_LOG = "error";
    return {
      wrangler: { configPath: "./wrangler.toml" },
      // Of itself, workerd speaks only of connections that end with a test.
      verbose: false,
      miniflare: {
        bindings: {
          ...bindings,
          // Tests read the costs of every request from its line.
          ROUTINE_LOG_ONE_IN: "1",
          TEST_MIGRATIONS: await readD1Migrations("migrations"),
          TOKEN_SECRET: "test-secret-of-at-least-thirty-two-characters",
          // The seed of RFC 8032's first example.
          REPORT_SIGNING_KEY: "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
          ASSAY_TEST_PATIENCE: String(PATIENCE),
          ...(process.env.FUZZ === undefined ? {} : { FUZZ: JSON.parse(process.env.FUZZ) }),
        },
      },
    };
  });
}

export default defineConfig({
  test: {
    // The Worker's log is part of the product, not of the tests' output.
    onConsoleLog: (line) => !line.startsWith('{"level":"'),
    maxWorkers: availableParallelism(),
    // A file has a workerd of its own: databases and objects are not shared. Vitest advises against that.
    experimental: { diagnostics: { isolate: false } },
    projects: [
      {
        plugins: [workerd(), watchRunners()],
        test: {
          ...inWorker,
          name: "worker",
          include: ["test/worker/**/*.test.ts"],
          exclude: [LONG, SLOW],
        },
      },
      {
        // Many clients at once: whether they are held up by limits is no part of these tests.
        plugins: [workerd({ RATE_LIMIT_SCALE: "1000" }), watchRunners()],
        test: {
          ...inWorker,
          name: "worker-long",
          include: [`test/worker/${LONG}`],
          testTimeout: patient(600_000),
        },
      },
      {
        test: {
          ...inNode,
          name: "node",
          include: ["test/{agent,cli,console,e2e,fuzz,scripts}/**/*.test.ts"],
          exclude: [LONG, SLOW],
        },
      },
      {
        test: { ...inNode, name: "node-long", include: [`test/{agent,chaos,e2e,fuzz}/${LONG}`] },
      },
      {
        plugins: [workerd({ RATE_LIMIT_SCALE: "1000" }), watchRunners()],
        test: {
          ...inWorker,
          name: "worker-slow",
          include: [`test/worker/${SLOW}`],
          testTimeout: patient(1_200_000),
        },
      },
      {
        test: { ...inNode, name: "node-slow", include: [`test/e2e/${SLOW}`] },
      },
    ],
  },
});
