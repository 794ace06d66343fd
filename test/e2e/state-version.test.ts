/** State folders that another version of Assay has written. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, expect, onTestFinished, test } from "vitest";
import { prepareDatabase, readMigrations } from "../../scripts/lib/migrations.ts";
import { findFreePort } from "../../scripts/lib/server.ts";
import { runCommand } from "./processes.ts";

/** A state folder with a database to which migrations were applied. */
function createState(
  migrations: readonly { name: string; sql: string }[],
  change = "",
): { state: string; written: () => unknown } {
  const state = mkdtempSync(join(tmpdir(), "assay-state-"));
  onTestFinished(() => rmSync(state, { recursive: true, force: true }));
  const folder = join(state, "v3/d1/miniflare-D1DatabaseObject");
  mkdirSync(folder, { recursive: true });
  const database = new DatabaseSync(join(folder, "0000.sqlite"));
  onTestFinished(() => database.close());
  database.exec("CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY, name TEXT, applied_at TEXT)");
  for (const { name, sql } of migrations) {
    database.exec(sql);
    database.prepare("INSERT INTO d1_migrations (name) VALUES (?)").run(name);
  }
  database.exec(change);
  const written = () => database.prepare("SELECT name FROM d1_migrations ORDER BY id").all();
  return { state, written };
}

describe("the state of another version", () => {
  test("npm start says so and what to do, and leaves it alone", async () => {
    const { state, written } = createState([
      { name: "0000_main_job.sql", sql: "CREATE TABLE jobs (id INTEGER PRIMARY KEY)" },
      { name: "0001_job_counts.sql", sql: "CREATE TABLE job_counts (scope TEXT)" },
    ]);
    const before = written();
    // Whoever runs these tests may have a server of their own on the usual port.
    const PORT = String(await findFreePort());
    const start = runCommand([process.execPath, "scripts/start.ts"], { ASSAY_STATE: state, PORT });
    expect(await start.exitCode, start.output()).toBe(1);
    expect(start.output()).toContain(
      `The data in ${state} was written by another version of Assay, and this version cannot read it (different: 0000_main_job.sql, 0001_job_counts.sql, `,
    );
    expect(start.output()).toContain("Move that folder away, or set ASSAY_STATE to another one.");
    expect(written()).toEqual(before);
  });

  test.for([
    ["a column more", "ALTER TABLE jobs ADD COLUMN extra text", "jobs"],
    ["an index less", "DROP INDEX jobs_by_spec", "jobs_by_spec"],
    ["a trigger less", "DROP TRIGGER job_counts_insert", "job_counts_insert"],
    ["a table more", "CREATE TABLE extra (id integer)", "extra"],
  ] as const)(
    "migrations of the same names, but with %s, are noticed",
    async ([, change, name]) => {
      const { state } = createState(readMigrations(), change);
      await expect(prepareDatabase(state)).rejects.toThrow(`(different: ${name})`);
    },
  );
});
