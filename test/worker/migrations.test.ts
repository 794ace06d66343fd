/** What the schema in src/db cannot express and the migrations therefore add by hand. */
import { env } from "cloudflare:workers";
import { test } from "vitest";

test("the triggers behind the counter rows are there", async ({ expect }) => {
  const { results } = await env.DB.prepare(
    "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'jobs' ORDER BY name",
  ).all();
  expect(results).toEqual([
    { name: "job_counts_enter" },
    { name: "job_counts_insert" },
    { name: "job_counts_leave" },
  ]);
});

test("list pages are read from an index, without a scan or a sort, for every scope", async ({
  expect,
}) => {
  for (const [scope, index] of [
    ["user_id = 1 AND", "jobs_by_user_time"],
    ["customer_id = 1 AND", "jobs_by_customer_time"],
    ["", "jobs_by_time"],
  ] as const) {
    const { results } = await env.DB.prepare(
      `EXPLAIN QUERY PLAN SELECT * FROM jobs WHERE ${scope} deleted_at IS NULL
       ORDER BY created_at DESC, id DESC LIMIT 20`,
    ).all<{ detail: string }>();
    expect(results.map((row) => row.detail).join("; ")).toMatch(
      new RegExp(`^(SCAN|SEARCH) jobs USING INDEX ${index}( \\(.*\\))?$`),
    );
  }
});
