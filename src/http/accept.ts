/**
 * Which of several media types a client would rather have (RFC 9110 §12.5.1): of equally welcome ones the
 * first, and that one too where none is welcome.
 *
 * @param accept the header; absent or empty for anything
 */
export function preferredType<Type extends string>(
  accept: string | undefined,
  [first, ...others]: readonly [Type, ...Type[]],
): Type {
  const ranges = (accept ?? "").split(",").map((part) => {
    const [range = "", ...parameters] = part.split(";").map((word) => word.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith("q="));
    return { range, weight: weight === undefined ? 1 : Number(weight.slice(2)) || 0 };
  });
  const welcome = (type: string): number => {
    const [kind] = type.split("/");
    for (const wanted of [type, `${kind}/*`, "*/*"]) {
      const found = ranges.find(({ range }) => range === wanted);
      if (found !== undefined) return found.weight;
    }
    return 0;
  };
  return others.reduce((best, type) => (welcome(type) > welcome(best) ? type : best), first);
}
