/** The floors of `cli/src`: which room may import which. The same limits for files and functions as in `src`. */
import type { House } from "./floors.ts";
import { MAX_FUNCTION_LINES, MAX_LINES } from "./floors.ts";

/** From the ground up; files beside the rooms by their names. A room imports only from floors below its own, and its own files. */
export const CLI_FLOORS: readonly (readonly string[])[] = [
  ["values", "exit-codes.ts", "version.ts"],
  ["failure.ts", "output", "completion"],
  ["api"],
  ["session", "job"],
  ["stop.ts"],
  ["commands"],
  ["program.ts"],
  ["main.ts"],
];

/** Of everything outside the program only the published types of the API, which leave no trace in it, and the API's own words. */
const TYPES = "../../public/client.d.ts";
const WORDS = "../../src/lib/enums.ts";

/** Everything that breaks a rule: a message each, with the place and what is allowed. */
export function cliFloorFaults({ imports, lengths, functions }: House): string[] {
  const room = (path: string) => path.split("/")[0] ?? path;
  const floor = (path: string) => CLI_FLOORS.findIndex((rooms) => rooms.includes(room(path)));
  const own = [...lengths.keys()];
  return [
    ...own
      .filter((file) => floor(file) < 0)
      .map(
        (file) =>
          `cli/src/${file} has no floor. Add it to CLI_FLOORS in scripts/lib/cli-floors.ts.`,
      ),
    ...[...lengths]
      .filter(([, lines]) => lines > MAX_LINES)
      .map(
        ([file, lines]) =>
          `cli/src/${file} has ${lines} lines; ${MAX_LINES} are allowed. It holds two ideas: split it.`,
      ),
    ...[...functions].flatMap(([file, list]) =>
      list
        .filter(({ lines }) => lines > MAX_FUNCTION_LINES)
        .map(
          ({ name, line, lines }) =>
            `cli/src/${file}:${line}: the function ${name || "without a name"} has ${lines} lines; ${MAX_FUNCTION_LINES} are allowed.`,
        ),
    ),
    ...imports.flatMap(({ from, to, line, isPackage, typeOnly }) => {
      const place = `cli/src/${from}:${line}`;
      if (isPackage || to === null) return [];
      if (to.startsWith("..")) {
        return (to === TYPES && typeOnly) || to === WORDS
          ? []
          : [`${place}: imports ${to}, which is outside the program.`];
      }
      const isBelow = floor(to) < floor(from) || room(to) === room(from);
      return isBelow ? [] : [`${place}: imports cli/src/${to}, which is not on a floor below.`];
    }),
  ];
}
