/** How values are stored as short JSON: the parts of which `packed.ts` makes the forms of columns. */
import type { SQL } from "drizzle-orm";
import { customType } from "drizzle-orm/sqlite-core";
import { fromJson } from "./json.ts";

/** How a value is stored as JSON. What `unpack` takes was made by `pack`. */
export interface Form<T> {
  pack(value: T): unknown;
  unpack(packed: unknown): T;
}

/** A column of such values, not null unless the column is. */
export function packedText<T>(name: string, form: Form<T>) {
  return customType<{ data: T; driverData: string }>({
    dataType: () => "text",
    toDriver: (value) => JSON.stringify(form.pack(value)),
    fromDriver: (text) => form.unpack(JSON.parse(text)),
  })(name);
}

/** Reads the text of an expression; null stays null, that of JSON too: the operator `->` answers the one or the other. */
export function fromPacked<T>(form: Form<T>, expression: SQL): SQL<T | null> {
  return fromJson<T | null>(expression, nullable(form).unpack);
}

/** A value that is stored as it is. */
function plain<T>(): Form<T> {
  return { pack: (value) => value, unpack: (packed) => packed as T }; // as `pack` made it
}

export const text = plain<string>();
export const number = plain<number>();

/** A value of a closed set. */
export function coded<T extends string>(codes: Readonly<Record<T, string>>): Form<T> {
  const names = new Map(Object.entries(codes).map(([name, code]) => [code, name as T])); // the keys of `codes`
  return {
    pack: (name) => codes[name],
    unpack: (packed) => {
      const name = names.get(String(packed));
      if (name === undefined) throw new Error(`Unknown code ${JSON.stringify(packed)}`);
      return name;
    },
  };
}

/** A value that is the same in every row. */
export function always<T>(value: T): Form<T> {
  return { pack: () => null, unpack: () => value };
}

/** A value that is null while it is the usual one, so that a record can leave it out. */
export function unless<T>(usual: T, form: Form<T>): Form<T> {
  return {
    pack: (value) => (value === usual ? null : form.pack(value)),
    unpack: (packed) => (packed === null ? usual : form.unpack(packed)),
  };
}

/** True as 1, false as nothing. */
export const flag: Form<boolean> = {
  pack: (value) => (value ? 1 : null),
  unpack: (packed) => packed === 1,
};

export function listOf<T>(item: Form<T>): Form<T[]> {
  return {
    pack: (values) => values.map(item.pack),
    unpack: (packed) => (packed as unknown[]).map(item.unpack), // as `pack` made it
  };
}

/** A list that is null while it is empty, so that a record can leave it out. */
export function listOrNothing<T>(item: Form<T>): Form<T[]> {
  const list = listOf(item);
  return {
    pack: (values) => (values.length === 0 ? null : list.pack(values)),
    unpack: (packed) => (packed === null ? [] : list.unpack(packed)),
  };
}

export function nullable<T>(form: Form<T>): Form<T | null> {
  return {
    pack: (value) => (value === null ? null : form.pack(value)),
    unpack: (packed) => (packed === null ? null : form.unpack(packed)),
  };
}

/** For a field that an object may lack: null is stored, and read as nothing. */
export function optional<T>(form: Form<T>): Form<T | null | undefined> {
  const { pack, unpack } = nullable(form);
  return { pack: (value) => pack(value ?? null), unpack: (packed) => unpack(packed) ?? undefined };
}

/** An object as the array of its fields, in the order given here, without the nulls at its end. */
export function record<T extends object>(
  fields: { readonly [Key in keyof T]-?: Form<T[Key]> },
): Form<T> {
  const names = Object.keys(fields) as (keyof T)[]; // the fields of T, each of them
  return {
    pack(value) {
      const items = names.map((name) => fields[name].pack(value[name]));
      while (items.length > 0 && items.at(-1) === null) items.pop();
      return items;
    },
    unpack(packed) {
      const items = packed as unknown[]; // as `pack` made it
      const value: Partial<T> = {};
      // A list of entries would be twice as much garbage as the objects themselves, of which a job has 30,000.
      for (let at = 0; at < names.length; at++) {
        const name = names[at] as keyof T; // at < names.length
        value[name] = fields[name].unpack(items[at] ?? null);
      }
      return value as T; // each field by its own form
    },
  };
}
