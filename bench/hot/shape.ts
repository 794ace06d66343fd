/** Whether two replies say the same, in the same form. */

/** The first place where two JSON values differ in their keys or types; null where they do not. */
export function differenceOf(one: unknown, other: unknown, at = ""): string | null {
  const [a, b] = [kindOf(one), kindOf(other)];
  if (a !== b) return `${at || "the reply"} is ${a}, and ${b}`;
  if (a === "list") {
    const [first, second] = [one as unknown[], other as unknown[]];
    if (first.length !== second.length) {
      return `${at || "the reply"} has ${first.length} entries, and ${second.length}`;
    }
    return firstOf(
      first.map((each, index) => differenceOf(each, second[index], `${at}[${index}]`)),
    );
  }
  if (a !== "object") return null;
  const [first, second] = [one as object, other as object].map(
    (each) => new Map(Object.entries(each)),
  );
  const keys = new Set([...(first?.keys() ?? []), ...(second?.keys() ?? [])]);
  return firstOf(
    [...keys].map((key) => differenceOf(first?.get(key), second?.get(key), `${at}.${key}`)),
  );
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "list" : typeof value;
}

function firstOf(differences: readonly (string | null)[]): string | null {
  return differences.find((difference) => difference !== null) ?? null;
}
