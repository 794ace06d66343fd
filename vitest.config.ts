import { cloudflareTest, readD1Migrations } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    // The request log is part of the product, not of the tests' output.
    onConsoleLog: (line) => !line.startsWith('{"level":"info"'),
    projects: [
      {
        plugins: [
          cloudflareTest(async () => ({
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: {
              bindings: {
                TEST_MIGRATIONS: await readD1Migrations("migrations"),
                TOKEN_SECRET: "test-secret-of-at-least-thirty-two-characters",
                ...(process.env.FUZZ === undefined ? {} : { FUZZ: JSON.parse(process.env.FUZZ) }),
              },
            },
          })),
        ],
        test: {
          name: "worker",
          include: ["test/worker/**/*.test.ts"],
          setupFiles: ["./test/worker/setup.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "node",
          include: ["agent", "chaos", "e2e", "fuzz"].map((folder) => `test/${folder}/**/*.test.ts`),
          testTimeout: 240_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
