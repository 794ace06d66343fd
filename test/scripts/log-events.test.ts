/** The table in docs/operations.md lists every event of the Worker's log, with its level, and no other. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";

test("every event is in the operator's table, with its level, and the table has no other", () => {
  const src = join(ROOT, "src");
  const files = readdirSync(src, { recursive: true, encoding: "utf8" });
  const written = files
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) => {
      const text = readFileSync(join(src, file), "utf8");
      return [...text.matchAll(/\blogEvent\(\s*"(\w+)",\s*"(\w+)"/g)];
    })
    .map(([, level, event]) => `${event}: ${level}`);
  const page = readFileSync(join(ROOT, "docs", "operations.md"), "utf8");
  const listed = [...page.matchAll(/^\| `(\w+)` \| (info|warn|error) \|/gm)].map(
    ([, event, level]) => `${event}: ${level}`,
  );
  expect(listed.toSorted()).toEqual([...new Set(written)].toSorted());
});

test("nothing but logEvent writes to the log", () => {
  const src = join(ROOT, "src");
  const files = readdirSync(src, { recursive: true, encoding: "utf8" });
  const others = files.filter(
    (file) =>
      file.endsWith(".ts") &&
      file !== join("lib", "log.ts") &&
      /\bconsole\./.test(readFileSync(join(src, file), "utf8")),
  );
  expect(others).toEqual([]);
});
