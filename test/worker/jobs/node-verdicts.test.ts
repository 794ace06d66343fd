/**
 * Node verdicts of a list: within 512 KiB as stored they come with the page, beyond it they are read while the reply is
 * sent.
 */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { createApp } from "../../../src/app.ts";
import { tasks } from "../../../src/db/schema.ts";
import type { StoredNodeVerdict } from "../../../src/lib/stored-json.ts";
import { API, appDeps, call, detail } from "../harness/client.ts";
import { createPerson, measureJob, type Person } from "../harness/factories.ts";
import { costOf, rowsReadBy } from "../harness/instruments.ts";
import { db, insertJobRow, taskValues } from "../harness/rows.ts";

const PATH = "/jobs?include=performance,performance_nodes&per_page=300&sort_order=asc";
const KIB = 1_024;
const READ_BYTES = 512 * KIB;

let serial = 0;

/** A verdict of about so many bytes of UTF-8. */
function verdictOf(bytes: number): StoredNodeVerdict {
  const gpuId = `${"ä".repeat(bytes / 2)} 😀`;
  const gpu = { gpu: 0, metric: "bf16_tflops", value: 1, median: 2, ratio: 0.5 };
  const stragglers = [{ ...gpu, gpuId }];
  const none = { metrics: [], drops: [], findings: [], moreFindings: 0, isReplayed: false };
  return { status: "unrated", gpuModels: null, stragglers, ...none };
}

/** A job per item; each has a node for each number of bytes. */
async function withVerdicts(sizes: readonly (readonly number[])[]): Promise<Person> {
  const person = await createPerson();
  for (const [at, nodes] of sizes.entries()) {
    const id = (900_000_000 + ++serial) * 512;
    await insertJobRow(person, { id, name: `job ${at}`, state: "completed", endedAt: 1 });
    for (const [rank, bytes] of nodes.entries()) {
      const verdict = verdictOf(bytes);
      await db.insert(tasks).values(taskValues({ id: id + 1 + rank, jobId: id, rank, verdict }));
    }
  }
  await call("GET", "/benchmarks", { token: person.token });
  return person;
}

/** The sizes of the verdicts in a list, as `withVerdicts` takes them; null for a job without any. */
function sizesIn(body: {
  results: { performance_nodes: null | { stragglers: { gpu_id: string }[] }[] }[];
}) {
  return body.results.map(
    ({ performance_nodes: nodes }) =>
      nodes?.map(({ stragglers: [gpu] }) => ((gpu?.gpu_id.length ?? 0) - 3) * 2) ?? null,
  );
}

/** Bytes of verdicts that a statement reads. */
async function bytesReadBy(query: string, values: unknown[]): Promise<number> {
  const { results } = await env.DB.prepare(query)
    .bind(...values)
    .all<Record<string, unknown>>();
  return results.reduce((sum, row) => {
    const verdict = row.verdict ?? row.node_verdict;
    return sum + (typeof verdict === "string" ? Buffer.byteLength(verdict) : 0);
  }, 0);
}

describe("GET /jobs with node verdicts", () => {
  test("within the bound: one round trip", async ({ expect }) => {
    const sizes = [[150 * KIB, 150 * KIB], [], [100 * KIB, 75 * KIB]];
    const person = await withVerdicts(sizes);
    const list = () => call("GET", PATH, { token: person.token });
    const { reply, statements } = await rowsReadBy(list);
    expect(reply.status).toBe(200);
    expect(sizesIn(reply.body)).toEqual([sizes[0], null, sizes[2]]);
    expect(statements).toHaveLength(3);
    expect(await costOf(list)).toMatchObject({ d1_round_trips: 1 });
  });

  test("beyond it: groups within the bound, a large job in parts, every verdict once", async ({
    expect,
  }) => {
    const sizes = [
      [225 * KIB, 225 * KIB],
      [150 * KIB, 150 * KIB],
      [75 * KIB],
      [],
      Array<number>(9).fill(125 * KIB),
      [10],
      [375 * KIB],
      [250 * KIB],
    ];
    const person = await withVerdicts(sizes);
    const { reply, statements } = await rowsReadBy(() =>
      call("GET", PATH, { token: person.token }),
    );
    expect(reply.status).toBe(200);
    expect(sizesIn(reply.body)).toEqual(sizes.map((nodes) => (nodes.length > 0 ? nodes : null)));
    const ranks = reply.body.results[4].performance_nodes.map(
      (node: { rank: number }) => node.rank,
    );
    expect(ranks).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    // The page, its total and the first verdicts, then the groups: 1 + 2, 4 in three parts, 5 + 6, 7.
    const [, , first, ...later] = statements;
    expect(later).toHaveLength(6);
    for (const { query, values } of [first, ...later].filter((each) => each !== undefined)) {
      expect(await bytesReadBy(query, values)).toBeLessThanOrEqual(READ_BYTES);
    }
  });

  test("7 MB of them are listed, and a client that stops reading stops the reads", async ({
    expect,
  }) => {
    const person = await withVerdicts(Array.from({ length: 20 }, () => [375 * KIB]));
    const app = await createApp(appDeps());
    const headers = { authorization: `Bearer ${person.token}` };
    const { statements } = await rowsReadBy(async () => {
      const reply = await app.request(`${API}${PATH}`, { headers });
      const reader = reply.body?.getReader();
      // The first verdict came with the page; 512 KiB more are in the first two groups.
      for (let read = 0; read < READ_BYTES; )
        read += (await reader?.read())?.value?.length ?? Infinity;
      await reader?.cancel();
    });
    expect(statements.length).toBeGreaterThan(3);
    expect(statements.length).toBeLessThanOrEqual(5);
    const { reply } = await rowsReadBy(() => call("GET", PATH, { token: person.token }));
    expect(sizesIn(reply.body)).toEqual(Array.from({ length: 20 }, () => [375 * KIB]));
    const head = await rowsReadBy(() => call("HEAD", PATH, { token: person.token }));
    expect(head.reply.status).toBe(200);
    expect(head.statements).toHaveLength(3);
  });
});

test("in a job's detail they are written while it is sent, and each of them is in its ETag", async ({
  expect,
}) => {
  const h100 = { gpu_model: "NVIDIA H100 80GB HBM3", gpu_count: 8 };
  const job = await measureJob([h100, h100].map((machine) => ({ ...machine, results: undefined })));
  const first = await detail(job);
  const [zero, one] = first.body.scoreboard_summary.nodes;
  expect([zero.rank, one.rank]).toEqual([0, 1]);
  expect((await detail(job)).headers.get("etag")).toBe(first.headers.get("etag"));
  const other = "UPDATE tasks SET verdict = json_set(verdict, '$[0]', 'o') WHERE id = ?";
  await env.DB.prepare(other)
    .bind(Number(job.id) + 2)
    .run();
  const second = await detail(job);
  expect(second.headers.get("etag")).not.toBe(first.headers.get("etag"));
  const { nodes } = second.body.scoreboard_summary;
  expect(nodes).toEqual([zero, { ...one, status: "outperforming" }]);
});
