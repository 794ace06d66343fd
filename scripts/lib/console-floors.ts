/** The rules of `console/`: imports run down, from pages over parts to `lib`; files and functions have the bounds of `src`. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import ts from "typescript";
import { MAX_FUNCTION_LINES, MAX_LINES } from "./floors.ts";
import { functionLengths } from "./function-lengths.ts";

/** The ground first. */
const FLOORS = ["lib", "parts", "pages"];
/** One file with every text, however many there are. */
const TEXTS = "words.ts";
const PACKAGES = new Set(["preact", "preact/hooks", "openapi-fetch", "uplot"]);
/** Types alone, from the API document. */
const CLIENT = "../public/client.d.ts";

/** @param folder that of the console */
export function consoleFaults(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).replaceAll("\\", "/"))
    .sort()
    .flatMap((file) => fileFaults(file, readFileSync(join(folder, file), "utf8")));
}

/** @param file path from the console's folder */
export function fileFaults(file: string, text: string): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const lines = text.split("\n").length - 1;
  const place = `console/${file}`;
  return [
    ...(lines > MAX_LINES && file !== TEXTS
      ? [`${place} has ${lines} lines; ${MAX_LINES} are allowed. It holds two ideas: split it.`]
      : []),
    ...functionLengths(source)
      .filter((each) => each.lines > MAX_FUNCTION_LINES && file !== TEXTS)
      .map(
        ({ name, line, lines: length }) =>
          `${place}:${line}: the function ${name || "without a name"} has ${length} lines; ${MAX_FUNCTION_LINES} are allowed. It does two things: split it.`,
      ),
    ...ts
      .preProcessFile(text, true, true)
      .importedFiles.flatMap(({ fileName }) => importFaults(file, fileName))
      .map((fault) => `${place}: ${fault}`),
  ];
}

function importFaults(file: string, imported: string): string[] {
  if (!imported.startsWith(".")) {
    const isKnown = PACKAGES.has(imported) || imported.endsWith(".css");
    return isKnown ? [] : [`${imported} is not one of the console's packages`];
  }
  const target = posix.join(dirname(file), imported);
  if (target.startsWith("..")) {
    return target === CLIENT ? [] : [`${imported} is outside the console`];
  }
  return floorOf(target) > floorOf(file) ? [`${target} is on a floor above`] : [];
}

/** Files at the top hold everything; texts are on the ground. */
function floorOf(file: string): number {
  if (file === TEXTS) return 0;
  const floor = FLOORS.indexOf(file.split("/")[0] ?? "");
  return floor === -1 ? FLOORS.length : floor;
}
