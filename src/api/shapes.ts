/**
 * Shapes that client generators understand. Contracts say what the server checks; the document says it in keywords that
 * generators of many languages compile. The build alone uses it; `npm run check:api` tests the result.
 */
import { ENUM_NAMES, PART_NAMES } from "./part-names.ts";

/** The keywords of JSON Schema that are changed here. */
interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  default?: unknown;
  description?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: unknown;
  maxProperties?: number;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
}

type Schemas = Record<string, Schema>;

/** @param place the schema's name and the way from there, such as `Job.tasks[].state`; `null` branches have none */
type Visit = (schema: Schema, place: string) => Schema;

const NULL: Schema = { type: "null" };
const isNull = ({ type }: Schema) => type === "null";

/**
 * The document in shapes for generators: objects and enumerations have names, nullable scalars one schema, replies are
 * open, and no request field has a `default`, which generators take for required.
 */
export function forGenerators<Document extends { components: object }>(
  document: Document,
): Document {
  const shaped = structuredClone<{ paths?: object; components: { schemas?: Schemas } }>(document);
  const { paths = {}, components } = shaped;
  const parts: Schemas = {};
  const simplify: Visit = (schema, place) =>
    named(simplified(schema), place, components.schemas ?? {}, parts);
  components.schemas = mapAll(components.schemas ?? {}, simplify);
  mapSchemas(paths, simplify);
  const all = { ...components.schemas, ...parts };
  const requested = reachable(requestsOf(paths), all);
  const settle = ([name, schema]: [string, Schema]): [string, Schema] => [
    name,
    requested.has(name)
      ? mapped(schema, name, withoutDefault)
      : mapped(schema, name, ({ ...own }) => open(own)),
  ];
  components.schemas = Object.fromEntries(Object.entries(all).map(settle));
  return shaped as Document; // the same document with other schemas
}

function mapAll(schemas: Schemas, visit: Visit): Schemas {
  return Object.fromEntries(
    Object.entries(schemas).map(([name, schema]) => [name, mapped(schema, name, visit)]),
  );
}

/** Replaces the schemas of parameters, requests and responses in place. */
function mapSchemas(node: unknown, visit: Visit): void {
  if (Array.isArray(node)) for (const item of node) mapSchemas(item, visit);
  if (typeof node !== "object" || node === null || Array.isArray(node)) return;
  for (const [key, value] of Object.entries(node)) {
    if (key === "example" || key === "examples") continue;
    if (key === "schema") Object.assign(node, { schema: mapped(value, "", visit) });
    else mapSchemas(value, visit);
  }
}

/** A schema after a visit, its parts first. */
function mapped(schema: Schema, place: string, visit: Visit): Schema {
  const result = { ...schema };
  const { properties, items, additionalProperties } = schema;
  if (properties !== undefined) {
    result.properties = Object.fromEntries(
      Object.entries(properties).map(([name, one]) => [
        name,
        mapped(one, `${place}.${name}`, visit),
      ]),
    );
  }
  if (items !== undefined) result.items = mapped(items, `${place}[]`, visit);
  if (typeof additionalProperties === "object" && additionalProperties !== null) {
    result.additionalProperties = mapped(additionalProperties, `${place}{}`, visit);
  }
  for (const keyword of ["anyOf", "oneOf"] as const) {
    const members = schema[keyword];
    if (members === undefined) continue;
    const isOne = members.filter((member) => !isNull(member)).length === 1;
    result[keyword] = members.map((member, at) =>
      isNull(member) ? member : mapped(member, isOne ? place : `${place}|${at}`, visit),
    );
  }
  return visit(result, place);
}

/** Larger bounds on the number of properties make examples of that size. */
const MAX_PROPERTIES = 100;

