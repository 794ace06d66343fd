/**
 * The D1 tables. Times are integers, milliseconds since the Unix epoch. Columns of mode JSON are parsed as they
 * are read; JSON that can be large (results, inventories) is passed on as text.
 *
 * `migrations/0000_tables.sql` is generated from here. Triggers and full-text tables, which drizzle cannot
 * express, are written by hand in `schema/triggers.sql`. Tables of the scoreboard, of machines and of
 * reports load with their code, from `schema/scoreboard.ts`, `schema/machines.ts` and `schema/reports.ts`; those of lobbies are used in SQL alone.
 */
export * from "./schema/idempotency.ts";
export * from "./schema/identity.ts";
export * from "./schema/jobs.ts";
export * from "./schema/runners.ts";
export * from "./schema/specs.ts";
export * from "./schema/tasks.ts";
