/** The filters of a list, as they stand in the address. */

/** The address's query with other filters: from the first page again, without what is empty or a default. */
export function withFilter(
  query: URLSearchParams,
  changes: Readonly<Record<string, string | readonly string[]>>,
  defaults: Readonly<Record<string, string>> = {},
): URLSearchParams {
  const next = firstPage(query);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    const isDefault = value === defaults[name];
    const values = typeof value === "string" ? [value] : value;
    for (const each of values) if (each !== "" && !isDefault) next.append(name, each);
  }
  return next;
}

export function firstPage(query: URLSearchParams): URLSearchParams {
  const first = new URLSearchParams(query);
  first.delete("cursor");
  first.delete("from");
  return first;
}

/** Number of the first row of a page; the cursor does not tell it. */
export function firstRow(query: URLSearchParams): number {
  const from = Number(query.get("from") ?? 1);
  return Number.isInteger(from) && from > 0 ? from : 1;
}

/** The parameters that an address gives a value. */
export function given(query: URLSearchParams, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = query.get(name);
      return value === null || value === "" ? [] : [[name, value]];
    }),
  );
}

/** Tags as somebody types them: separated by commas. */
export function splitTags(value: string): string[] {
  return value
    .split(",")
    .map((tag) => tag.trim())
    .filter((tag) => tag !== "");
}
