/** What the first page of the console costs, and that it names nothing outside the deployment. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";

/** Of the page, its style and its scripts. */
const MAX_FIRST_PAGE_KIB = 120;

const read = (path: string) => readFileSync(join(ROOT, "public", path));
const page = read("console.html").toString();

test("the first page has at most 120 KiB, compressed", () => {
  const parts = [...page.matchAll(/(?:href|src)="\/(assets\/[^"]+)"/g)].map(
    ([, path = ""]) => path,
  );
  expect(parts.length).toBeGreaterThanOrEqual(2);
  const files = ["console.html", ...parts];
  const bytes = files.reduce((sum, path) => sum + gzipSync(read(path)).length, 0);
  expect(bytes / 1_024).toBeLessThan(MAX_FIRST_PAGE_KIB);
  // Without the parts of later pages, it would be no first page.
  expect(parts.some((path) => path.includes("uPlot") || path.includes("machine-page"))).toBe(false);
});

test("the page has no script or style of its own, and every address in it is the deployment's", () => {
  expect(page).not.toMatch(/<script(?![^>]*\ssrc=)/);
  expect(page).not.toMatch(/<style|\sstyle=|\son[a-z]+=/);
  expect(page).not.toMatch(/https?:\/\//);
});

test("the policy of the console lets in nothing from elsewhere", () => {
  const headers = read("_headers").toString();
  const rules = headers.split("\n\n").filter((rule) => /^\/console(\/\*)?\n/.test(rule));
  expect(rules).toHaveLength(2);
  for (const rule of rules) {
    expect(rule).toContain(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'",
    );
    expect(rule).toContain("connect-src 'self'");
    expect(rule).toContain("trusted-types 'none'");
    expect(rule).not.toContain("unsafe");
  }
});
