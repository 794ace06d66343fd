/** fast-check arbitraries of the values that a schema allows. */
import fc from "fast-check";
import { type ApiDocument, isObject, type Schema } from "./document.ts";

/** Optional parts below this depth are left out, because schemas may be recursive. */
const MAX_DEPTH = 6;

export function validValues(
  document: Pick<ApiDocument, "resolve">,
  schema: Schema,
  accepts: (schema: Schema, value: unknown) => boolean,
): fc.Arbitrary<unknown> {
  // Ajv checks the rules of a schema that the generator does not support.
  return build(schema, 0).filter((value) => accepts(schema, value));

  function build(reference: Schema, depth: number): fc.Arbitrary<unknown> {
    const node = merged(reference);
    const generated = variants(node, depth);
    const examples = [...(node.examples ?? []), ...("example" in node ? [node.example] : [])];
    if (examples.length === 0) return generated;
    return fc.oneof(
      { arbitrary: generated, weight: 4 },
      { arbitrary: fc.constantFrom(...examples), weight: 1 },
    );
  }

  function variants(node: Schema, depth: number): fc.Arbitrary<unknown> {
    if ("const" in node) return fc.constant(node.const);
    if (node.enum !== undefined) return fc.constantFrom(...node.enum);
    const alternatives = node.anyOf ?? node.oneOf;
    if (alternatives !== undefined) {
      const { anyOf: _any, oneOf: _one, ...shared } = node;
      return oneOf(
        alternatives.map((branch) => ({ ...shared, ...merged(branch) })),
        depth,
      );
    }
    const types = typeof node.type === "string" ? [node.type] : (node.type ?? [guessType(node)]);
    return oneOf(
      types.map((type) => ({ ...node, type })),
      depth,
    );
  }

  /** Draws from one branch; null has a lower weight. */
  function oneOf(branches: Schema[], depth: number): fc.Arbitrary<unknown> {
    const weighted = branches.map((branch) => ({
      arbitrary: branch.anyOf || branch.oneOf ? variants(branch, depth) : plain(branch, depth),
      weight: branch.type === "null" ? 1 : 4,
    }));
    return fc.oneof(...weighted);
  }

  function plain(node: Schema, depth: number): fc.Arbitrary<unknown> {
    if ("const" in node || node.enum !== undefined) return variants(node, depth);
    switch (node.type) {
      case "null":
        return fc.constant(null);
      case "boolean":
        return fc.boolean();
      case "integer":
        return integers(node);
      case "number":
        return numbers(node);
      case "string":
        return strings(node);
      case "array": {
        const item = build(node.items ?? {}, depth + 1);
        const bounds = {
          minLength: node.minItems ?? 0,
          maxLength: Math.min(node.maxItems ?? 8, 300),
        };
        return node.uniqueItems === true
          ? fc.uniqueArray(item, { ...bounds, selector: (value) => JSON.stringify(value) })
          : fc.array(item, bounds);
      }
      case "object":
        return objects(node, depth);
      default:
        return anyJson;
    }
  }

  function objects(node: Schema, depth: number): fc.Arbitrary<unknown> {
    const { properties = {}, required = [], additionalProperties } = node;
    const included = Object.entries(properties).filter(
      ([name]) => depth < MAX_DEPTH || required.includes(name),
    );
    const declared = fc.record(
      Object.fromEntries(
        included.map(([name, property]) => [
          name,
          // The document has one type for both kinds of addresses.
          name === "machine_ip" ? addresses : build(property, depth + 1),
        ]),
      ),
      { requiredKeys: required.filter((name) => name in properties) },
    );
    const open = additionalProperties === true || isObject(additionalProperties);
    if (!open || (included.length > 0 && depth >= MAX_DEPTH)) return declared;
    const names =
      node.propertyNames === undefined ? plainKey : build(node.propertyNames, depth + 1);
    const extra = fc.dictionary(
      names.map(String).filter((name) => name !== "__proto__"),
      isObject(additionalProperties) ? build(additionalProperties, depth + 1) : anyJson,
      { minKeys: node.minProperties ?? 0, maxKeys: Math.min(node.maxProperties ?? 3, 3) },
    );
    return fc.tuple(extra, declared).map(([more, base]) => ({ ...more, ...base }));
  }

  /** Merges a referenced schema with all its `allOf` parts. */
  function merged(reference: Schema): Schema {
    const { allOf, ...own } = document.resolve(reference);
    // OpenAPI 3.1 allows keywords beside a reference, such as an example.
    const { $ref: _followed, ...beside } = reference.$ref === undefined ? {} : reference;
    const base: Schema = { ...own, ...beside };
    const parts = [base, ...(allOf ?? []).map(merged)];
    const all: Schema = Object.assign({}, ...parts);
    if (parts.length > 1) {
      all.properties = Object.assign({}, ...parts.map(({ properties }) => properties));
      all.required = [...new Set(parts.flatMap(({ required }) => required ?? []))];
    }
    return all;
  }
}

