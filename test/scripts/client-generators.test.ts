/** What `npm run clients` can do without a network. */
import { tmpdir } from "node:os";
import { afterEach, expect, test, vi } from "vitest";
import { runnerIn } from "../../scripts/lib/client-bench.ts";
import { firstCallOf, GENERATORS } from "../../scripts/lib/client-generators.ts";

afterEach(() => vi.unstubAllEnvs());

test("every generator that the guide names has its first call there", () => {
  expect(GENERATORS.map(({ name }) => name)).toEqual([
    "openapi-typescript",
    "hey-api",
    "openapi-python-client",
    "oapi-codegen",
    "ogen",
    ...["typescript-fetch", "python", "go", "java", "rust"].map(
      (target) => `openapi-generator-${target}`,
    ),
  ]);
  for (const { name } of GENERATORS) expect(firstCallOf(name)).toContain("ASSAY_TOKEN");
});

test("where a language is missing, its generators are skipped and say what is not installed", () => {
  vi.stubEnv("PATH", "");
  const reasons = Object.fromEntries(GENERATORS.map((one) => [one.name, one.missing()]));
  expect(reasons).toEqual({
    "openapi-typescript": null,
    "hey-api": null,
    "openapi-python-client": "python3 is not installed",
    "oapi-codegen": "go is not installed",
    ogen: "go is not installed",
    "openapi-generator-typescript-fetch": "not installed: java, python3",
    "openapi-generator-python": "not installed: java, python3",
    "openapi-generator-go": "not installed: java, python3, go",
    "openapi-generator-java": "not installed: java, python3, javac, mvn",
    "openapi-generator-rust": "not installed: java, python3, cargo",
  });
});

test("a signal ends the command that runs", async () => {
  const stop = new AbortController();
  const run = runnerIn(tmpdir(), stop.signal);
  const running = run([process.execPath, "-e", "setInterval(() => {}, 1000)"]);
  stop.abort();
  await expect(running).rejects.toThrow(/abort/i);
});
