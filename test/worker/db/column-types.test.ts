/** Values that no column takes: each line below must be a type error, or `npm run check:types` fails. */
import { eq } from "drizzle-orm";
import { getTableConfig } from "drizzle-orm/sqlite-core";
import { describe, test } from "vitest";
import { reports } from "../../../src/db/schema/reports.ts";
import { baselines, scoreboard } from "../../../src/db/schema/scoreboard.ts";
import { auditEvents, jobs, specs, tasks, users } from "../../../src/db/schema.ts";
import * as enums from "../../../src/lib/enums.ts";
import { db } from "../harness/rows.ts";

/** Built and never run: only their types matter. */
function wrong() {
  const step = { startedAt: null, endedAt: null, errorMessage: null };
  return [
    // @ts-expect-error: not a state of jobs
    db.update(jobs).set({ state: "finished" }),
    // @ts-expect-error: not a state of tasks
    db.update(tasks).set({ state: "pending" }),
    // @ts-expect-error: not a state of jobs
    db.select().from(jobs).where(eq(jobs.state, "finished")),
    // @ts-expect-error: not an outcome
    db.update(jobs).set({ performanceStatus: "good" }),
    // @ts-expect-error: not an outcome
    db.update(reports).set({ status: "good" }),
    // @ts-expect-error: not a role
    db.update(users).set({ role: "owner" }),
    // @ts-expect-error: not an action
    db.update(auditEvents).set({ action: "job_created" }),
    // @ts-expect-error: not an operating system
    db.update(specs).set({ os: "beos" }),
    // @ts-expect-error: not a metric that has baselines
    db.update(baselines).set({ metric: "tokens_per_second" }),
    // @ts-expect-error: JSON columns take values, not texts
    db.update(jobs).set({ sequence: "[]" }),
    // @ts-expect-error: a step is never `starting`
    db.update(tasks).set({ steps: [{ ...step, state: "starting" }] }),
    // @ts-expect-error: events are of a kind
    db.update(jobs).set({ events: [{ at: 0, kind: "paused", rank: null, message: "" }] }),
  ];
}

describe("columns with a closed set of values", () => {
  test("take nothing else", ({ expect }) => {
    expect(wrong).toBeTypeOf("function");
  });

  test("have their set from src/lib/enums.ts, so that table, model and schema agree", ({
    expect,
  }) => {
    const sets: unknown[] = Object.values(enums);
    const columns = [auditEvents, baselines, jobs, reports, scoreboard, specs, tasks, users]
      .flatMap((table) => getTableConfig(table).columns)
      .filter(({ enumValues }) => enumValues !== undefined && enumValues.length > 0);
    expect(columns.length).toBeGreaterThan(9);
    for (const { name, enumValues } of columns) expect(sets, name).toContain(enumValues);
  });
});
