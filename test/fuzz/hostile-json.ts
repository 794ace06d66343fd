/** Hostile JSON: raw text in place of one value or of the whole body. */

/** Replacements of one value. */
export const HOSTILE_JSON: readonly string[] = [
  "null",
  "true",
  "false",
  "0",
  "-0",
  "-1",
  "1.5",
  "2.0",
  '"2"',
  "256",
  "257",
  "2147483648",
  "9007199254740991",
  "9007199254740992",
  "9007199254740993",
  "1e999",
  "-1e999",
  "1e-999",
  "123456789012345678901234567890",
  "1E400",
  "0.1e1",
  "1e20",
  '""',
  '" "',
  '"\\u0000"',
  '"\\ud800"',
  '"a\\udc00b"',
  '"\\ud83d\\ude00"',
  '"\\u202e"',
  '"\ufeff"',
  '"\\n"',
  '"\u2028"',
  "[]",
  "[null]",
  "[[]]",
  "{}",
  '{"__proto__":{"polluted":true}}',
  '{"constructor":null}',
  '{"toString":1,"valueOf":2,"then":3,"length":-1}',
  '{"":""}',
  '{"a":1,"a":"2"}',
  '"quick_mark"',
  '"2024-03-15"',
  '"2024-02-30T00:00:00Z"',
  '"9999-12-31T23:59:60Z"',
  '"+275760-09-13T00:00:00Z"',
  '"0000-01-01T00:00:00Z"',
  '"1969-12-31T23:59:59Z"',
  '"256.1.1.1"',
  '"::ffff:1.2.3.4"',
  '"[::1]:0"',
  '"host:99999"',
  '"00000000000000000000"',
  `"${"x".repeat(10_000)}"`,
  `"${"é".repeat(5_000)}"`,
  `"${"💥".repeat(300)}"`,
  `[${Array.from({ length: 3_000 }, () => "0").join()}]`,
  `[${Array.from({ length: 400 }, () => '"a"').join()}]`,
  `{${Array.from({ length: 2_000 }, (_unused, n) => `"k${n}":${n}`).join()}}`,
  `{"${"k".repeat(5_000)}":1}`,
  nested(50),
  nested(101),
  nested(20_000),
  `${'{"a":'.repeat(101)}1${"}".repeat(101)}`,
];

/** Replacements of the whole body. */
export const BROKEN_JSON: readonly string[] = [
  "{",
  "}",
  "{}}",
  "[",
  '"',
  '{"a":}',
  "{a:1}",
  "{'a':1}",
  '{"a":1,}',
  "[1,]",
  "{}{}",
  "nul",
  "NaN",
  "Infinity",
  "undefined",
  "01",
  "+1",
  ".5",
  "1.",
  "0x1",
  '{"a":"\t"}',
  '"\\x41"',
  "// comment\n{}",
  "null",
  "true",
  "7",
  '"text"',
  "[]",
  "[{}]",
  "{}",
  '{"":{}}',
  "\ufeff{}",
  '{"__proto__":null}',
  '{"__proto__":{"name":"x"}}',
  '{"constructor":{"prototype":{}}}',
  nested(5_000),
  `${"[".repeat(100_000)}`,
];

function nested(levels: number): string {
  return "[".repeat(levels) + "]".repeat(levels);
}

interface Spoiler {
  label: string;
  spoil(text: string): string;
}

/** Changes to the text of a valid object. */
export const spoilEveryWay: readonly Spoiler[] = [
  { label: "cut in the middle", spoil: (text) => text.slice(0, Math.floor(text.length / 2)) },
  { label: "rubbish behind", spoil: (text) => `${text}x` },
  { label: "twice", spoil: (text) => text + text },
  { label: "a byte order mark before", spoil: (text) => `\ufeff${text}` },
  { label: "in a list", spoil: (text) => `[${text}]` },
  { label: "as a string", spoil: (text) => JSON.stringify(text) },
  { label: "every key twice", spoil: (text) => doubled(text) },
  { label: "an unknown key", spoil: (text) => added(text, '"unknown_key":{"a":[1]}') },
  { label: "__proto__", spoil: (text) => added(text, '"__proto__":{"node_count":9,"role":"x"}') },
  { label: "constructor", spoil: (text) => added(text, '"constructor":{"prototype":{"x":1}}') },
  { label: "a key of NUL", spoil: (text) => added(text, '"\\u0000":1') },
  { label: "a key of half a character", spoil: (text) => added(text, '"\\ud800":1') },
  {
    label: "an inexact number aside",
    spoil: (text) => added(text, '"x":[{"y":9007199254740993}]'),
  },
  { label: "white space all over", spoil: (text) => text.replaceAll(",", " \n\t, ") },
];

function added(text: string, member: string): string {
  return text === "{}" ? `{${member}}` : text.replace(/\}$/, () => `,${member}}`);
}

/** Repeats every key, first with null, because the last of two equal keys counts. */
function doubled(text: string): string {
  const members = Object.keys(JSON.parse(text) ?? {}).map((key) => `${JSON.stringify(key)}:null`);
  return members.length === 0 ? text : text.replace(/^\{/, () => `{${members.join()},`);
}

/** The JSON of a value with raw text in place of its part number `place`; the whole value is part 0. */
export function atPlace(value: unknown, place: number, raw: string): string {
  const count = countPlaces(value);
  const chosen = place % count;
  let at = 0;
  const write = (node: unknown): string => {
    if (at++ === chosen) return raw;
    if (Array.isArray(node)) return `[${node.map(write).join()}]`;
    if (typeof node !== "object" || node === null) return JSON.stringify(node) ?? "null";
    const members = Object.entries(node).map(([key, inner]) => {
      return `${JSON.stringify(key)}:${write(inner)}`;
    });
    return `{${members.join()}}`;
  };
  return write(value);
}

function countPlaces(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce<number>((sum, inner) => sum + countPlaces(inner), 1);
}
