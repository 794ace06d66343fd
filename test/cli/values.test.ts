/** Times, sizes and text as people write and read them. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createEventReader } from "../../cli/src/api/events.ts";
import { splitLine } from "../../cli/src/completion/complete.ts";
import { EXIT_CODES, WORST_FIRST, worstOf } from "../../cli/src/exit-codes.ts";
import { table } from "../../cli/src/output/table.ts";
import { cutTo, plain, widthOf } from "../../cli/src/output/text.ts";
import { parseHost } from "../../cli/src/session/credentials.ts";
import { parseSize, showSize } from "../../cli/src/values/size.ts";
import { parseDate, parseDuration } from "../../cli/src/values/time.ts";

const NOW = Date.parse("2026-11-22T10:00:00Z");

test.each([
  ["2d", "2026-11-20T10:00:00.000Z"],
  ["90m", "2026-11-22T08:30:00.000Z"],
  ["1w", "2026-11-15T10:00:00.000Z"],
  ["2026-11-01", "2026-11-01"],
  ["2026-11-01T10:00:00Z", "2026-11-01T10:00:00Z"],
  ["2026-11-01T10:00:00+02:00", "2026-11-01T10:00:00+02:00"],
])("the date %s is %s", (text, date) => {
  expect(parseDate(text, NOW)).toBe(date);
});

test.each(["", "d", "2", "-2d", "2 days", "yesterday", "2026-13-01", "2026-11-1", "999999999w"])(
  "%j is no date",
  (text) => {
    expect(parseDate(text, NOW)).toBeNull();
  },
);

test("durations are a number and a unit", () => {
  expect(["90s", "5m", "12h", "30d", "2w"].map(parseDuration)).toEqual([
    90, 300, 43_200, 2_592_000, 1_209_600,
  ]);
  expect(["", "5", "5y", "1.5h", "-5s"].map(parseDuration)).toEqual(Array(5).fill(null));
});

test.each([
  ["512GiB", 549_755_813_888],
  ["512 gib", 549_755_813_888],
  ["1.5TiB", 1_649_267_441_664],
  ["500GB", 500_000_000_000],
  ["1024", 1_024],
  ["9007199254740991", Number.MAX_SAFE_INTEGER],
])("the size %s is %i bytes", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test.each(["", "GiB", "512XiB", "-1", "1e3", "0.3B", "9007199254740992", "100PiB", "5G"])(
  "%j is no size",
  (text) => {
    expect(parseSize(text)).toBeNull();
  },
);

test("sizes are shown in their largest unit", () => {
  expect([1, 1_024, 1.5 * 2 ** 40, 240_518_168_576].map(showSize)).toEqual([
    "1 B",
    "1 KiB",
    "1.5 TiB",
    "224 GiB",
  ]);
});

describe("exit codes", () => {
  test("the worst of several wins, in the order 130, 1, 3, 4, 0", () => {
    expect(WORST_FIRST).toEqual([130, 1, 3, 4, 0]);
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...WORST_FIRST), { minLength: 1 }), (codes) => {
        const ranks = codes.map((code) => WORST_FIRST.indexOf(code));
        expect(WORST_FIRST.indexOf(worstOf(codes))).toBe(Math.min(...ranks));
      }),
    );
    expect(worstOf([])).toBe(0);
  });

  test("stand in one table, each once", () => {
    expect(EXIT_CODES.map(({ code }) => code)).toEqual([0, 1, 2, 3, 4, 69, 77, 130]);
  });
});

describe("text for terminals", () => {
  test("no text of others moves the cursor, changes colours or turns around", () => {
    const evil = "a\x1b[31m\x1b]0;title\x07b\u202ec\r\nd\x9b2J\u2066e";
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
    expect(plain(evil)).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
        expect(plain(text)).not.toMatch(/[\x00-\x1f\x7f-\x9f]/);
      }),
    );
  });

  test("wide characters take two cells, marks none", () => {
    expect([widthOf("abc"), widthOf("機械"), widthOf("e\u0301")]).toEqual([3, 4, 1]);
  });

  test("a cut line is never wider than asked for", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.integer({ min: 1, max: 40 }),
        (text, cells) => {
          expect(widthOf(cutTo(text, cells))).toBeLessThanOrEqual(cells);
        },
      ),
    );
  });

  test("a table has its columns one above the other, numbers to the right", () => {
    const columns = [
      { title: "Name", of: (row: [string, number | null]) => row[0] },
      { title: "Count", of: (row: [string, number | null]) => row[1] },
      { title: "Last", of: () => "x" },
    ];
    expect(
      table(columns, [
        ["機械", 5],
        ["b\n\x1b[1mc", null],
      ]),
    ).toEqual(["Name     Count  Last", "機械         5  x", "b �[1mc      –  x"]);
  });
});

test.each([
  ["https://assay.example/", "https://assay.example"],
  ["assay.example", "https://assay.example"],
  ["localhost:8787", "http://localhost:8787"],
  ["127.0.0.1:8787", "http://127.0.0.1:8787"],
])("the host %s is %s", (text, host) => {
  expect(parseHost(text)).toBe(host);
});

test.each(["https://a:b@assay.example", "https://assay.example/v0", "https://", "http://a b"])(
  "%s is no host",
  (text) => {
    expect(() => parseHost(text)).toThrow();
  },
);

describe("server-sent events", () => {
  const stream =
    'retry: 2000\n\n: comment\n\nid: 1\nevent: event\ndata: {"a":\ndata: 1}\n\nevent: end\r\ndata: {}\r\n\r\n';
  const events = [
    { event: "event", data: '{"a":\n1}', id: "1" },
    { event: "end", data: "{}", id: "1" },
  ];

  test("are the same however their bytes are cut into pieces", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: stream.length })), (cuts) => {
        const reader = createEventReader();
        const places = [0, ...cuts.toSorted((a, b) => a - b), stream.length];
        const read = places.slice(1).flatMap((to, at) => reader.feed(stream.slice(places[at], to)));
        expect(read).toEqual(events);
        expect(reader.lastId).toBe("1");
      }),
    );
  });

  test("without an end are refused", () => {
    expect(() => createEventReader().feed("x".repeat(2 ** 20 + 1))).toThrow();
  });
});

test("a command line is split as shells do", () => {
  expect(splitLine(`assay job list --name "a b" --tag 'c"d' e\\ f `)).toEqual([
    "assay",
    "job",
    "list",
    "--name",
    "a b",
    "--tag",
    'c"d',
    "e f",
    "",
  ]);
  expect(splitLine("assay job li")).toEqual(["assay", "job", "li"]);
});
