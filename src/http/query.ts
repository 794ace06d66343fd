/** Parameters and keys by the names that clients send for them. */
import { nearestName } from "../lib/near-names.ts";
import { ApiError } from "./errors.ts";
import { validationErrorOf } from "./validation.ts";

/** The parameter that a name means: `tags[]` and `tags[0]` are `tags`. Null for one that the route does not have. */
export function parameterOf(sent: string, known: readonly string[]): string | null {
  const name = known.includes(sent) ? sent : /^(.+)\[\d*\]$/.exec(sent)?.[1];
  return name !== undefined && known.includes(name) ? name : null;
}

/**
 * The values of a route's own parameters; others are ignored. In a list an ignored filter shows everything, and a change
 * may change something else: there a name that nearly is a parameter's is refused with 400.
 */
export function readQuery(
  query: Record<string, string[]>,
  { names, refusesNear }: { names: readonly string[]; refusesNear: boolean },
): Record<string, string | string[]> {
  const read: Record<string, string | string[]> = {};
  for (const [sent, values] of Object.entries(query)) {
    const value = values.length === 1 ? (values[0] ?? "") : values;
    const name = parameterOf(sent, names);
    if (name !== null) read[name] = read[name] === undefined ? value : [read[name], value].flat();
    else if (refusesNear) refuseNear(sent, names);
  }
  return read;
}

function refuseNear(sent: string, names: readonly string[]): void {
  const [base = ""] = sent.split("[", 1);
  const meant = names.includes(base) ? base : nearestName(base, names);
  if (meant === null) return;
  const message = `is not a parameter here; did you mean ${meant}?`;
  throw validationErrorOf([{ field: sent.slice(0, MAX_SHOWN), message }]);
}

/**
 * Throws 400 for a key of a body that stands for a known one, or nearly is one: ignored, it would change what is asked for.
 * Other unknown keys are ignored.
 */
export function refuseNearKeys(
  body: unknown,
  {
    names,
    aliases,
  }: { names: readonly string[]; aliases: Readonly<Record<string, string | null>> },
): void {
  for (const sent of Object.keys(body ?? {}).slice(0, MAX_KEYS)) {
    const meant = Object.hasOwn(aliases, sent) ? aliases[sent] : nearestName(sent, names);
    if (meant === null || meant === undefined) continue;
    const field = sent.slice(0, MAX_SHOWN);
    const message = `unknown field '${field}'; did you mean '${meant}'?`;
    throw new ApiError("PARAMETER_INCORRECT_VALUE", message, { details: [{ field, message }] });
  }
}

/** No body has more known keys; a longer one is not searched to its end. */
const MAX_KEYS = 100;
const MAX_SHOWN = 128;
