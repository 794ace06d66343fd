/**
 * The lists as textbooks have them: COUNT and OFFSET over plain tables in D1, each with the one index that its order needs,
 * and bodies like the product's. It asks nobody who they are; tokens were made beforehand. A machine's poll reads the
 * job's row from D1.
 */
import { Hono } from "hono";
import type { BaselineEnv } from "./env.ts";

interface JobRow extends Record<string, string | number | null> {
  id: number;
  sequence: string;
  tags: string;
  created_at: number;
  started_at: number | null;
  expires_at: number;
  ended_at: number | null;
}

const app = new Hono<{ Bindings: BaselineEnv }>();
const timeOf = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());

function jobOf(row: JobRow) {
  const { id, sequence, tags, created_at, started_at, expires_at, ended_at, ...rest } = row;
  const steps: { benchmark_id: string }[] = JSON.parse(sequence);
  return {
    id: String(id),
    ...rest,
    benchmark_sequence: steps,
    tags: JSON.parse(tags),
    created_at: timeOf(created_at),
    started_at: timeOf(started_at),
    expires_at: timeOf(expires_at),
    ended_at: timeOf(ended_at),
    gpu_models: null,
    quickmark_aggregate_results: null,
    performance: null,
    performance_nodes: null,
    benchmarks: steps.map(({ benchmark_id: benchmark }) => benchmark),
  };
}

async function pageOf<Row>(db: D1Database, table: string, order: string, page: number) {
  const perPage = 20;
  const [counted, found] = await db.batch<Row & { total: number }>([
    db.prepare(`SELECT COUNT(*) AS total FROM ${table}`),
    db
      .prepare(`SELECT * FROM ${table} ORDER BY ${order} LIMIT ? OFFSET ?`)
      .bind(perPage, (page - 1) * perPage),
  ]);
  const total = Number(counted?.results[0]?.total);
  const pages = Math.ceil(total / perPage);
  return {
    results: found?.results ?? [],
    pagination: {
      ...{ total, page, per_page: perPage, total_pages: pages },
      ...{ has_next: page < pages, has_prev: page > 1 },
    },
  };
}

app.get("/jobs", async (c) => {
  const page = Number(c.req.query("page") ?? 1);
  const { results, pagination } = await pageOf<JobRow>(
    c.env.DB,
    "textbook_jobs",
    "created_at DESC",
    page,
  );
  return c.json({ results: results.map(jobOf), pagination });
});

app.get("/specs", async (c) => {
  const page = Number(c.req.query("page") ?? 1);
  const { results } = await pageOf<Record<string, string | number | null>>(
    c.env.DB,
    "textbook_specs",
    "name",
    page,
  );
  return c.json(
    results.map(({ network, created_at, modified_at, ...spec }) => ({
      ...spec,
      network: network === 1,
      created: timeOf(Number(created_at)),
      modified: timeOf(Number(modified_at)),
      archived: null,
    })),
  );
});

app.get("/current", async (c) => {
  const row = await c.env.DB.prepare("SELECT * FROM textbook_jobs WHERE id = ?")
    .bind(Number(c.req.query("id")))
    .first<JobRow>();
  return row === null ? c.json({ error: "not found" }, 404) : c.json(jobOf(row));
});

export default app;
