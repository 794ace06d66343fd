/**
 * The floors of `src` (docs/architecture.md, "Rooms"): which folder may import which. Type imports count
 * as much as others, since whoever reads a type has to know the file it comes from. Long files and long
 * functions are faults, too.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import ts from "typescript";
import { type FunctionLength, functionLengths } from "./function-lengths.ts";

/** From the ground up. A folder imports only from floors below its own. */
export const FLOORS: readonly (readonly string[])[] = [
  ["lib"],
  ["db", "benchmarks"],
  ["api"],
  ["http"],
  ["resources"],
  ["identity", "lobbies"],
  ["specs", "scoreboard", "service"],
  ["reports", "machines", "comparison"],
  ["coordinator"],
  ["jobs", "runners"],
  ["nodes", "maintenance"],
  ["services.ts"],
  ["administration.ts"],
  ["app.ts"],
  ["index.ts"],
];

/** Folders within those of the floors. Each has a subject of its own; a new one is a decision. */
const NESTED = [
  "coordinator/channel",
  "coordinator/life",
  "coordinator/projection",
  "coordinator/storage",
  "coordinator/wire",
  "db/schema",
  "identity/api-tokens",
  "identity/audit-trail",
  "identity/customers",
  "identity/people",
  "identity/sign-in",
  "jobs/anonymous",
  "jobs/shares",
  "jobs/tasks",
  "reports/check",
  "reports/drawing",
  "reports/drawing/sections",
];

/** Decisions that follow from their arguments alone: their imports are types, or from files in this list. */
const PURE = [
  "lib/bytes.ts",
  "lib/enums.ts",
  "lib/json.ts",
  "lib/text.ts",
  "lib/stored-json.ts",
  "lib/stored-spec-check.ts",
  "benchmarks/",
  "scoreboard/facts.ts",
  "scoreboard/comparison.ts",
  "scoreboard/findings.ts",
  "scoreboard/link-findings.ts",
  "jobs/shares/redact.ts",
  "scoreboard/observations.ts",
  "scoreboard/verdict.ts",
  "scoreboard/baselines.ts",
  "scoreboard/figures.ts",
  "reports/check/",
  "lib/percent.ts",
  "reports/drawing/",
  "reports/assemble.ts",
  "reports/measurement.ts",
  "reports/node-results.ts",
  "reports/measurement.ts",
  "reports/subjects.ts",
  "reports/inventory.ts",
  "reports/link-table.ts",
  "reports/report-data.ts",
  "coordinator/life/",
  "runners/schedule.ts",
];

/** Packages that compute and reach nothing outside. */
const PURE_PACKAGES = ["@hono/zod-openapi", "any-ascii", "node:zlib"];

/** Packages that a folder must not know. */
const FORBIDDEN_PACKAGES: Readonly<Record<string, readonly string[]>> = {
  db: ["hono", "@hono/zod-openapi"],
  resources: ["hono", "@hono/zod-openapi"],
};

/** Longer files hold two ideas. */
export const MAX_LINES = 300;

/** Longer functions do two things. */
export const MAX_FUNCTION_LINES = 70;

export interface Import {
  /** Path from `src`. */
  from: string;
  /** Path from `src`, or the name of a package; null when only the running program knows it. */
  to: string | null;
  line: number;
  typeOnly: boolean;
  isPackage: boolean;
}

export interface House {
  files: readonly string[];
  /** Files that are not TypeScript, whose imports are not read. */
  otherFiles: readonly string[];
  imports: readonly Import[];
  /** Lines of each file. */
  lengths: ReadonlyMap<string, number>;
  /** Lengths of each file's functions. */
  functions: ReadonlyMap<string, readonly FunctionLength[]>;
}

/** Reads every import below `src`: static, dynamic, re-exported, and `import("…")` in types. */
export function readHouse(src: string): House {
  const paths = readdirSync(src, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(src, join(entry.parentPath, entry.name)))
    .sort();
  const isTypeScript = (path: string) => path.endsWith(".ts");
  const files = paths.filter(isTypeScript);
  const texts = files.map((file) => {
    const text = readFileSync(join(src, file), "utf8");
    return { file, text, source: ts.createSourceFile(file, text, ts.ScriptTarget.Latest) };
  });
  return {
    files,
    // SQL imports nothing.
    otherFiles: paths.filter((path) => !isTypeScript(path) && !path.endsWith(".sql")),
    imports: texts.flatMap(({ file, source }) => importsOf(src, file, source)),
    lengths: new Map(texts.map(({ file, text }) => [file, text.trimEnd().split("\n").length])),
    functions: new Map(texts.map(({ file, source }) => [file, functionLengths(source)])),
  };
}

