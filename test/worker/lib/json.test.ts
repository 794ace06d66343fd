/** Reading request bodies: exact numbers, and the members of an object as they are written. */
import fc from "fast-check";
import { describe, onTestFinished, test, vi } from "vitest";
import { parseJsonBody } from "../../../src/lib/exact-json.ts";
import { canonicalJson, countMembers, findMember, sameJson } from "../../../src/lib/json.ts";

describe("parseJsonBody", () => {
  test.for([
    [
      '{"a":[1,{"b":9007199254740992}]}',
      "a.1.b must be at most 9007199254740991 (2^53 - 1): larger integers are not exact",
    ],
    [
      '{"a":-9007199254740993}',
      "a must be at least -9007199254740991 (2^53 - 1): larger integers are not exact",
    ],
    ['{"a":1e400}', "a is a number too large to represent"],
    [`{"a":${"9".repeat(400)}}`, "a is a number too large to represent"],
    ['{"b":{"":-1e999},"a":9007199254740993}', "b. is a number too large to represent"],
    ["[1]", "The body must be a JSON object"],
    ["null", "The body must be a JSON object"],
    ['{"a":01}', "The body is not valid JSON"],
    ["", "The body is not valid JSON"],
    [`{"a":${"[".repeat(101)}${"]".repeat(101)}}`, "The body is nested more than 100 levels deep"],
    [`{"a":${"[".repeat(500_000)}`, "The body is nested more than 100 levels deep"],
    ['{"a":"', "The body is not valid JSON"],
  ] as const)("%.60s is refused: %s", ([text, sentence], { expect }) => {
    const read = parseJsonBody(text);
    const { field, message } = read.ok ? { field: null, message: "" } : read.fault;
    expect(field === null ? message : `${field} ${message}`).toBe(sentence);
  });

  test.for([
    '{"a":9007199254740991,"b":-9007199254740991}',
    '{"a":1e20,"b":9007199254740993.0,"c":1.8446744073709552e19}',
    '{"a":0.12345678901234567,"b":1e-400,"c":-0}',
    '{"a":1e400,"a":1}',
    `{"a":${"[".repeat(99)}${"]".repeat(99)}}`,
  ])("%s is read", (text, { expect }) => {
    expect(parseJsonBody(text)).toEqual({ ok: true, value: JSON.parse(text) });
  });
});

describe("values of a body", () => {
  const refused =
    "The body must hold at most 50,000 JSON values: numbers, texts, lists and objects";

  /** A body of so many values in all; the body and the list are two of them. */
  const bodyOf = (values: number, each: string, space = "") =>
    `{"list":[${Array(values - 2)
      .fill(each)
      .join(`${space},${space}`)}]}`;

  test.for(["1e1", '"a,[{\\""', "null", "[ ]", "{\n}"])(
    "50,000 are read, one more is refused: %s",
    (each, { expect }) => {
      expect(parseJsonBody(bodyOf(50_000, each, " \n"))).toMatchObject({ ok: true });
      expect(parseJsonBody(bodyOf(50_001, each))).toMatchObject({
        ok: false,
        fault: { field: null, message: refused },
      });
    },
  );

  test("values are counted at any depth; keys are none", ({ expect }) => {
    const inner = JSON.stringify({ a: 1, b: [2], c: {} }); // five values
    expect(parseJsonBody(`{"l":[${Array(9_999).fill(inner).join()},1,1,1]}`).ok).toBe(true);
    expect(parseJsonBody(`{"l":[${Array(9_999).fill(inner).join()},1,1,1,1]}`).ok).toBe(false);
  });

  test("a refusal builds nothing: the text is not even parsed", ({ expect }) => {
    const parse = vi.spyOn(JSON, "parse");
    onTestFinished(() => void parse.mockRestore());
    expect(parseJsonBody(bodyOf(262_144, "1e1")).ok).toBe(false);
    expect(parseJsonBody(`{"a":${"[".repeat(101)}`).ok).toBe(false);
    expect(parse).not.toHaveBeenCalled();
  });
});

describe("findMember", () => {
  test.for([
    ['{"results": {"a" : 1.0 }\n, "z": 2}', '{"a" : 1.0 }', 1],
    ['{"z":{"results":1},"results":[{"a":{"b":[]}},{"c":0}]}', '[{"a":{"b":[]}},{"c":0}]', 3],
    ['{"results":1,"results":{"a":1,"a":2}}', '{"a":1,"a":2}', 2],
    ['{"\\u0072esults":"}\\\\\\",:{"}', '"}\\\\\\",:{"', 0],
    ['{ "x" : "results" , "results" :\tnull }', "null", 0],
  ] as const)("%s", ([text, value, members], { expect }) => {
    expect(findMember(text, "results")).toEqual({ text: value, members });
  });

  test("null for a name that is only deeper, or only a value", ({ expect }) => {
    expect(findMember('{"a":{"results":1},"b":"results"}', "results")).toBeNull();
    expect(findMember("{}", "results")).toBeNull();
  });

  test("whatever an object holds: the text of its last member of that name, and every member in it", ({
    expect,
  }) => {
    const name = fc.constantFrom("results", "x", 'a"b', "", "\\", "{:,}");
    const value = fc.jsonValue({ maxDepth: 4 });
    const space = fc.constantFrom("", " ", "\n\t", "\r\n  ");
    fc.assert(
      fc.property(
        fc.array(fc.tuple(name, value, fc.nat(4))),
        fc.tuple(space, space, space, space),
        (members, [before, between, after, end]) => {
          const parts = members.map(
            ([key, inner, indent]) =>
              `${before}${JSON.stringify(key)}${between}:${after}${JSON.stringify(inner, null, indent)}`,
          );
          const text = `{${parts.join(`${end},`)}${end}}`;
          const last = members.findLast(([key]) => key === "results");
          const found = findMember(text, "results");
          if (last === undefined) {
            expect(found).toBeNull();
          } else {
            const [, inner, indent] = last;
            const written = JSON.stringify(inner, null, indent);
            expect(found).toEqual({ text: written, members: countMembers(inner) });
          }
        },
      ),
    );
  });
});

test("values are the same but for the order of keys exactly when their canonical texts are", ({
  expect,
}) => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
      expect(canonicalJson(one)).toBe(canonicalJson(reversed(one)));
      expect(JSON.parse(canonicalJson(one))).toEqual(JSON.parse(JSON.stringify(one)));
      expect(sameJson(one, reversed(one))).toBe(true);
      expect(sameJson(one, other)).toBe(canonicalJson(one) === canonicalJson(other));
    }),
  );
  expect(sameJson({ a: undefined }, { b: undefined })).toBe(false);
  expect(sameJson([], {})).toBe(false);
  expect(canonicalJson({ b: -0, a: [undefined, "\u2028"], c: undefined })).toBe(
    '{"a":[null,"\u2028"],"b":0}',
  );
});

/** The same value with the keys of each object in the opposite order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).reverse();
  return Object.fromEntries(entries.map(([key, inner]) => [key, reversed(inner)]));
}