/** Fewer keywords for the same values. */
function simplified(schema: Schema): Schema {
  const {
    anyOf,
    allOf = [],
    maxProperties = 0,
    properties,
    additionalProperties,
    ...rest
  } = schema;
  // Other fields of a form are texts, too, and ignored: a client that sends none needs no map for them.
  if (properties !== undefined && isTyped(additionalProperties)) {
    return omit(schema, "additionalProperties");
  }
  const [first, second, ...more] = allOf;
  // The framework's form of a reference with another description.
  const isDescribed = second !== undefined && Object.keys(second).join() === "description";
  if (first?.$ref !== undefined && isDescribed && more.length === 0) return first;
  const result = maxProperties > MAX_PROPERTIES ? omit(schema, "maxProperties") : schema;
  if (anyOf === undefined) return result;
  const [value, ...others] = anyOf.filter((member) => !isNull(member));
  if (value === undefined || others.length > 0) return { ...omit(result, "anyOf"), oneOf: anyOf };
  if (typeof value.type !== "string") return result;
  // One schema of two types, which generators take for an optional value of the first.
  const values = value.enum === undefined ? {} : { enum: [...value.enum, null] };
  return { ...value, ...values, type: [value.type, "null"], ...rest };
}

function isTyped(schema: unknown): boolean {
  return typeof schema === "object" && schema !== null && "type" in schema;
}

function omit(schema: Schema, keyword: keyof Schema): Schema {
  const { [keyword]: _left, ...rest } = schema;
  return rest;
}

/** A reference to a schema of its own, for an object or enumeration that has a name; other schemas stay. */
function named(schema: Schema, place: string, existing: Schemas, parts: Schemas): Schema {
  const types = [schema.type ?? []].flat();
  const values = schema.enum?.filter((value) => value !== null) ?? [];
  const isRef = schema.$ref !== undefined || schema.anyOf !== undefined;
  const name = values.length > 1 ? nameOfEnum(values, existing) : PART_NAMES[place];
  if (name === undefined || place === name || isRef) return schema;
  const type = types.find((one) => one !== "null");
  const isNullable = types.includes("null");
  const { description, default: byDefault, ...own } = schema;
  const isEnum = values.length > 1;
  const part = {
    ...own,
    ...(type === undefined ? {} : { type }),
    // Each use of an enumeration has a description of its own.
    ...(isEnum ? { enum: values } : description === undefined ? {} : { description }),
  };
  if (existing[name] === undefined) parts[name] ??= part;
  const reference: Schema = { $ref: `#/components/schemas/${name}` };
  const beside = {
    ...(isEnum && description !== undefined ? { description } : {}),
    ...(byDefault === undefined ? {} : { default: byDefault }),
  };
  return isNullable ? { anyOf: [reference, NULL], ...beside } : { ...reference, ...beside };
}

function nameOfEnum(values: readonly unknown[], existing: Schemas): string | undefined {
  const key = values.join(" ");
  const same = Object.entries(existing).find(([, schema]) => schema.enum?.join(" ") === key);
  return same?.[0] ?? ENUM_NAMES[key];
}

/** Says the default in words instead: generators take a field with a default for required. */
const withoutDefault: Visit = (schema, place) => {
  const { default: value, ...rest } = schema;
  if (value === undefined || !place.includes(".")) return schema;
  const { description = "" } = rest;
  if (/\bdefault|if omitted|mean/i.test(description)) return rest;
  return { ...rest, description: `${description} By default ${JSON.stringify(value)}.`.trim() };
};

/** Replies gain fields with new releases; a request stays closed where the server refuses unknown keys. */
function open(schema: Schema): Schema {
  return schema.additionalProperties === false ? omit(schema, "additionalProperties") : schema;
}

function requestsOf(paths: object): unknown[] {
  return Object.values(paths).flatMap((item: object) =>
    Object.values(item).map((operation: { requestBody?: unknown }) => operation.requestBody),
  );
}

/** The names of the schemas that a value refers to, in any number of steps. */
function reachable(from: unknown, schemas: Schemas): Set<string> {
  const found = new Set<string>();
  const visit = (value: unknown) => {
    for (const [, name = ""] of JSON.stringify(value ?? null).matchAll(
      /"#\/components\/schemas\/([^"]+)"/g,
    )) {
      if (found.has(name)) continue;
      found.add(name);
      visit(schemas[name]);
    }
  };
  visit(from);
  return found;
}
