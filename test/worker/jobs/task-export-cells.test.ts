/** Cells of the CSV export, as spreadsheets read them: with every separator, with and without quotes. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { MAX_SHOWN_MESSAGE } from "../../../src/coordinator/wire/task.ts";
import { toCsvCell } from "../../../src/jobs/tasks/export.ts";
import { call, join } from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import { flushed } from "../harness/instruments.ts";

const SEPARATORS = [",", ";", "\t", "|", " "];
const INVISIBLE = /^[\s"\p{C}]+/u;

/** Reads as spreadsheets do: a quote opens a field only at its start, and what follows the closing one belongs to it. */
function parse(text: string, separator: string, quotes: boolean): string[] {
  const fields: string[] = [];
  let field = "";
  let isQuoted = false;
  let isStart = true;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? "";
    if (isQuoted) {
      if (char !== '"') field += char;
      else if (text[at + 1] === '"') field += text[++at];
      else isQuoted = false;
    } else if (quotes && isStart && char === '"') {
      isQuoted = true;
      isStart = false;
    } else if (char === separator || char === "\n" || char === "\r") {
      fields.push(field);
      field = "";
      isStart = true;
    } else {
      field += char;
      isStart = false;
    }
  }
  return [...fields, field];
}

/** Between spaces a sign is a formula's only before a call or a program, up to the next cell; a number is none. */
function isFormula(field: string, separator: string): boolean {
  const seen = field.replace(INVISIBLE, "");
  if (/^-?\d+(\.\d+)?$/.test(field)) return false;
  if (separator === " ") return /^(?:[=@＝＠]\S|[+\-＋－][^\s,]*[(|!])/u.test(seen);
  return /^[=+\-@＝＋－＠]/u.test(seen);
}

/** The formulas in a line of the export that has this text in two of its cells. */
function formulasIn(text: string): string[] {
  const cells = ["7554621440", text, 0, text, -1.5, null, "2024-03-15T10:30:00.000Z"];
  const lines = `${cells.map(toCsvCell).join()}\r\n`.repeat(2);
  return SEPARATORS.flatMap((separator) =>
    [true, false].flatMap((quotes) =>
      parse(lines, separator, quotes).filter((field) => isFormula(field, separator)),
    ),
  );
}

const STARTS = ["=", "+", "-", "@", "＝", "＋", "－", "＠"];
const ATTACKS = STARTS.map((start) => `${start}HYPERLINK("http://x","y")`);

describe("no field is a formula", () => {
  test.for(SEPARATORS)("after %j", (separator, { expect }) => {
    for (const attack of [...ATTACKS, "=cmd|'/C calc'!A0", "@SUM(1)", "-2+3+cmd|'/C calc'!A0"]) {
      for (const before of [
        "",
        " ",
        '"',
        '""',
        "\t",
        "\r",
        "\n",
        "\r\n",
        "\0",
        "\uFEFF",
        "\u200B",
        ' "',
      ])
        for (const honest of ["", "x", 'say "hi"', "a b", "1"])
          for (const text of [
            honest + separator + before + attack,
            `${honest}"${separator}${before}${attack}"`,
            before + attack + separator + before + attack,
          ])
            expect(formulasIn(text), JSON.stringify(text)).toEqual([]);
    }
  });

  test("whatever is in the text", ({ expect }) => {
    const pieces = [
      ...SEPARATORS,
      ...STARTS,
      '"',
      "'",
      "\r",
      "\n",
      "\0",
      "\uFEFF",
      "\u2028",
      "a",
      "1",
    ];
    const text = fc.array(fc.constantFrom(...pieces, "x(", "|y", "!A0"), { maxLength: 12 });
    fc.assert(
      fc.property(text, (parts) => {
        expect(formulasIn(parts.join(""))).toEqual([]);
      }),
      { numRuns: 5_000 },
    );
  });
});

test("the export of a node that gives up with a formula", async ({ expect }) => {
  const job = await createJob();
  const taskId = (await join(job)).body.id;
  const failed_message = 'no GPU;=HYPERLINK("http://x")\t@SUM(1)\n=1+1';
  const body = { state: "failed", failed_message };
  await call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body });
  await flushed(job);
  const headers = { accept: "text/csv" };
  const { text } = await call("GET", "/tasks", { token: job.owner.token, headers });
  expect(text).toContain(`,"no GPU;'=HYPERLINK(""http://x"")\t'@SUM(1)\n'=1+1",`);
});

describe("honest text", () => {
  test.for([
    "NVIDIA H100 80GB HBM3",
    "exit code -1",
    "nvidia-smi -q failed; see dmesg",
    "a - b, c = d",
    "10.0.0.1:5000, fe80::1",
    "power 300-400 W; 50 % | ok",
    "two\nlines",
    "ECC: 3 errors (+2)",
    "日本語、テスト",
  ])("%j stays as it is", (text, { expect }) => {
    expect(parse(toCsvCell(text), ",", true).join("\n")).toBe(text);
  });

  test("loses nothing: without the apostrophes it is the text", ({ expect }) => {
    const text = fc.string({ unit: fc.constantFrom(...'ab;,|=+-@\t\n "') });
    fc.assert(
      fc.property(text, (sent) => {
        const csv = toCsvCell(sent);
        const read = csv.startsWith('"') ? csv.slice(1, -1).replaceAll('""', '"') : csv;
        expect(read.replaceAll("'", "")).toBe(sent);
      }),
    );
  });

  test("numbers are numbers", ({ expect }) => {
    expect([-1.5, 0, 1e21, null].map(toCsvCell)).toEqual(["-1.5", "0", "1e+21", ""]);
  });
});

test("a long text costs time in proportion, and fits a cell of a spreadsheet", ({ expect }) => {
  const longest = MAX_SHOWN_MESSAGE; // of `failed_message`, the longest column
  for (const piece of ["\n", ";", " ", '"', "=", ";=", " =", ' "', "-", "\0"]) {
    const text = piece.repeat(200_000 / piece.length);
    const start = performance.now();
    toCsvCell(text);
    expect(performance.now() - start, JSON.stringify(piece)).toBeLessThan(20_000);
    expect(toCsvCell(text.slice(0, longest)).length).toBeLessThan(32_767);
  }
});
