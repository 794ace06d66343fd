/** Faults of hostile and careless clients; each spoils a valid request in one way. */
import fc from "fast-check";
import type { Operation } from "./document.ts";
import {
  bodyText,
  type Draft,
  encodePairs,
  formFields,
  isForm,
  pathOf,
  percentEncode,
} from "./draft.ts";
import { atPlace, BROKEN_JSON, HOSTILE_JSON, spoilEveryWay } from "./hostile-json.ts";
import type { WireRequest } from "./wire.ts";

export interface Fault {
  label: string;
  apply(operation: Operation, draft: Draft, wire: WireRequest): WireRequest;
}

const encoder = new TextEncoder();
const MIB = 1_024 * 1_024;

const withBody = (wire: WireRequest, body: Uint8Array | string | null, chunked = false) => ({
  ...wire,
  body: typeof body === "string" ? encoder.encode(body) : body,
  chunked,
});
const withHeaders = (wire: WireRequest, headers: Record<string, string>) => ({
  ...wire,
  headers: { ...wire.headers, ...headers },
});
const without = (wire: WireRequest, header: string) => {
  const { [header]: _gone, ...headers } = wire.headers;
  return { ...wire, headers };
};
const withQuery = (operation: Operation, draft: Draft, wire: WireRequest, query: string) => ({
  ...wire,
  target: `${pathOf(operation, draft)}?${query}`,
});

/** Invalid texts for numbers, ids and names. */
const ODD_TEXTS = [
  "",
  "0",
  "-1",
  "-0",
  "+1",
  "1.0",
  "1e3",
  "0x10",
  "007",
  " 1",
  "1 ",
  "١٢",
  "１２",
  "NaN",
  "9007199254740991",
  "9007199254740992",
  "9007199254740993",
  "99999999999999999999",
  "1e999",
  "null",
  "undefined",
  "TRUE",
  "true ",
  "[]",
  "{}",
  "%",
  "%00",
  "\0",
  "\n",
  "\ud800",
  "💥",
  "../../token",
  "..",
  ".",
  "a/b",
  "a\\b",
  "%2e%2e%2f",
  "' OR 1=1 --",
  "__proto__",
  "current",
  "00000000-0000-0000-0000-000000000000",
  "9".repeat(400),
  "é".repeat(600),
  "*",
  "?",
  "#",
];

/** Invalid or unusual percent-encoding. */
const BROKEN_ENCODING = [
  "%",
  "%z",
  "%zz",
  "%ff",
  "%c3%28",
  "%ed%a0%80",
  "%00",
  "%u0041",
  "+",
  "%25",
];

const CONTENT_TYPES = [
  "text/plain",
  "application/jsonx",
  "application/xml",
  "multipart/form-data",
  "text/json",
  "multipart/form-data; boundary=x",
  "application/json; charset=utf-16",
  "application/",
  ";",
  "application/x-www-form-urlencoded",
  "application/json",
  "APPLICATION/JSON",
  "",
  "*/*",
  "a b",
  "application/merge-patch+json",
  "application/json, text/plain",
  `a/${"b".repeat(4_000)}`,
];

const AUTHORIZATIONS = [
  "",
  "Bearer",
  "Bearer ",
  "Bearer a b",
  "Basic YTpi",
  "Bearer eyJhbGciOiJub25lIn0.e30.",
  "x",
  "Bearer a.b.c",
  "Bearer é",
  "bearer .",
  "Bearer ..",
  `Bearer ${"a".repeat(8_000)}`,
  "Token 1",
  `Bearer ${"e30.".repeat(3)}`,
];

