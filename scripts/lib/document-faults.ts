/**
 * Shapes in an API document that client generators misread, each with what to write instead. The document is valid with
 * them, so no linter reports them.
 */

interface Schema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  default?: unknown;
  properties?: Record<string, Schema>;
  items?: Schema;
  additionalProperties?: unknown;
  maxProperties?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
}

export interface Document {
  paths: Record<
    string,
    Record<string, { requestBody?: unknown; parameters?: unknown; responses?: unknown }>
  >;
  components: {
    schemas: Record<string, Schema>;
    securitySchemes?: Record<string, unknown>;
  };
}

/** A schema and where it stands: `Job.tasks[]`, or the operation; `depth` 0 for one with a name of its own. */
interface Place {
  at: string;
  depth: number;
  /** Requests send it, perhaps among others. */
  requested: boolean;
}

const MAX_PROPERTIES = 100;

/** One sentence for each fault: the place, the effect, and what to write. */
export function documentFaults(document: Document): string[] {
  const { schemas, securitySchemes = {} } = document.components;
  const requested = namesReachedFrom(requestsOf(document), schemas);
  const faults: string[] = [];
  const check = (schema: Schema, place: Place) =>
    faults.push(...faultsOf(schema, place), ...mixturesIn(schema, place, schemas));
  for (const [name, schema] of Object.entries(schemas)) {
    visit(schema, { at: name, depth: 0, requested: requested.has(name) }, check);
    if (name.startsWith("New") && name.slice(3) in schemas) {
      faults.push(`${name}: Go makes a constructor of this name for ${name.slice(3)}. Rename it.`);
    }
    if (name in securitySchemes) {
      faults.push(`${name}: a security scheme has the same name. Rename one of them.`);
    }
  }
  visitPaths(document.paths, "", check);
  faults.push(...enumerationsInForms(document));
  return faults;
}

const REFERENCE = "#/components/schemas/";
const referred = ({ $ref }: Schema, schemas: Record<string, Schema>): Schema | undefined =>
  schemas[$ref?.replace(REFERENCE, "") ?? ""];

/** Alternatives of an enumeration and an object, by reference. */
function mixturesIn(schema: Schema, { at }: Place, schemas: Record<string, Schema>): string[] {
  const members = (schema.oneOf ?? []).map((member) => referred(member, schemas));
  const isMixed =
    members.some((member) => member?.enum !== undefined) &&
    members.some((member) => member?.properties !== undefined);
  return isMixed
    ? [`${at}: an enumeration beside an object does not compile in TypeScript. Give it a pattern.`]
    : [];
}

const FORM = "application/x-www-form-urlencoded";

function enumerationsInForms({ paths, components: { schemas } }: Document): string[] {
  const operations = Object.values(paths).flatMap((item) => Object.values(item));
  return operations.flatMap(({ requestBody }) => {
    const { content = {} } = (requestBody ?? {}) as { content?: Record<string, Media> };
    const form = content[FORM]?.schema;
    if (form === undefined) return [];
    const { properties = {} } = referred(form, schemas) ?? form;
    return Object.entries(properties)
      .filter(([, property]) => referred(property, schemas)?.enum !== undefined)
      .map(
        ([name]) =>
          `${name}: an enumeration in a form does not compile in Rust. Give it a pattern.`,
      );
  });
}

interface Media {
  schema?: Schema;
}

function faultsOf(schema: Schema, { at, depth, requested }: Place): string[] {
  const faults: string[] = [];
  const fault = (text: string) => faults.push(`${at}: ${text}`);
  const types = [schema.type ?? []].flat();
  if (types.length === 1 && types[0] === "null") {
    fault("only null is no type in most languages. Make the type that it may have later nullable.");
  }
  const values = [...(schema.enum ?? []), ...("const" in schema ? [schema.const] : [])];
  if (values.some((value) => typeof value === "boolean")) {
    fault(
      "an enumeration of booleans does not compile. Declare a boolean, and refuse in the server.",
    );
  }
  for (const keyword of ["anyOf", "oneOf"] as const) {
    const members = (schema[keyword] ?? []).filter(({ type }) => type !== "null");
    const unnamed = members.some(({ $ref }) => $ref === undefined);
    if (members.length > 1 && (keyword === "anyOf" || unnamed)) {
      fault(
        "alternatives need `oneOf` and members with names. Name them in src/api/part-names.ts.",
      );
    }
    if (schema[keyword] !== undefined && members.length === 1 && unnamed) {
      fault("a value or null is one schema with two types, not an alternative.");
    }
  }
  if (schema.allOf !== undefined) {
    fault("`allOf` makes a type of its own. Refer to the schema alone.");
  }
  if ((schema.maxProperties ?? 0) > MAX_PROPERTIES) {
    fault(`examples get up to ${schema.maxProperties} properties. Say the bound in words.`);
  }
  if ("exclusiveMinimum" in schema || "exclusiveMaximum" in schema) {
    fault("exclusive bounds are unknown to some generators. Say them in words.");
  }
  if (depth > 0 && (schema.properties !== undefined || new Set(values).size > 1)) {
    const isNullableEnum = values.includes(null) && values.length === 2;
    if (!isNullableEnum) fault("a part without a name. Name it in src/api/part-names.ts.");
  }
  if (schema.additionalProperties === false && !requested) {
    fault("a closed reply breaks strict clients with every new field. Leave it open.");
  }
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    if ("default" in property) {
      faults.push(`${at}.${name}: a default makes an optional field required. Say it in words.`);
    }
  }
  return faults;
}

function visit(schema: Schema, place: Place, check: (schema: Schema, place: Place) => void): void {
  check(schema, place);
  const inner = (one: Schema, suffix: string) =>
    visit(one, { ...place, at: place.at + suffix, depth: place.depth + 1 }, check);
  for (const [name, one] of Object.entries(schema.properties ?? {})) inner(one, `.${name}`);
  if (schema.items !== undefined) inner(schema.items, "[]");
  const { additionalProperties: others } = schema;
  if (typeof others === "object" && others !== null) inner(others, "{}");
  for (const keyword of ["anyOf", "oneOf", "allOf"] as const) {
    for (const [at, member] of (schema[keyword] ?? []).entries()) {
      if (member.type !== "null") inner(member, `|${at}`);
    }
  }
}

/** Schemas of parameters, requests and replies. Their own objects and enumerations need names, too. */
function visitPaths(
  node: unknown,
  at: string,
  check: (schema: Schema, place: Place) => void,
): void {
  if (typeof node !== "object" || node === null) return;
  for (const [key, value] of Object.entries(node)) {
    if (key === "example" || key === "examples") continue;
    const isRequest = at.includes("requestBody");
    if (key === "schema") visit(value, { at, depth: 1, requested: isRequest }, check);
    else visitPaths(value, `${at}/${key}`, check);
  }
}

function requestsOf({ paths }: Document): unknown[] {
  return Object.values(paths).flatMap((item) =>
    Object.values(item).map(({ requestBody }) => requestBody),
  );
}

function namesReachedFrom(from: unknown, schemas: Record<string, Schema>): Set<string> {
  const names = new Set<string>();
  const follow = (value: unknown) => {
    const text = JSON.stringify(value ?? null);
    for (const [, name = ""] of text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (names.has(name)) continue;
      names.add(name);
      follow(schemas[name]);
    }
  };
  follow(from);
  return names;
}
