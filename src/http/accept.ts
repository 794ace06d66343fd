/**
 * Chooses the media type that a client prefers (RFC 9110 §12.5.1). The first one wins ties, and is the answer
 * where the client accepts none.
 *
 * @param accept the header; absent or empty for anything
 */
export function preferredType<Type extends string>(
  accept: string | undefined,
  [first, ...others]: readonly [Type, ...Type[]],
): Type {
  const ranges = (accept ?? "").split(",").map((part) => {
    const [range = "", ...parameters] = part.split(";").map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith("q="));
    return { range, weight: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
  });
  const weightOf = (type: string): number => {
    const [kind] = type.split("/");
    for (const pattern of [type, `${kind}/*`, "*/*"]) {
      const match = ranges.find(({ range }) => range === pattern);
      if (match !== undefined) return match.weight;
    }
    return 0;
  };
  return others.reduce((best, type) => (weightOf(type) > weightOf(best) ? type : best), first);
}
