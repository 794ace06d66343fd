/** The end of `npm run test:all`, and what becomes of tests of pages without a browser. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";
import { describeSkipped, skippedTests } from "../../scripts/lib/skipped-tests.ts";

const of = (...states: string[]) => states.map((status) => ({ status }));

test("skipped tests are counted by file", () => {
  const report = {
    testResults: [
      { name: "/x/test/b.test.ts", assertionResults: of("passed", "skipped", "skipped") },
      { name: "/x/test/a.test.ts", assertionResults: of("pending") },
      { name: "/x/test/c.test.ts", assertionResults: of("passed") },
    ],
  };
  const files = skippedTests(report, "/x");
  expect(describeSkipped(files)).toBe("\nSkipped: 3\n    1  test/a.test.ts\n    2  test/b.test.ts");
  expect(describeSkipped([])).toBe("\nNo test was skipped.");
});

/** Runs `withBrowser` with an environment of its own. */
function ask(env: Record<string, string>) {
  const module = join(ROOT, "test/e2e/browser.ts");
  const script = `import { withBrowser } from ${JSON.stringify(module)}; console.log(withBrowser());`;
  const args = ["--input-type=module", "--eval", script];
  return spawnSync(process.execPath, args, {
    cwd: ROOT,
    encoding: "utf8",
    env: { PATH: "/nowhere", ...env },
  });
}

test("without a browser pages are not tested, which is a failure where one is required", () => {
  const lenient = ask({});
  expect(lenient.stdout).toBe("false\n");
  expect(lenient.stderr).toContain("Pages are not tested");
  const strict = ask({ ASSAY_REQUIRE_BROWSER: "1" });
  expect(strict.status).not.toBe(0);
  expect(strict.stderr).toContain("Pages must be tested (ASSAY_REQUIRE_BROWSER=1)");
  expect(ask({ ASSAY_REQUIRE_BROWSER: "1", CHROMIUM: "/bin/true" }).stdout).toBe("true\n");
});
