/** Boundary cases: values on and just beyond every bound in the document. */
import fc from "fast-check";
import type { Conformance } from "./conformance.ts";
import { type ApiDocument, isObject, type Operation, type Schema } from "./document.ts";
import type { Draft } from "./draft.ts";
import { validValues } from "./valid-values.ts";

export interface BoundaryCase {
  /** Place and value, such as `body.node_count = 257`. */
  label: string;
  /** The field's name in error details. */
  field: string;
  apply(draft: Draft): Draft;
  /**
   * `beyond`: the document refuses the value, so the server must. `within`: the document allows the value,
   * so the server must not refuse this field. `try`: any declared answer is allowed.
   */
  expectation: "beyond" | "within" | "try";
}

/** Longer lists exceed the size limit of a body before their own bound. */
const LONGEST_LIST = 300;

export function boundaryCases(
  document: ApiDocument,
  conformance: Conformance,
  operation: Operation,
): BoundaryCase[] {
  const accepts = conformance.accepts;
  const cases: BoundaryCase[] = [];

  for (const { name, in: place, required, schema } of operation.parameters) {
    const set = (draft: Draft, value: string): Draft => {
      if (place === "query") {
        const others = draft.query.filter(([other]) => other !== name);
        return { ...draft, query: [...others, [name, value]] };
      }
      const part = place === "path" ? "path" : "headers";
      return { ...draft, [part]: { ...draft[part], [name]: value } };
    };
    for (const value of edgeValues(schema)) {
      // An empty segment changes the path, and null has no text form.
      if (value === null || (place === "path" && value === "")) continue;
      const expectation =
        // Servers may ignore headers.
        place === "header" ? "try" : accepts(schema, value) ? "within" : "beyond";
      const label = `${place}.${name} = ${show(value)}`;
      cases.push({ label, field: name, expectation, apply: (draft) => set(draft, String(value)) });
    }
    if (required && place === "query") {
      cases.push({
        label: `without query.${name}`,
        field: name,
        expectation: "beyond",
        apply: (draft) => ({ ...draft, query: draft.query.filter(([other]) => other !== name) }),
      });
    }
  }
  if (operation.body !== null) {
    const { schema, required } = operation.body;
    walk(schema, []);
    if (required) {
      const none = { label: "without a body", field: "", expectation: "beyond" as const };
      cases.push({ ...none, apply: (draft) => ({ ...draft, body: undefined }) });
    }
  }
  return cases;

  function walk(schema: Schema, path: (string | number)[]): void {
    const field = path.join(".");
    const put = (value: unknown, expectation?: "try") => {
      // In a form, null would be the text "null".
      if (value === null && operation.body?.mediaType !== "application/json") return;
      cases.push({
        label: `body.${field} = ${show(value)}`,
        field,
        expectation: expectation ?? (accepts(schema, value) ? "within" : "beyond"),
        apply: (draft) => ({ ...draft, body: replaced(draft.body, path, value) }),
      });
    };
    if (path.length > 0) for (const value of edgeValues(schema)) put(value);
    const node = document.resolve(schema);
    for (const part of [
      node,
      ...[node.anyOf, node.oneOf, node.allOf].flatMap((list) => list ?? []),
    ]) {
      const { properties = {}, required = [], items } = document.resolve(part);
      for (const [name, property] of Object.entries(properties)) {
        walk(property, [...path, name]);
        if (!required.includes(name) || part !== node) continue;
        cases.push({
          label: `without body.${[...path, name].join(".")}`,
          field: [...path, name].join("."),
          expectation: "beyond",
          apply: (draft) => ({ ...draft, body: replaced(draft.body, [...path, name], undefined) }),
        });
      }
      if (items === undefined) continue;
      for (const list of edgeLists(document.resolve(part), items)) put(list, listExpectation(list));
      walk(items, [...path, 0]);
    }

    /** Rules between entries may refuse a list that the schema allows. */
    function listExpectation(list: unknown[]): "try" | undefined {
      return accepts(schema, list) ? "try" : undefined;
    }
  }

  function edgeLists(node: Schema, items: Schema): unknown[][] {
    const { minItems = 0, maxItems = LONGEST_LIST + 1 } = node;
    const lengths = [minItems - 1, minItems, maxItems, maxItems + 1];
    return lengths
      .filter((length) => length >= 0 && length <= LONGEST_LIST)
      .flatMap((length) => distinct(items, length));
  }

  /** One list of different entries, or no list when the schema allows too few values. */
  function distinct(items: Schema, length: number): unknown[][] {
    const lists = fc.uniqueArray(validValues(document, items, accepts), {
      minLength: length,
      maxLength: length,
      selector: (value) => JSON.stringify(value),
    });
    try {
      return fc.sample(lists, { numRuns: 1, seed: length + 1 });
    } catch {
      return [];
    }
  }

  function edgeValues(reference: Schema): unknown[] {
    const schema = document.resolve(reference);
    const branches = [schema.anyOf, schema.oneOf, schema.allOf].flatMap((list) => list ?? []);
    const values = [
      null,
      ...numberEdges(schema),
      ...stringEdges(schema),
      ...(schema.enum === undefined ? [] : [...schema.enum, "no-such-word"]),
      ...branches.flatMap(edgeValues),
    ];
    return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()];
  }
}

function numberEdges(schema: Schema): number[] {
  const types = [schema.type].flat();
  const step = types.includes("integer") ? 1 : 1e-6;
  if (!types.includes("integer") && !types.includes("number")) return [];
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum } = schema;
  const bounds = [minimum, maximum, exclusiveMinimum, exclusiveMaximum];
  return bounds
    .filter((bound) => bound !== undefined)
    .flatMap((bound) => [bound - step, bound, bound + step])
    .filter((value) => Math.abs(value) <= Number.MAX_SAFE_INTEGER);
}

function stringEdges({ type, format, pattern, minLength, maxLength }: Schema): string[] {
  if (![type].flat().includes("string")) return [];
  const letter = ["a", "1", "A"].find((character) =>
    [1, 2, 8, minLength ?? 1].some((n) => new RegExp(pattern ?? "", "u").test(character.repeat(n))),
  );
  const lengths = [minLength, maxLength].filter((length) => length !== undefined);
  const texts = lengths
    .flatMap((length) => [length - 1, length, length + 1])
    .filter((length) => length >= 0)
    .map((length) => (letter ?? "a").repeat(length));
  return format === undefined ? texts : [...texts, "not of this format"];
}

/** A copy with one part replaced. Missing lists and objects on the path are created; undefined removes the part. */
function replaced(node: unknown, path: readonly (string | number)[], value: unknown): unknown {
  const [step, ...rest] = path;
  if (step === undefined) return value;
  if (typeof step === "number") {
    const list = Array.isArray(node) ? [...node] : [];
    list[step] = replaced(list[step], rest, value);
    return list;
  }
  const { [step]: inner, ...others } = isObject(node) ? node : {};
  const next = replaced(inner, rest, value);
  return next === undefined ? others : { ...others, [step]: next };
}

function show(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 50)}… (${text.length})` : text;
}
