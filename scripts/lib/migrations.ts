import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { ROOT, runWrangler } from "./project.ts";

/** Where wrangler and Miniflare keep D1 databases, within a state folder. */
const D1_FOLDER = "v3/d1/miniflare-D1DatabaseObject";

/** An error names this many differences at most. */
const MAX_NAMED_DIFFERENCES = 5;

/** The project's migrations, in the order they apply. */
export function readMigrations(): { name: string; sql: string }[] {
  const folder = join(ROOT, "migrations");
  return readdirSync(folder)
    .filter((file) => file.endsWith(".sql"))
    .sort()
    .map((name) => ({ name, sql: readFileSync(join(folder, name), "utf8") }));
}

/**
 * Applies the migrations to the database of a state folder, which is made when it is missing.
 *
 * @throws Error for the user, if another version of Assay made the database
 */
export async function prepareDatabase(state: string): Promise<void> {
  const differences = schemaDifferences(state);
  if (differences.length > 0) {
    const named = differences.slice(0, MAX_NAMED_DIFFERENCES).join(", ");
    const more = differences.length > MAX_NAMED_DIFFERENCES ? ", …" : "";
    throw new Error(
      `The data in ${state} was written by another version of Assay, and this version cannot read it (different: ${named}${more}). Move that folder away, or set ASSAY_STATE to another one.`,
    );
  }
  mkdirSync(state, { recursive: true });
  const args = ["d1", "migrations", "apply", "DB", "--local", "--persist-to", state];
  await runWrangler(args, { offline: true });
}

/**
 * Names of what makes the databases of a state folder differ from the migrations applied to them: until
 * the first release the migrations change in place, so their names alone tell too little.
 */
function schemaDifferences(state: string): string[] {
  return databaseFiles(state).flatMap((file) => {
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      return differencesOf(database);
    } finally {
      database.close();
    }
  });
}

/** The files of the D1 databases of a state folder: one, once `prepareDatabase` has made it. */
export function databaseFiles(state: string): string[] {
  const folder = join(state, D1_FOLDER);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((file) => file.endsWith(".sqlite") && !file.startsWith("metadata"))
    .map((file) => join(folder, file));
}

function differencesOf(database: DatabaseSync): string[] {
  const schema = schemaOf(database);
  if (!schema.has("d1_migrations")) return [];
  const applied = names(database, "SELECT name FROM d1_migrations ORDER BY id");
  const migrations = new Map(readMigrations().map(({ name, sql }) => [name, sql]));
  const reference = new DatabaseSync(":memory:");
  for (const name of applied) reference.exec(migrations.get(name) ?? "");
  const expected = schemaOf(reference);
  // Tables that SQLite, D1 and full-text search make for themselves.
  const internal = new Set(
    names(reference, "SELECT name FROM pragma_table_list WHERE type = 'shadow'"),
  );
  const isOurs = (name: string) => !/^(?:sqlite|_cf|d1)_/.test(name) && !internal.has(name);
  const objects = new Set([...expected.keys(), ...schema.keys()]);
  return [
    ...applied.filter((name) => !migrations.has(name)),
    ...[...objects].filter((name) => isOurs(name) && schema.get(name) !== expected.get(name)),
  ];
}

/** The statement that made each table, index, trigger and view, by name. */
function schemaOf(database: DatabaseSync): Map<string, string> {
  const rows = database.prepare("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").all();
  return new Map(rows.map(({ name, sql }) => [String(name), String(sql)]));
}

function names(database: DatabaseSync, query: string): string[] {
  const rows = database.prepare(query).all();
  return rows.map(({ name }) => String(name));
}