function guessType(node: Schema): string {
  if (node.properties !== undefined || node.additionalProperties !== undefined) return "object";
  if (node.items !== undefined) return "array";
  if (node.pattern !== undefined || node.maxLength !== undefined) return "string";
  return node.minimum === undefined && node.maximum === undefined ? "any" : "number";
}

export function rangeOf(node: Schema): { min: number; max: number } {
  const whole = node.type === "integer";
  const step = whole ? 1 : 1e-9;
  const widest = whole ? Number.MAX_SAFE_INTEGER : 1e12;
  return {
    min:
      node.minimum ??
      (node.exclusiveMinimum === undefined ? -widest : node.exclusiveMinimum + step),
    max:
      node.maximum ?? (node.exclusiveMaximum === undefined ? widest : node.exclusiveMaximum - step),
  };
}

function integers(node: Schema): fc.Arbitrary<number> {
  const { min, max } = rangeOf(node);
  const near = fc.integer({ min, max: Math.min(max, min + 20) });
  return fc.oneof(near, fc.integer({ min, max }));
}

function numbers(node: Schema): fc.Arbitrary<number> {
  const { min, max } = rangeOf(node);
  // JSON writes -0 as 0, so adding 0 turns it into 0 here.
  return fc.double({ min, max, noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
}

function strings(node: Schema): fc.Arbitrary<string> {
  const { format, pattern, minLength = 0, maxLength = 64 } = node;
  const named = format === undefined ? undefined : formats[format];
  if (named !== undefined) return named;
  if (pattern !== undefined) {
    const matching = matches(pattern, minLength);
    if (matching !== null) return matching;
  }
  const bounds = { minLength, maxLength: Math.max(minLength, Math.min(maxLength, 5_000)) };
  return fc.oneof(
    { arbitrary: fc.string({ unit: characters, ...bounds }), weight: 4 },
    { arbitrary: fc.string({ unit: "grapheme-ascii", ...bounds }), weight: 1 },
    { arbitrary: fc.string({ unit: "grapheme", ...bounds }), weight: 1 },
  );
}

/** Strings that match a pattern; null when fast-check lacks support for it, such as for `\p{…}`. */
function matches(pattern: string, minLength: number): fc.Arbitrary<string> | null {
  try {
    const strings = fc.stringMatching(new RegExp(pattern, "u"));
    const [sample = ""] = fc.sample(strings, { numRuns: 1, seed: 1 });
    // A pattern such as `^.*$` with a minimum length draws mostly strings that are too short.
    return minLength > 4 && sample.length < minLength ? null : strings;
  } catch {
    return null;
  }
}

const characters = fc.constantFrom(..."abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789-_.éß中日Ж");
const addresses = fc.oneof(fc.ipV4(), fc.ipV6());
const plainKey = fc.string({ unit: characters, minLength: 1, maxLength: 12 });

const hex = (length: number) => fc.stringMatching(new RegExp(`^[0-9a-f]{${length}}$`));

const formats: Record<string, fc.Arbitrary<string>> = {
  "date-time": fc
    .date({ min: new Date(0), max: new Date("9999-12-31T23:59:59.999Z"), noInvalidDate: true })
    .map((date) => date.toISOString()),
  date: fc
    .date({ min: new Date(0), max: new Date("9999-12-31"), noInvalidDate: true })
    .map((date) => date.toISOString().slice(0, 10)),
  // Every UUID except the nil UUID, which identifies nothing.
  uuid: fc
    .tuple(hex(8), hex(4), hex(4), hex(4), hex(12))
    .map((parts) => parts.join("-"))
    .filter((uuid) => /[1-9a-f]/.test(uuid)),
  ipv4: fc.ipV4(),
  ipv6: fc.ipV6(),
  email: fc.emailAddress(),
  uri: fc.webUrl(),
};

/** JSON that every parser reads alike: no number beyond 2^53, and no key with a meaning in JavaScript. */
const { value: anyJson } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.oneof(
      fc.constant(null),
      fc.boolean(),
      fc.integer({ min: -1_000_000, max: 1_000_000 }),
      fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((value) => value + 0),
      fc.string({ unit: characters, maxLength: 20 }),
    ),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(plainKey, tie("value"), { maxKeys: 4 }),
  ),
}));
