/** What the schema in src/db cannot express and the migrations therefore add by hand. */
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
    "jobs job_counts_enter",
    "jobs job_counts_insert",
    "jobs job_counts_leave",
    "jobs job_search_delete",
    "jobs job_search_enter",
    "jobs job_search_insert",
    "jobs job_search_leave",
    "jobs job_tags_enter",
    "jobs job_tags_insert",
    "jobs job_tags_leave",
    "jobs tasks_deleted",
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
    "tasks runners_task",
    "tasks task_counts_enter",
    "tasks task_counts_insert",
    "tasks task_counts_leave",
    "users user_counts_delete",
    "users user_counts_insert",
    "users user_counts_update",
  ]);
});
