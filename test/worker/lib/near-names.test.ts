/** Which misspelt name means which known one, and which honest names mean none. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { nearestName } from "../../../src/lib/near-names.ts";

const KNOWN = [
  ...["page", "per_page", "cursor", "name", "tags", "sort_by", "sort_order", "state", "archived"],
  ...["benchmark_id", "machine_uuid", "job_id", "created_after", "search", "sort", "direction"],
];

describe("near", () => {
  test.for([
    ...[
      ["pages", "page"],
      ["pge", "page"],
      ["age", "page"],
      ["pagee", "page"],
      ["paeg", "page"],
      ["Page", "page"],
    ],
    ...[
      ["PER_PAGE", "per_page"],
      ["perPage", "per_page"],
      ["per-page", "per_page"],
      ["perpages", "per_page"],
    ],
    ...[
      ["tag", "tags"],
      ["Tags", "tags"],
      ["tagss", "tags"],
      ["tasg", "tags"],
      ["names", "name"],
    ],
    ...[
      ["status", "state"],
      ["states", "state"],
      ["stat", "state"],
      ["sate", "state"],
    ],
    ...[
      ["benchmark", "benchmark_id"],
      ["benchmarks", "benchmark_id"],
      ["benchmark_uuid", "benchmark_id"],
    ],
    ...[
      ["machine", "machine_uuid"],
      ["machine_id", "machine_uuid"],
      ["job", "job_id"],
      ["jobs", "job_id"],
    ],
    ...[
      ["createdAfter", "created_after"],
      ["created_aftr", "created_after"],
      ["archive", "archived"],
    ],
    ...[
      ["sortBy", "sort_by"],
      ["sort_bye", "sort_by"],
      ["serach", "search"],
      ["directon", "direction"],
    ],
  ] as const)("%s → %s", ([sent, meant], { expect }) => {
    expect(nearestName(sent, KNOWN)).toBe(meant);
  });
});

test("unrelated: what honest clients, proxies and trackers add", ({ expect }) => {
  for (const sent of [
    ...[
      "_",
      "t",
      "ts",
      "v",
      "q",
      "id",
      "date",
      "note",
      "mode",
      "size",
      "time",
      "lang",
      "type",
      "user",
      "rate",
    ],
    ...[
      "utm_source",
      "utm_medium",
      "utm_campaign",
      "gclid",
      "fbclid",
      "nocache",
      "cachebust",
      "callback",
      "rand",
    ],
    ...[
      "limit",
      "offset",
      "fields",
      "format",
      "pretty",
      "debug",
      "token",
      "access_token",
      "api_key",
      "request_id",
    ],
    ...[
      "page_size",
      "order",
      "filter",
      "expand",
      "include",
      "spec",
      "runner",
      "task_id",
      "wait",
      "created_at",
      "",
    ],
  ])
    expect(nearestName(sent, KNOWN), sent).toBeNull();
});

test("a known name means itself, however near another one is", ({ expect }) => {
  for (const name of ["tag", "tags"]) expect(nearestName(name, ["tag", "tags"])).toBeNull();
  expect(nearestName("tagz", ["tags", "tag"])).toBe("tags");
});

test("one edit of a name of five letters or more is near; a long name costs nothing", ({
  expect,
}) => {
  const edited = fc
    .tuple(
      fc.constantFrom(...KNOWN.filter(({ length }) => length >= 5)),
      fc.nat(),
      fc.constantFrom(..."xyz"),
      fc.nat(1),
    )
    .map(([name, at, letter, removed]) => {
      const place = at % (name.length + 1);
      return name.slice(0, place) + letter + name.slice(place + removed);
    })
    .filter((name) => !KNOWN.includes(name));
  fc.assert(fc.property(edited, (name) => nearestName(name, KNOWN) !== null));
  const start = performance.now();
  for (let n = 0; n < 100; n++) nearestName("page".repeat(20_000), KNOWN);
  expect(performance.now() - start).toBeLessThan(10_000);
});
