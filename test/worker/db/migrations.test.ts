/** The part of the schema that drizzle cannot express: src/db/schema/triggers.sql. */
import { env } from "cloudflare:workers";
import { test } from "vitest";

test("the triggers behind counter rows and search are there", async ({ expect }) => {
  const { results } = await env.DB.prepare(
    "SELECT tbl_name || ' ' || name AS name FROM sqlite_master WHERE type = 'trigger' ORDER BY 1",
  ).all<{ name: string }>();
  expect(results.map(({ name }) => name)).toEqual([
    "audit_events audit_counts_insert",
    "audit_events audit_events_no_delete",
    "audit_events audit_events_no_update",
    "customers customer_counts_delete",
    "customers customer_counts_insert",
    "jobs customer_usage_bodies",
    "jobs customer_usage_delete",
    "jobs customer_usage_insert",
    "jobs job_counts_delete",
    "jobs job_counts_enter",
    "jobs job_counts_insert",
    "jobs job_counts_leave",
    "jobs job_finding_counts_delete",
    "jobs job_finding_counts_enter",
    "jobs job_finding_counts_insert",
    "jobs job_finding_counts_leave",
    "jobs job_search_delete",
    "jobs job_search_enter",
    "jobs job_search_insert",
    "jobs job_search_leave",
    "jobs job_shares_deleted",
    "jobs job_tags_delete",
    "jobs job_tags_enter",
    "jobs job_tags_insert",
    "jobs job_tags_leave",
    "jobs performance_counts_delete",
    "jobs performance_counts_enter",
    "jobs performance_counts_insert",
    "jobs performance_counts_leave",
    "jobs task_figures_deleted",
    "jobs tasks_deleted",
    "machine_changes machines_change",
    "machine_figures customer_fleets_machine",
    "machine_figures customer_fleets_news",
    "machines machine_counts_delete",
    "machines machine_counts_insert",
    "machines machine_counts_update",
    "machines machines_search_delete",
    "machines machines_search_enter",
    "machines machines_search_insert",
    "machines machines_search_leave",
    "runners runner_counts_delete",
    "runners runner_counts_insert",
    "runners runner_counts_update",
    "runners runners_search_delete",
    "runners runners_search_insert",
    "runners runners_search_update",
    "specs spec_counts_delete",
    "specs spec_counts_insert",
    "specs spec_counts_update",
    "specs specs_in_use",
    "specs specs_search_delete",
    "specs specs_search_insert",
    "specs specs_search_update",
    "task_figures figures_search_delete",
    "task_figures figures_search_insert",
    "task_figures gpu_models_seen",
    "tasks machines_gone",
    "tasks machines_joined",
    "tasks machines_left",
    "tasks machines_told",
    "tasks runner_specs_checked",
    "tasks runner_specs_checked_again",
    "tasks runners_task",
    "tasks task_counts_delete",
    "tasks task_counts_enter",
    "tasks task_counts_insert",
    "tasks task_counts_leave",
    "tasks task_figures_gone",
    "tasks task_finding_counts_delete",
    "tasks task_finding_counts_enter",
    "tasks task_finding_counts_insert",
    "tasks task_finding_counts_leave",
    "users user_counts_delete",
    "users user_counts_insert",
    "users user_counts_update",
  ]);
});

test("the rows that every database begins with are there", async ({ expect }) => {
  const rows = async (query: string) => (await env.DB.prepare(query).all()).results;
  expect(await rows("SELECT id, slug FROM customers")).toEqual([{ id: 0, slug: "anonymous" }]);
  expect(await rows("SELECT id, customer_id, slug, role, locked FROM users")).toEqual([
    { id: 0, customer_id: 0, slug: "anonymous", role: "user", locked: 1 },
  ]);
  expect(await rows("SELECT * FROM scoreboard")).toEqual([{ id: 1, version: 0, rules: "" }]);
  expect(await rows("SELECT list, items FROM list_counts ORDER BY list")).toEqual([
    { list: "customers", items: 1 },
    { list: "users", items: 1 },
    { list: "users:0", items: 1 },
  ]);
});