const HEADERS: Record<string, string>[] = [
  { "x-request-id": "" },
  { "x-request-id": "a b" },
  { "x-request-id": "é".repeat(200) },
  { "x-d1-bookmark": "not one" },
  { "x-d1-bookmark": "00000000-00000000-00000000-00000000000000000000000000000000" },
  { "idempotency-key": "" },
  { "idempotency-key": "a b" },
  { "idempotency-key": "k".repeat(256) },
  { "if-none-match": "*" },
  { "if-none-match": '"' },
  { "if-match": '"nothing"' },
  { "if-match": 'W/"nothing", "else"' },
  { "if-modified-since": "yesterday" },
  { range: "bytes=0-1" },
  { expect: "100-continue" },
  { accept: "text/nothing" },
  { "accept-encoding": "nonsense" },
  { "accept-language": "\xff" },
  { origin: "null" },
  { "x-forwarded-for": "1.1.1.1, \xff" },
  { "cf-connecting-ip": "not an address" },
  { "x-http-method-override": "DELETE" },
  { "x-long": "y".repeat(8_000) },
  { cookie: "a=b; ".repeat(500) },
];

/** Faults that apply to the operation. */
export function faults(operation: Operation): fc.Arbitrary<Fault> {
  const kinds = [
    { weight: 3, arbitrary: headerFaults },
    { weight: 2, arbitrary: queryFaults(operation) },
  ];
  if (operation.security.length > 0) kinds.push({ weight: 2, arbitrary: authorizationFaults });
  if (operation.path.includes("{")) kinds.push({ weight: 4, arbitrary: pathFaults(operation) });
  if (operation.body !== null) {
    kinds.push({ weight: 5, arbitrary: bodyFaults });
    kinds.push(
      isForm(operation)
        ? { weight: 8, arbitrary: formFaults }
        : { weight: 12, arbitrary: jsonFaults },
    );
  } else kinds.push({ weight: 1, arbitrary: bodyFaults });
  return fc.oneof(...kinds);
}

const headerFaults = fc.constantFrom(...HEADERS).map(
  (headers): Fault => ({
    label: `headers ${Object.keys(headers)}`,
    apply: (_operation, _draft, wire) => withHeaders(wire, headers),
  }),
);

const authorizationFaults = fc.option(fc.constantFrom(...AUTHORIZATIONS)).map(
  (value): Fault => ({
    label: `authorization ${value}`,
    apply: (_operation, _draft, wire) =>
      value === null ? without(wire, "authorization") : withHeaders(wire, { authorization: value }),
  }),
);

function queryFaults(operation: Operation): fc.Arbitrary<Fault> {
  const names = operation.parameters.filter(({ in: place }) => place === "query");
  const name = fc.constantFrom(...names.map((parameter) => parameter.name), "unknown", "__proto__");
  const odd = fc
    .tuple(name, fc.constantFrom(...ODD_TEXTS))
    .map(([key, value]) => encodePairs([[key, value]]));
  const broken = fc
    .tuple(name, fc.constantFrom(...BROKEN_ENCODING))
    .map(([key, value]) => `${key}=${value}`);
  const repeated = name.map((key) => `${key}=1&${key}=2`);
  const renamed = fc
    .tuple(name, fc.constantFrom("[]", "[0]", "[x]", "[][]", "s", "x"))
    .map(([key, more]) => `${key}${more}=1&${key}=1`);
  const shapes = fc.constantFrom("&&&", "=", "=1", "a[]=1&a[]=2", "%=%", `x=${"y".repeat(6_000)}`);
  const many = fc.constant(Array.from({ length: 500 }, (_unused, n) => `p${n}=${n}`).join("&"));
  return fc.oneof(odd, odd, broken, repeated, renamed, shapes, many).map((query) => ({
    label: `query ${query.slice(0, 60)}`,
    apply: (_operation, draft, wire) => withQuery(_operation, draft, wire, query),
  }));
}

function pathFaults(operation: Operation): fc.Arbitrary<Fault> {
  const names = operation.parameters.filter(({ in: place }) => place === "path");
  const encoded = fc.constantFrom(
    ...ODD_TEXTS.filter((text) => text !== "").map(percentEncode),
    ...BROKEN_ENCODING,
    "a".repeat(6_000),
    "1;a=b",
  );
  return fc
    .tuple(fc.constantFrom(...names.map(({ name }) => name)), encoded)
    .map(([name, segment]) => ({
      label: `path ${name} = ${segment.slice(0, 60)}`,
      apply(_operation, draft, wire) {
        const mark = "0.mark.0";
        const path = pathOf(operation, { ...draft, path: { ...draft.path, [name]: mark } });
        const query = wire.target.split("?").slice(1).join("?");
        const target = path.replace(mark, () => segment);
        return { ...wire, target: query === "" ? target : `${target}?${query}` };
      },
    }));
}

