/** The texts of the API document, and the order of its operations, as the reference shows them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";

interface Operation {
  operationId: string;
  tags: string[];
  summary: string;
  description: string;
}

interface Document {
  paths: Record<string, Record<string, Operation>>;
  tags: { name: string }[];
  components: { schemas: Record<string, { enum?: string[]; description?: string }> };
}

const {
  paths,
  tags,
  components: { schemas },
}: Document = JSON.parse(readFileSync(join(ROOT, "openapi.json"), "utf8"));
const operations = Object.entries(paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({
    ...operation,
    tag: operation.tags[0] ?? "",
    call: `${method} ${path}`,
  })),
);

/** A new verb is added here once it says what its operation does. */
const VERBS =
  `Changes Checks Claims Counts Creates Deletes Ends Lists Makes Offers Opens Reads Removes Replaces Reports
  Returns Revokes Sets Signs Stores Streams Tells Withdraws`.split(/\s+/);
const COST =
  /\bcosts?\b|\breads? (?:one counter|as much|all (?:match|pages|runners|jobs that))|\bmatch(?:es|ing entries) are counted\b/i;

describe.each(operations)("$operationId", ({ summary, description }) => {
  test("has a summary of one sentence", () => {
    expect(summary).toMatch(/^[A-Z][^.\n]{3,59}$/);
  });

  test("is described first by what it does", () => {
    expect(VERBS).toContain(description.split(" ")[0]);
    expect(description.split("\n")[0]).toMatch(/\.$/);
  });

  test("states costs at the end alone, and marks them", () => {
    const paragraphs = description.split("\n\n");
    const about = paragraphs.filter((paragraph) => COST.test(paragraph));
    const marked = paragraphs.filter((paragraph) => paragraph.startsWith("**Cost.** "));
    expect(about).toEqual(marked);
    if (marked.length > 0) expect(marked).toEqual(paragraphs.slice(-1));
  });
});

describe("the order", () => {
  test("is that of the tags, each in one piece", () => {
    const order = operations.map(({ tag }) => tag).filter((tag, at, all) => tag !== all[at - 1]);
    expect(order).toEqual(tags.map(({ name }) => name));
  });

  const GROUPS = [
    ["Jobs", "/api/silicon-mark/v1/jobs"],
    ["Benchmarks", "/api/silicon-mark/v1/benchmarks"],
    ["Scoreboard", "/api/silicon-mark/v1/baselines"],
    ["Hardware specs", "/v0/specs"],
    ["Customers", "/v0/customers"],
    ["People", "/v0/users"],
    ["API tokens", "/v0/users/{user}/tokens"],
    ["API keys", "/v0/users/{user}/keys"],
    ["Audit log", "/v0/audit"],
    ["Runners", "/v0/runners"],
  ];
  test.each(GROUPS)(
    "of %s is to create, list, get, change and delete, then the rest",
    (tag, path) => {
      const own = operations.filter((operation) => operation.tag === tag);
      const one = own
        .map(({ call }) => call.slice(call.indexOf(" ") + 1))
        .find(
          (each) =>
            each.startsWith(`${path}/{`) && /^(?:\/\{\w+\})+$/.test(each.slice(path?.length)),
        );
      const wanted = [
        `post ${path}`,
        `get ${path}`,
        ...["get", "put", "patch", "delete"].map((method) => `${method} ${one}`),
      ];
      const calls = own.map(({ call }) => call);
      const there = wanted.filter((call) => calls.includes(call));
      expect(there.length).toBeGreaterThan(0);
      expect(calls.slice(0, there.length)).toEqual(there);
    },
  );
});

test("each kind of finding is explained", () => {
  const { enum: kinds = [], description = "" } = schemas.FindingKind ?? {};
  expect(kinds.length).toBeGreaterThan(5);
  for (const kind of kinds) expect(description).toContain(`\`${kind}\`: `);
});
