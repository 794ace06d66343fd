/** The pages as the server shows them: `npm run build` publishes README and docs/ below /docs. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";

const PUBLIC = join(ROOT, "public");
const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1));
const sources = filesOf(join(ROOT, "docs"));
const pages = ["readme.md", ...sources.filter((name) => name.endsWith(".md"))];

test("every file of docs/ is published in its place, guides too", () => {
  expect(sources).toContain("guide/containers.md");
  expect(filesOf(join(PUBLIC, "docs"))).toEqual(expect.arrayContaining(sources));
});

describe.each(pages)("docs/%s", (page) => {
  const text = readFileSync(join(PUBLIC, "docs", page), "utf8");
  const links = [...text.matchAll(/\]\(([^)\s#]+)(#[^)]*)?\)/g)].map(([, target = ""]) => target);
  const own = links.filter((target) => !/^[a-z]+:/.test(target));

  test("has links to files that are published alone", () => {
    const missing = own.filter((target) => {
      const at = target.startsWith("/") ? target : join("/docs", dirname(page), target);
      return !existsSync(join(PUBLIC, at));
    });
    expect(missing).toEqual([]);
  });
});

describe.each(sources.filter((name) => name.endsWith(".md")))("the source docs/%s", (page) => {
  test("has links to files of the repository alone", () => {
    const text = readFileSync(join(ROOT, "docs", page), "utf8");
    const links = [...text.matchAll(/\]\(([^)\s#]+)(#[^)]*)?\)/g)].map(([, to = ""]) => to);
    const missing = links.filter(
      (to) => !/^[a-z]+:|^\//.test(to) && !existsSync(join(ROOT, "docs", dirname(page), to)),
    );
    expect(missing).toEqual([]);
  });
});