const bodies: { label: string; body: () => Uint8Array | string; chunked?: boolean }[] = [
  { label: "empty", body: () => "" },
  { label: "empty, chunked", body: () => "", chunked: true },
  { label: "white space", body: () => " \n\t " },
  { label: "NUL", body: () => "\0" },
  { label: "broken UTF-8", body: () => new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]) },
  { label: "an encoded surrogate", body: () => new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22]) },
  { label: "overlong UTF-8", body: () => new Uint8Array([0x22, 0xc0, 0xaf, 0x22]) },
  { label: "UTF-16", body: () => new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0]) },
  { label: "256 KiB and a byte", body: () => padded(MIB / 4 + 1) },
  { label: "256 KiB and a byte, chunked", body: () => padded(MIB / 4 + 1), chunked: true },
  { label: "1 MiB and a byte", body: () => padded(MIB + 1) },
  { label: "1 MiB and a byte, chunked", body: () => padded(MIB + 1), chunked: true },
  { label: "10 MB", body: () => padded(10_000_000) },
  { label: "10 MB, chunked", body: () => padded(10_000_000), chunked: true },
];

function padded(bytes: number): Uint8Array {
  const body = new Uint8Array(bytes).fill(0x20);
  body.set(encoder.encode("{"));
  body.set(encoder.encode("}"), bytes - 1);
  return body;
}

const bodyFaults = fc.oneof(
  fc.constantFrom(...bodies).map(
    ({ label, body, chunked }): Fault => ({
      label: `body: ${label}`,
      apply: (_operation, _draft, wire) => withBody(wire, body(), chunked),
    }),
  ),
  fc.constantFrom(...CONTENT_TYPES).map(
    (type): Fault => ({
      label: `content-type ${type.slice(0, 60)}`,
      apply: (_operation, _draft, wire) => withHeaders(wire, { "content-type": type }),
    }),
  ),
  fc.constant<Fault>({
    label: "no content-type",
    apply: (_operation, _draft, wire) => without(wire, "content-type"),
  }),
);

const jsonFaults = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.nat({ max: 999 }), fc.constantFrom(...HOSTILE_JSON)).map(
      ([place, raw]): Fault => ({
        label: `JSON at place ${place}: ${raw.slice(0, 60)}`,
        apply: (_operation, draft, wire) => withBody(wire, atPlace(draft.body, place, raw)),
      }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...spoilEveryWay).map(
      ({ label, spoil }): Fault => ({
        label: `JSON: ${label}`,
        apply: (operation, draft, wire) => withBody(wire, spoil(bodyText(operation, draft.body))),
      }),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...BROKEN_JSON).map(
      (text): Fault => ({
        label: `JSON: ${text.slice(0, 60)}`,
        apply: (_operation, _draft, wire) => withBody(wire, text),
      }),
    ),
  },
);

const formFaults = fc
  .tuple(
    fc.nat({ max: 99 }),
    fc.constantFrom(...ODD_TEXTS.map(percentEncode), ...BROKEN_ENCODING, "a".repeat(5_000)),
    fc.constantFrom("replace", "repeat", "drop", "rename"),
  )
  .map(
    ([place, text, how]): Fault => ({
      label: `form: ${how} field ${place} with ${text.slice(0, 60)}`,
      apply(_operation, draft, wire) {
        const fields = formFields(draft.body).map(([name, value]) => [
          percentEncode(name),
          percentEncode(value),
        ]);
        const at = place % Math.max(1, fields.length);
        const [name = "x"] = fields[at] ?? [];
        if (how === "replace") fields.splice(at, 1, [name, text]);
        else if (how === "repeat") fields.push([name, text]);
        else if (how === "drop") fields.splice(at, 1);
        else fields.splice(at, 1, [text, "1"]);
        return withBody(wire, fields.map((pair) => pair.join("=")).join("&"));
      },
    }),
  );
