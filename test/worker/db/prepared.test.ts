/** A prepared query is the one that drizzle would write for the same values, however often it is used. */

import { env } from "cloudflare:workers";
import { asc, eq, getTableColumns, gt, type Placeholder, sql } from "drizzle-orm";
import { describe, test } from "vitest";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { insertFrom } from "../../../src/db/insert-from.ts";
import { prepareQuery } from "../../../src/db/prepared.ts";
import { customers } from "../../../src/db/schema/identity.ts";
import { jobs } from "../../../src/db/schema.ts";
import { createPerson } from "../harness/factories.ts";
import { db as plain } from "../harness/rows.ts";

const meter = createMeter();
const db = openDatabase(env.DB, meter);

const insertJob = prepareQuery((write) => {
  const names = Object.keys(ROW) as (keyof typeof ROW)[];
  const entries = names.map((name) => [name, sql.placeholder(name)]);
  const values = Object.fromEntries(entries) as Record<keyof typeof ROW, Placeholder>;
  return insertFrom(write, jobs, values, sql`where true`);
});
const selectJob = prepareQuery((write) =>
  write
    .select()
    .from(jobs)
    .where(eq(jobs.id, sql.placeholder("id"))),
);

const ROW = {
  id: 512,
  customerId: 1,
  userId: 1,
  name: "Größe 測試",
  description: null as string | null,
  nodeCount: 2,
  sequence: [{ benchmark_id: "quick_mark", config: null }],
  tags: ["a", "é"],
  foldedOrigins: null as { p?: string } | null,
  coordinated: true,
  tokenKeyId: "key",
  createdAt: 1,
  expiresAt: 2,
  state: "created" as const,
  flushedAt: 3,
};

describe("a prepared query", () => {
  test("stores and reads rows as drizzle does, with new values each time", async ({ expect }) => {
    const { customerId } = await createPerson();
    const rows = [
      { ...ROW, customerId },
      {
        ...{ ...ROW, customerId, id: 1_024, name: "Other", description: "d" },
        ...{ foldedOrigins: { p: "x" }, coordinated: false },
      },
    ];
    for (const row of rows) {
      const before = meter.d1RoundTrips;
      const [, [read], [byDrizzle]] = await db.batch([
        insertJob(db, row),
        selectJob(db, { id: row.id }),
        db.select().from(jobs).where(eq(jobs.id, row.id)),
      ]);
      expect(meter.d1RoundTrips - before).toBe(1);
      expect(read).toMatchObject(row);
      expect(read).toEqual(byDrizzle);
    }
    const stored = sql<string>`typeof(${jobs.foldedOrigins}) || typeof(${jobs.description})`;
    const types = await plain
      .select({ types: stored })
      .from(jobs)
      .where(eq(jobs.customerId, customerId))
      .orderBy(asc(jobs.id));
    expect(types.map((row) => row.types)).toEqual(["nullnull", "texttext"]);
  });

  test("has values of its own, and those of columns as their type stores them", async ({
    expect,
  }) => {
    const select = prepareQuery((write) =>
      write
        .select({ ...getTableColumns(customers), fixed: sql<string>`${"fixed"}`.as("fixed") })
        .from(customers)
        .where(gt(customers.id, sql.placeholder("after")))
        .orderBy(asc(customers.id))
        .limit(1),
    );
    const [[first]] = await db.batch([select(db, { after: -1 })]);
    const [[second]] = await db.batch([select(db, { after: first?.id ?? 0 })]);
    expect(first?.fixed).toBe("fixed");
    expect(second?.id).toBeGreaterThan(first?.id ?? 0);
    expect(() => select(db, {})).not.toThrow();
    await expect(db.batch([select(db, {})])).rejects.toThrow("No value for after");
  });
});
