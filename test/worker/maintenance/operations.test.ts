/** The SQL that docs/operations.md gives does what it says. */
import { env } from "cloudflare:workers";
import { test } from "vitest";
import operations from "../../../docs/operations.md?raw";
import { call, V0 } from "../harness/client.ts";
import { createJob, createPerson, createRunner, createSpec } from "../harness/factories.ts";

test("the full-text tables are filled again from what the others hold", async ({ expect }) => {
  const admin = await createPerson({ role: "root_admin" });
  const name = `Searched ${crypto.randomUUID()}`;
  const tag = `tag ${crypto.randomUUID()}`;
  await createSpec({ name });
  await createRunner();
  const job = await createJob({ name, tags: [tag] }, admin);
  const deleted = await createJob({ tags: [tag] }, admin);
  await call("DELETE", "/jobs/delete", { token: admin.token, body: { id: deleted.id } });
  const { token } = admin;
  const search = async () => {
    const term = encodeURIComponent(name.slice(0, 20));
    const specs = await call("GET", `${V0}/specs?search=${term}`, { token });
    const runners = await call("GET", `${V0}/runners?search=runner-`, { token });
    const byName = await call("GET", `/jobs?name=${term}`, { token });
    const byTag = await call("GET", `/jobs?tags=${encodeURIComponent(tag)}`, { token });
    return [
      specs.body.length,
      runners.body.length,
      ...[byName, byTag].map(({ body }) => body.results.map(({ id }: { id: string }) => id)),
    ];
  };
  const found = [1, 1, [job.id], [job.id]];
  expect(await search()).toEqual(found);
  const [, sql = ""] = /```sql\n(.*?)```/s.exec(operations) ?? [];
  const statements = sql.split(/;\n/).filter((statement) => statement.trim() !== "");
  const clearing = statements.filter((statement) => statement.includes("'delete-all'"));
  expect(clearing).toHaveLength(4);
  for (const statement of clearing) await env.DB.prepare(statement).run();
  expect(await search(), "nothing is found").toEqual([0, 0, [], []]);
  for (const statement of statements) await env.DB.prepare(statement).run();
  expect(await search()).toEqual(found);
});
