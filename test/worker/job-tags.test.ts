/** The tags of the jobs that one sees: by role, without those of deleted jobs, flat in the number of jobs. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { listJobTagsRoute } from "../../src/jobs/contract.ts";
import {
  call,
  costOf,
  createCustomer,
  createJob,
  createPerson,
  expectContract,
  expectError,
  rowsReadBy,
} from "./harness.ts";

const tagsOf = (person: { token: string }) => call("GET", "/jobs/tags", { token: person.token });

describe("whose tags", () => {
  test("own jobs', the customer's, all; each once, sorted by bytes", async ({ expect }) => {
    const customerId = await createCustomer();
    const owner = await createPerson({ customerId });
    const colleague = await createPerson({ customerId });
    const admin = await createPerson({ customerId, role: "customer_admin" });
    const foreign = await createPerson({ role: "customer_admin" });
    const staff = await createPerson({ role: "staff" });
    expect((await tagsOf(owner)).body).toEqual({ tags: [] });
    await createJob({ tags: ["zeta", "Ärger", "provider: aws"] }, owner);
    await createJob({ tags: ["Zeta", "zeta"] }, owner);
    await createJob({ tags: ["theirs", "zeta"] }, colleague);
    const reply = await tagsOf(owner);
    expectContract(expect, reply, listJobTagsRoute, 200);
    expect(reply.body.tags).toEqual(["Zeta", "provider: aws", "zeta", "Ärger"]);
    expect((await tagsOf(colleague)).body.tags).toEqual(["theirs", "zeta"]);
    const all = ["Zeta", "provider: aws", "theirs", "zeta", "Ärger"];
    expect((await tagsOf(admin)).body.tags).toEqual(all);
    expect((await tagsOf(foreign)).body.tags).toEqual([]);
    expect((await tagsOf(staff)).body.tags).toEqual(expect.arrayContaining(all));
    const headers = { "if-none-match": reply.headers.get("etag") ?? "" };
    expect((await call("GET", "/jobs/tags", { token: owner.token, headers })).status).toBe(304);
  });

  test("a deleted job's are gone, but for those that others have", async ({ expect }) => {
    const owner = await createPerson();
    const job = await createJob({ tags: ["shared", "lonely"] }, owner);
    await createJob({ tags: ["shared"] }, owner);
    await call("DELETE", "/jobs/delete", { token: owner.token, body: { id: job.id } });
    expect((await tagsOf(owner)).body.tags).toEqual(["shared"]);
    const left = await env.DB.prepare("SELECT count(*) AS n FROM job_tags WHERE job_id = ?")
      .bind(Number(job.id))
      .first();
    expect(left).toEqual({ n: 0 });
    await env.DB.prepare("UPDATE jobs SET deleted_at = NULL WHERE id = ?")
      .bind(Number(job.id))
      .run();
    expect((await tagsOf(owner)).body.tags).toEqual(["lonely", "shared"]);
  });

  test("nobody without a token", async ({ expect }) => {
    expectError(expect, await call("GET", "/jobs/tags"), 401, "CLIENT_TOKEN_INVALID");
  });
});

describe("costs", () => {
  test("four rows written per tag", async ({ expect }) => {
    const { id, customerId } = await createPerson();
    const written = async (name: string, tags: string) => {
      const { meta } = await env.DB.prepare(
        `INSERT INTO jobs (id, customer_id, user_id, name, node_count, sequence, tags, token_key_id, created_at, expires_at, state, flushed_at)
         VALUES (?1, ?2, ?3, ?4, 1, '[]', ?5, '', 0, 0, 'created', 0)`,
      )
        .bind(512 * Number(name), customerId, id, name, tags)
        .run();
      return meta.rows_written;
    };
    await written("90001", "[]");
    // And one of the search by tags, whatever their number.
    const one = await written("90002", '["a"]');
    expect(one).toBeLessThanOrEqual(30 + 4);
    expect(await written("90003", '["a","b","c"]')).toBe(one + 8);
  });

  test("one round trip; rows by the tags there are, not by the jobs that have them", async ({
    expect,
  }) => {
    const customerId = await createCustomer();
    const user = await createPerson({ customerId });
    const admin = await createPerson({ customerId, role: "customer_admin" });
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9999)
       INSERT INTO jobs (id, customer_id, user_id, name, node_count, sequence, tags, token_key_id, created_at, expires_at, state, flushed_at)
       SELECT 512 * (200000 + i), ?1, ?2, 'job ' || i, 1, '[]', json_array('tag ' || (i % 10), 'every'), '', i, 0, 'created', 0 FROM n`,
    )
      .bind(customerId, user.id)
      .run();
    for (const person of [user, admin]) {
      expect(await costOf(() => tagsOf(person))).toMatchObject({ status: 200, object_hops: 0 });
      expect(await costOf(() => tagsOf(person))).toMatchObject({ d1_round_trips: 1 });
      expect((await tagsOf(person)).body.tags).toHaveLength(11);
    }
    const staff = await createPerson({ role: "staff" });
    await tagsOf(staff);
    for (const person of [user, admin, staff]) {
      const { read, reply } = await rowsReadBy(() => tagsOf(person));
      expect(read).toHaveLength(1);
      expect(read[0]).toBeLessThanOrEqual(4 * (reply.body.tags.length + 1));
    }
  });
});
