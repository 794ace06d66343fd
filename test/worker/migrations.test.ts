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
    "jobs job_counts_delete",
    "jobs job_counts_enter",
    "jobs job_counts_insert",
    "jobs job_counts_leave",
    "jobs job_search_delete",
    "jobs job_search_enter",
    "jobs job_search_insert",
    "jobs job_search_leave",
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
    "machine_figures gpu_models_machine",
    "machine_figures gpu_models_news",
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
    "task_figures gpu_models_seen",
    "tasks runners_task",
    "tasks task_counts_delete",
    "tasks task_counts_enter",
    "tasks task_counts_insert",
    "tasks task_counts_leave",
    "tasks task_figures_gone",
    "users user_counts_delete",
    "users user_counts_insert",
    "users user_counts_update",
  ]);
});

test("whoever has the slug of the customer without an account keeps it", async ({ expect }) => {
  const migration = env.TEST_MIGRATIONS.find(({ name }) => name.includes("anonymous_customer"));
  const rows = () =>
    env.DB.prepare("SELECT id, slug FROM customers WHERE slug LIKE 'anonymous%' ORDER BY id").all();
  expect((await rows()).results).toEqual([{ id: 0, slug: "anonymous" }]);
  await env.DB.batch(
    [
      "DELETE FROM users WHERE id = 0",
      "DELETE FROM customers WHERE id = 0",
      "INSERT INTO customers (id, uuid, name, slug, created_at, modified_at) VALUES (77, 'u', 'A', 'anonymous', 0, 0)",
      ...(migration?.queries ?? []),
    ].map((sql) => env.DB.prepare(sql)),
  );
  const [ours, theirs] = (await rows()).results;
  expect(ours).toEqual({ id: 0, slug: expect.stringMatching(/^anonymous-[0-9a-f]{8}$/) });
  expect(theirs).toEqual({ id: 77, slug: "anonymous" });
});
