/**
 * The list of jobs as textbooks have it: COUNT and OFFSET over a table with one index. It asks nobody who
 * they are.
 */
import { Hono } from "hono";
import type { BaselineEnv } from "./env.ts";

const app = new Hono<{ Bindings: BaselineEnv }>();

app.get("/", async (c) => {
  const page = Number(c.req.query("page") ?? 1);
  const perPage = 20;
  const { DB } = c.env;
  const [counted, found] = await DB.batch<Record<string, unknown>>([
    DB.prepare("SELECT COUNT(*) AS total FROM textbook_jobs WHERE deleted_at IS NULL"),
    DB.prepare(
      "SELECT * FROM textbook_jobs WHERE deleted_at IS NULL ORDER BY created_at DESC LIMIT ? OFFSET ?",
    ).bind(perPage, (page - 1) * perPage),
  ]);
  const total = Number(counted?.results[0]?.total);
  return c.json({
    results: found?.results.map(({ sequence, tags, ...job }) => ({
      ...job,
      sequence: JSON.parse(String(sequence)),
      tags: JSON.parse(String(tags)),
    })),
    pagination: { total, page, per_page: perPage, total_pages: Math.ceil(total / perPage) },
  });
});

export default app;
