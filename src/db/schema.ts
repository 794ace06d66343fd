/**
 * The D1 tables. Times are integers, milliseconds since the Unix epoch. JSON columns hold text that
 * is passed on as it is. Triggers and partial indexes that drizzle cannot express are added to the
 * generated migration by hand; `test/worker/migrations.test.ts` shows that they are there.
 *
 * The scoreboard's own tables are not among these: they load with it, from `schema/scoreboard.ts`.
 */
export * from "./schema/idempotency.ts";
export * from "./schema/identity.ts";
export * from "./schema/jobs.ts";
export * from "./schema/runners.ts";
export * from "./schema/specs.ts";
