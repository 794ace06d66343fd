/** The tags of the jobs that one sees: by role, without those of deleted jobs, flat in the number of jobs. */
import { eq } from "drizzle-orm";
import { describe, test } from "vitest";
import { jobs, jobTags } from "../../../src/db/schema.ts";
import { listJobTagsRoute } from "../../../src/jobs/contract.ts";
import { call, expectContract, expectError } from "../harness/client.ts";
import { createCustomer, createJob, createPerson } from "../harness/factories.ts";
import { costOf, rowsReadBy } from "../harness/instruments.ts";
import { countOf, insertJobRow, insertRows, jobValues, setJob, times } from "../harness/rows.ts";

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
    expect(await countOf(jobTags, eq(jobTags.jobId, Number(job.id)))).toBe(0);
    await setJob(job, { deletedAt: null });
    expect((await tagsOf(owner)).body.tags).toEqual(["lonely", "shared"]);
  });

  test("nobody without a token", async ({ expect }) => {
    expectError(expect, await call("GET", "/jobs/tags"), 401, "CLIENT_TOKEN_INVALID");
  });
});

describe("costs", () => {
  test("four rows written per tag", async ({ expect }) => {
    const owner = await createPerson();
    const written = async (number: number, tags: string[]) => {
      const values = { id: 512 * number, tags };
      const { meta } = await insertJobRow(owner, values);
      return meta.rows_written;
    };
    await written(90_001, []);
    // And one of the search by tags, whatever their number.
    const one = await written(90_002, ["a"]);
    expect(one).toBeLessThanOrEqual(30 + 4);
    expect(await written(90_003, ["a", "b", "c"])).toBe(one + 8);
  });

  test("one round trip; rows by the tags there are, not by the jobs that have them", async ({
    expect,
  }) => {
    const customerId = await createCustomer();
    const user = await createPerson({ customerId });
    const admin = await createPerson({ customerId, role: "customer_admin" });
    const tagged = times(10_000, (number) =>
      jobValues(user, {
        id: 512 * (200_000 + number),
        name: `job ${number}`,
        tags: [`tag ${number % 10}`, "every"],
        createdAt: number,
      }),
    );
    await insertRows(jobs, tagged);
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