function importsOf(src: string, from: string, source: ts.SourceFile): Import[] {
  const imports: Import[] = [];
  const visit = (node: ts.Node): void => {
    const specifier = specifierOf(node);
    if (specifier !== undefined) {
      const isPackage = specifier !== null && !/^[./]/.test(specifier);
      imports.push({
        from,
        to:
          specifier === null || isPackage
            ? specifier
            : relative(src, resolve(src, dirname(from), specifier)),
        line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1,
        typeOnly: isTypeOnly(node),
        isPackage,
      });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return imports;
}

/** What a node imports: null for a dynamic import of a computed name, undefined for other nodes. */
function specifierOf(node: ts.Node): string | null | undefined {
  let specifier: ts.Node | undefined;
  if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node))
    specifier = node.moduleSpecifier;
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    specifier = node.argument.literal;
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    specifier = node.arguments[0];
  }
  if (specifier === undefined) return undefined;
  return ts.isStringLiteralLike(specifier) ? specifier.text : null;
}

function isTypeOnly(node: ts.Node): boolean {
  if (ts.isImportTypeNode(node)) return true;
  if (ts.isExportDeclaration(node)) return node.isTypeOnly;
  if (!ts.isImportDeclaration(node) || node.importClause === undefined) return false;
  const { phaseModifier, name, namedBindings } = node.importClause;
  if (phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  if (name !== undefined || namedBindings === undefined) return false;
  return ts.isNamedImports(namedBindings) && namedBindings.elements.every((one) => one.isTypeOnly);
}

/** Everything that breaks a rule: one message each, with the place, what is allowed, and what to do. */
export function floorFaults(house: House): string[] {
  const unknown = [...new Set(house.files.map(roomOf))].filter((room) => floorOf(room) < 0);
  const unknownNested = [...new Set(house.files.map(folderOf))].filter(
    (folder) =>
      folder.includes("/") && !unknown.includes(roomOf(folder)) && !NESTED.includes(folder),
  );
  const files = new Set(house.files);
  return [
    ...house.otherFiles.map(
      (file) => `src/${file} is not a .ts file, so its imports are not checked. Write it as one.`,
    ),
    ...unknown.map(
      (room) =>
        `src/${room} has no floor. Add it to FLOORS in scripts/lib/floors.ts, above all that it imports.`,
    ),
    ...unknownNested.map(
      (folder) =>
        `src/${folder} is a new folder within src/${roomOf(folder)}. Add it to NESTED in scripts/lib/floors.ts, or put its files beside the others.`,
    ),
    ...[...house.lengths]
      .filter(([, lines]) => lines > MAX_LINES)
      .map(
        ([file, lines]) =>
          `src/${file} has ${lines} lines; ${MAX_LINES} are allowed. It holds two ideas: split it.`,
      ),
    ...[...house.functions].flatMap(([file, functions]) =>
      functions
        .filter(({ lines }) => lines > MAX_FUNCTION_LINES)
        .map(
          ({ name, line, lines }) =>
            `src/${file}:${line}: the function ${name || "without a name"} has ${lines} lines; ${MAX_FUNCTION_LINES} are allowed. It does two things: split it.`,
        ),
    ),
    ...house.imports.flatMap((one) =>
      importFaults(one, files).map((fault) => `${placeOf(one)}: ${fault}`),
    ),
    ...circlesOf(house).map(
      (circle) =>
        `Circle in ${[...new Set(circle.map(folderOf))].join(", ")}: ${circle.map((path) => `src/${path}`).join(" → ")}. ` +
        "Move what they share into a file that imports none of them.",
    ),
  ];
}

function importFaults(one: Import, files: ReadonlySet<string>): string[] {
  const { from, to, isPackage, typeOnly } = one;
  const room = roomOf(from);
  if (to === null) {
    return ["imports a computed name, which cannot be checked. Write the name as a literal."];
  }
  const faults: string[] = [];
  if (isPackage) {
    if (FORBIDDEN_PACKAGES[room]?.some((name) => to === name || to.startsWith(`${name}/`))) {
      faults.push(`imports ${to}, which src/${room} must not know. Do this in a folder above it.`);
    }
    if (isPure(from) && !typeOnly && !PURE_PACKAGES.includes(to)) {
      faults.push(
        `imports ${to}, but the file is pure: of packages it may use ${PURE_PACKAGES.join(", ")}. Pass what it needs as an argument.`,
      );
    }
    return faults;
  }
  if (to.startsWith("..")) {
    return [
      `imports ${to}, seen from src, which is outside. The Worker uses src and packages only.`,
    ];
  }
  if (!files.has(to)) {
    return [`imports src/${to}, which is not a file of src. Name the .ts file.`];
  }
  const own = floorOf(room);
  const other = floorOf(roomOf(to));
  if (roomOf(to) !== room && own >= 0 && other >= own) {
    const allowed = FLOORS.slice(0, own).flat().join(", ") || "no other folder";
    faults.push(
      `imports src/${to}, which is ${other === own ? "on the same floor" : "up a floor"}. ` +
        `src/${room} may import from ${allowed}. Move what is needed down, or pass it in from above.`,
    );
  }
  if (isStore(to) && !sameBranch(folderOf(from), folderOf(to))) {
    faults.push(
      `imports src/${to}, the store of another folder. Only src/${folderOf(to)} may use it: ask its service, or give it a function for this.`,
    );
  }
  if (isPure(from) && !isPure(to) && !typeOnly) {
    faults.push(
      `imports values of src/${to}, but the file is pure: types, and values of other pure files, are allowed. Pass what it needs as an argument.`,
    );
  }
  return faults;
}

/** Circles between files: of each group of files that reach each other, the shortest way round. */
function circlesOf({ files, imports }: House): string[][] {
  const next = new Map(files.map((file) => [file, new Set<string>()]));
  for (const { from, to } of imports) {
    if (to !== null && next.has(to)) next.get(from)?.add(to);
  }
  const circles: string[][] = [];
  const reported = new Set<string>();
  for (const file of files) {
    if (reported.has(file)) continue;
    const circle = shortestCircle(file, next);
    if (circle === undefined) continue;
    for (const member of circle) reported.add(member);
    circles.push(circle);
  }
  return circles;
}

function shortestCircle(
  start: string,
  next: ReadonlyMap<string, ReadonlySet<string>>,
): string[] | undefined {
  const paths: string[][] = [[start]];
  const seen = new Set<string>();
  for (const path of paths) {
    for (const to of next.get(path.at(-1) ?? start) ?? []) {
      if (to === start) return [...path, start];
      if (!seen.has(to)) paths.push([...path, to]);
      seen.add(to);
    }
  }
  return undefined;
}

/** Text for people: each floor's folders with their files, entries and imports among themselves. */
export function describeFloors({ files, imports }: House): string {
  const rows = FLOORS.flatMap((rooms, floor) =>
    rooms.map((room) => {
      const own = files.filter((file) => roomOf(file) === room);
      const entries = new Set(own.map((file) => file.split("/")[1] ?? file));
      const arrows = imports.filter(
        ({ from, to, isPackage }) =>
          !isPackage && to !== null && roomOf(from) === room && roomOf(to) === room,
      );
      return { floor, room, files: own.length, entries: entries.size, arrows: arrows.length };
    }),
  ).reverse();
  return [
    "floor  folder        files  entries  imports inside",
    ...rows.map(({ floor, room, files: count, entries, arrows }) =>
      [
        String(floor).padStart(5),
        ` ${room.padEnd(12)}`,
        String(count).padStart(6),
        String(entries).padStart(8),
        String(arrows).padStart(15),
      ].join(" "),
    ),
  ].join("\n");
}

function roomOf(path: string): string {
  return path.split("/")[0] ?? path;
}

function folderOf(path: string): string {
  return dirname(path);
}

function floorOf(room: string): number {
  return FLOORS.findIndex((rooms) => rooms.includes(room));
}

function isStore(path: string): boolean {
  return /(^|[/-])store\.ts$/.test(path);
}

/** A store also serves the folders that its own lies in, and those that lie in its own. */
function sameBranch(left: string, right: string): boolean {
  return `${left}/`.startsWith(`${right}/`) || `${right}/`.startsWith(`${left}/`);
}

function isPure(path: string): boolean {
  return PURE.some((pure) => (pure.endsWith("/") ? path.startsWith(pure) : path === pure));
}

function placeOf({ from, line }: Import): string {
  return `src/${from}:${line}`;
}
