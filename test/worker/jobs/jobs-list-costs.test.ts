/** Costs of lists of jobs, and of creating a job. */
import { test } from "vitest";
import { call, V0 } from "../harness/client.ts";
import { createPerson, createSpec } from "../harness/factories.ts";
import { rowsReadBy } from "../harness/instruments.ts";
import { testListCosts } from "./jobs-list-costs.ts";

testListCosts([1_000, 10_000]);

test("creating a job writes at most 30 rows and 4 for each tag", async ({ expect }) => {
  const owner = await createPerson();
  const admin = await createPerson({ role: "root_admin" });
  const spec = await createSpec({}, admin);
  const body = {
    benchmarks: ["quick_mark", "cluster_network"],
    node_count: 4,
    tags: Array.from({ length: 10 }, (_, n) => `tag ${n}`),
    spec: spec.uuid,
  };
  const create = (tags: string[]) =>
    rowsReadBy(() =>
      call("POST", "/jobs", {
        token: owner.token,
        body: { ...body, tags },
        headers: { "idempotency-key": crypto.randomUUID() },
      }),
    );
  await create([]);
  for (const tags of [[], ["one"], body.tags]) {
    const { written, reply } = await create(tags);
    expect(reply.status, reply.text).toBe(201);
    const rows = written.reduce((sum, each) => sum + each, 0);
    // docs/lists.md says where each of them goes; at most 30 are allowed.
    expect(rows).toBe(24 + 4 * tags.length);
  }
  expect((await call("GET", `${V0}/specs/${spec.uuid}`, admin)).status).toBe(200);
});
