/** The SQL of migrations: D1 splits it on its side. */
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { onOneLine, triggersSql } from "../../scripts/lib/generated-sql.ts";
import { readMigrations } from "../../scripts/lib/migrations.ts";

test("a statement loses its comments and line ends, and nothing of its texts", () => {
  const statement =
    "INSERT -- a comment; with 'a quote\r\n  INTO t\n VALUES ('two  spaces -- kept', 'it''s', 1-2);";
  expect(onOneLine(statement)).toBe("INSERT INTO t VALUES ('two  spaces -- kept', 'it''s', 1-2)");
});

test("every trigger is one line that no splitter cuts, and SQLite takes all of them", async () => {
  const lines = (await triggersSql()).trimEnd().split("\n").slice(1);
  const triggers = lines.filter((line) => line.startsWith("CREATE TRIGGER"));
  expect(triggers.length).toBeGreaterThan(10);
  for (const line of lines) expect(line).toMatch(/^CREATE .*;$|^INSERT .*;$/);
  for (const line of triggers) {
    expect(line).toMatch(/ BEGIN .*; END;$/);
    expect(line).not.toMatch(/\bCASE\b/i);
  }
  const database = new DatabaseSync(":memory:");
  for (const { sql } of readMigrations()) database.exec(sql);
  const count = "SELECT count(*) AS n FROM sqlite_master WHERE type = 'trigger'";
  expect(database.prepare(count).get()).toEqual({ n: triggers.length });
});
