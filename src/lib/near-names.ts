/** Finds the known name that a misspelt one means. */

/**
 * The known name that `sent` nearly is; null for a known or an unrelated one. Case does not count. Near is an `s`,
 * `_id` or `_uuid` more or less; or at most two edits (a letter more, less or other, or two swapped) that are fewer
 * than half of the shorter name. Two edits alone would make `date`, `page` and `note` a `name`, and `task` and `args` `tags`:
 * fields that clients send for themselves. Names below three letters have no edits.
 */
export function nearestName(sent: string, known: readonly string[]): string | null {
  if (known.includes(sent)) return null;
  const name = sent.toLowerCase();
  const isNear = (candidate: string, edits: number) =>
    edits === 0
      ? stemOf(name) === stemOf(candidate)
      : name.length > 2 &&
        edits * 2 < Math.min(name.length, candidate.length) &&
        isWithin(edits, name, candidate);
  for (const edits of [0, 1, 2]) {
    const near = known.find((candidate) => isNear(candidate, edits));
    if (near !== undefined) return near;
  }
  return null;
}

function stemOf(name: string): string {
  return name.replace(/_(id|uuid)$/, "").replace(/s$/, "");
}

/** True if so many edits make one text of the other. */
function isWithin(edits: number, one: string, other: string): boolean {
  let at = 0;
  while (at < one.length && one[at] === other[at]) at++;
  const [a, b] = [one.slice(at), other.slice(at)];
  const after = (left: number, right: number) => isWithin(edits - 1, a.slice(left), b.slice(right));
  if (edits === 0 || a === b) return a === b;
  const isSwapped = a[0] === b[1] && a[1] === b[0];
  return after(1, 0) || after(0, 1) || after(1, 1) || (isSwapped && after(2, 2));
}
