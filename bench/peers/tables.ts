/** The product's rows as peers hold them: plain tables, in D1 beside the product's own and in a file of SQLite. */
import { randomUUID } from "node:crypto";
import type { Database } from "../../scripts/lib/local-worker.ts";

/** Rows that are read from D1 at a time. */
const PAGE = 5_000;
const SPECS_AT_ONCE = 20_000;

export const INDEXES = [
  "CREATE INDEX textbook_jobs_order ON textbook_jobs (created_at)",
  "CREATE UNIQUE INDEX textbook_jobs_id ON textbook_jobs (id)",
  "CREATE INDEX textbook_specs_order ON textbook_specs (name)",
];

/** @param token as long as the product's tokens of jobs */
const copies = (token: string) => [
  `CREATE TABLE textbook_jobs AS SELECT id, name, '${token}' AS token, description, state, node_count, current_nodes,
     sequence, tags, provider, region, order_reference AS "order", created_at, started_at, expires_at, ended_at, spec_check
     FROM jobs WHERE deleted_at IS NULL`,
  `CREATE TABLE textbook_specs AS SELECT uuid, slug, name, os, architecture, cpu, memory, disk, network, created_at, modified_at
     FROM specs WHERE archived_at IS NULL`,
];

/** Copies all jobs and specs into the textbook's tables of the same database. */
export async function fillTextbook(db: Database, token: string): Promise<void> {
  await dropTextbook(db);
  for (const sql of [...copies(token), ...INDEXES]) await db.batch([db.prepare(sql)]);
}

export async function dropTextbook(db: Database): Promise<void> {
  for (const table of ["textbook_jobs", "textbook_specs"]) {
    await db.batch([db.prepare(`DROP TABLE IF EXISTS ${table}`)]);
  }
}

/** Adds specs, whose search and counters the product's own triggers write. */
export async function addSpecs(db: Database, count: number): Promise<void> {
  const insert = db.prepare(
    `INSERT INTO specs (uuid, name, slug, os, architecture, cpu, memory, disk, network, created_at, modified_at)
       SELECT value, 'H100 node ' || value, 'h100-' || value, 'ubuntu', 'x86_64', 26, 274877906944, 1099511627776, 1, 1, 1
       FROM json_each(?1)`,
  );
  for (let left = count; left > 0; left -= SPECS_AT_ONCE) {
    const uuids = Array.from({ length: Math.min(left, SPECS_AT_ONCE) }, () => randomUUID());
    await db.batch([insert.bind(JSON.stringify(uuids))]);
  }
}

/** Copies the textbook's tables into a new file of SQLite; false where this Node has no SQLite. */
export async function writeSqlite(db: Database, file: string): Promise<boolean> {
  const sqlite = await import("node:sqlite").catch(() => null);
  if (sqlite === null) return false;
  const copy = new sqlite.DatabaseSync(file);
  copy.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
  for (const table of ["textbook_jobs", "textbook_specs"]) {
    const page = db.prepare(
      `SELECT rowid AS at, * FROM ${table} WHERE rowid > ?1 ORDER BY rowid LIMIT ${PAGE}`,
    );
    let made = false;
    for (let at = 0; ; ) {
      const { results } = await page.bind(at).all<Record<string, string | number | null>>();
      const [first] = results;
      if (first === undefined) break;
      const columns = Object.keys(first).filter((name) => name !== "at");
      const names = columns.map((name) => `"${name}"`).join(", ");
      if (!made) copy.exec(`CREATE TABLE ${table} (${names})`);
      made = true;
      const insert = copy.prepare(
        `INSERT INTO ${table} (${names}) VALUES (${columns.map(() => "?").join(", ")})`,
      );
      copy.exec("BEGIN");
      for (const row of results) insert.run(...columns.map((name) => row[name] ?? null));
      copy.exec("COMMIT");
      at = Number(results.at(-1)?.at);
    }
  }
  for (const sql of INDEXES) copy.exec(sql);
  copy.close();
  return true;
}
