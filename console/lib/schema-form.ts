/** From a JSON Schema to the fields of a form, and from what somebody typed to a value. Pure. */

export type FieldKind = "integer" | "number" | "text" | "flag" | "choice" | "list" | "json";

export interface SchemaField {
  /** Path within the value, such as `limits.size`. */
  name: string;
  title: string;
  description: string | null;
  kind: FieldKind;
  isRequired: boolean;
  min: number | null;
  max: number | null;
  maxLength: number | null;
  pattern: string | null;
  choices: readonly string[];
  initial: string;
}

export type Typed = Readonly<Record<string, string>>;

type Schema = Readonly<Record<string, unknown>>;

/** Fields of a schema of an object; properties that are objects become fields with dotted names. */
export function fieldsOf(schema: unknown, prefix = "", isRequired = true): SchemaField[] {
  const { properties, required } = schemaOf(schema);
  const needed = Array.isArray(required) ? required : [];
  return Object.entries(schemaOf(properties)).flatMap(([key, sent]) => {
    const property = schemaOf(sent);
    const name = prefix + key;
    const isNeeded = isRequired && needed.includes(key);
    if (property.type === "object" && property.properties !== undefined) {
      return fieldsOf(property, `${name}.`, isNeeded);
    }
    return [fieldOf(name, property, isNeeded)];
  });
}

function fieldOf(name: string, schema: Schema, isRequired: boolean): SchemaField {
  const number = (key: string) => (typeof schema[key] === "number" ? (schema[key] ?? null) : null);
  const text = (key: string) => (typeof schema[key] === "string" ? (schema[key] ?? null) : null);
  const minimum = number("minimum") ?? number("exclusiveMinimum");
  const maximum = number("maximum") ?? number("exclusiveMaximum");
  const initial = schema.default;
  return {
    name,
    title: String(text("title") ?? name),
    description: text("description") as string | null, // `text` lets nothing else through
    kind: kindOf(schema),
    isRequired,
    min: minimum as number | null, // `number` lets nothing else through
    max: maximum as number | null, // as above
    maxLength: number("maxLength") as number | null, // as above
    pattern: text("pattern") as string | null, // as above
    choices: Array.isArray(schema.enum) ? schema.enum.map(String) : [],
    initial:
      initial === undefined || initial === null
        ? ""
        : typeof initial === "object"
          ? JSON.stringify(initial)
          : String(initial),
  };
}

function kindOf(schema: Schema): FieldKind {
  const { type, items } = schema;
  if (Array.isArray(schema.enum)) return "choice";
  if (type === "integer" || type === "number") return type;
  if (type === "boolean") return "flag";
  if (type === "string") return "text";
  const isScalar = ["string", "number", "integer"].includes(String(schemaOf(items).type));
  return type === "array" && isScalar ? "list" : "json";
}

/** A value, or for each field that has none the reason. */
export type Reading =
  | { ok: true; value: Record<string, unknown> }
  | { ok: false; faults: Readonly<Record<string, Problem>> };

export type Problem =
  | { kind: "required" }
  | { kind: "number" }
  | { kind: "integer" }
  | { kind: "range"; min: number | null; max: number | null }
  | { kind: "json" };

/** Reads what somebody typed; empty fields are absent from the value. The server checks everything again. */
export function readForm(fields: readonly SchemaField[], typed: Typed): Reading {
  const value: Record<string, unknown> = {};
  const faults: Record<string, Problem> = {};
  for (const field of fields) {
    const text = (typed[field.name] ?? "").trim();
    if (text === "") {
      if (field.isRequired) faults[field.name] = { kind: "required" };
      continue;
    }
    const read = readField(field, text);
    if ("fault" in read) faults[field.name] = read.fault;
    else put(value, field.name.split("."), read.value);
  }
  return Object.keys(faults).length > 0 ? { ok: false, faults } : { ok: true, value };
}

function readField(field: SchemaField, text: string): { value: unknown } | { fault: Problem } {
  const { kind, min, max } = field;
  if (kind === "integer" || kind === "number") {
    const value = Number(text);
    if (!Number.isFinite(value)) return { fault: { kind: "number" } };
    if (kind === "integer" && !Number.isInteger(value)) return { fault: { kind: "integer" } };
    const isOut = (min !== null && value < min) || (max !== null && value > max);
    return isOut ? { fault: { kind: "range", min, max } } : { value };
  }
  if (kind === "flag") return { value: text === "true" };
  if (kind === "list") return { value: text.split(",").map((each) => scalarOf(each.trim())) };
  if (kind !== "json") return { value: text };
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { fault: { kind: "json" } };
  }
}

const scalarOf = (text: string) => (/^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text);

function put(value: Record<string, unknown>, [key = "", ...rest]: string[], part: unknown): void {
  if (rest.length === 0) {
    value[key] = part;
    return;
  }
  const inner = schemaOf(value[key]);
  const copy = { ...inner };
  put(copy, rest, part);
  value[key] = copy;
}

function schemaOf(value: unknown): Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Schema) // JSON: keys are strings
    : {};
}
