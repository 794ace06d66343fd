/** The bounds that docs/operations.md names are where it says, so that an operator can change them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");

/** Such as "`MAX_VALUES`, `MAX_DEPTH` in `lib/exact-json.ts`". */
const PLACES = /((?:`[A-Z][A-Z_]+`(?:, )?)+) in `([\w/-]+\.ts)`/g;

const places = [...read("docs/operations.md").matchAll(PLACES)].flatMap(
  ([, names = "", path = ""]) =>
    [...names.matchAll(/[A-Z_]+/g)].map(([name]): [string, string] => [name, path]),
);

test("there are such bounds", ({ expect }) => {
  expect(places.length).toBeGreaterThan(20);
});

test.for(places)("%s is in src/%s", ([name, path], { expect }) => {
  expect(read(`src/${path}`)).toMatch(new RegExp(`^(?:export )?const ${name}\\b.*=`, "m"));
});
