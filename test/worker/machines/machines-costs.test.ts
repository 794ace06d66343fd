/** Costs of machines: lists, histories, comparisons, and what a job writes for them. */
import { env } from "cloudflare:workers";
import { test } from "vitest";
import listsPage from "../../../docs/lists.md?raw";
import { createPerson } from "../harness/factories.ts";
import { insertJobRow } from "../harness/rows.ts";
import { testMachineCosts } from "./machines-costs.ts";

testMachineCosts([1_000]);

const NODE = `INSERT INTO tasks (id, job_id, rank, version, machine_uuid, host_name, gpu_model, gpu_count, models, state, steps, created_at, customer_id, user_id)
  VALUES (?1, ?2, 0, 1, ?3, 'gpu-node', 'NVIDIA L4', 1, '["l4"]', 'running', '[]', ?4, ?5, ?6)`;

test("a job writes the rows for its machines that docs/lists.md names", async ({ expect }) => {
  const owner = await createPerson();
  let serial = 5_000;
  const written = async (query: string, ...values: unknown[]) => {
    const { meta } = await env.DB.prepare(query)
      .bind(...values)
      .run();
    return meta.rows_written;
  };
  /** Rows that a node's join writes, with those of its machine; and its task. */
  const join = async (uuid: string) => {
    serial++;
    const id = serial * 512;
    await insertJobRow(owner, { id });
    const { customerId, id: userId } = owner;
    const rows = await written(NODE, id + 1, id, uuid, serial * 60_000, customerId, userId);
    return { id: id + 1, rows };
  };
  const rate = (id: number, status: string) =>
    written("UPDATE tasks SET performance_status = ?2 WHERE id = ?1", id, status);
  // The first machines make the counters of all labels.
  for (const uuid of ["one", "two"]) await rate((await join(uuid)).id, "expected");
  const first = await join("three");
  const ratedFirst = await rate(first.id, "expected");
  const again = await join("three");
  const ratedSame = await rate(again.id, "expected");
  const third = await join("three");
  const ratedOther = await rate(third.id, "underperforming");
  const ratedBack = await rate((await join("three")).id, "expected");
  const told =
    /writes (\d+) rows where its machine first appears.* and (\d+) where it is seen again\. A verdict writes (\d+) .*\smost (\d+): its rows/s
      .exec(listsPage)
      ?.slice(1)
      .map(Number);
  expect([first.rows, again.rows, ratedSame, ratedBack - ratedSame]).toEqual(told);
  // Nothing beyond that: a verdict on a machine without one, and a worse one.
  expect(Math.max(ratedFirst, ratedOther)).toBeLessThanOrEqual(ratedBack);
});
