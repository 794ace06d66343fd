/** `provider`, `region` and `order` of a job: normal form, filters, list, detail, export and costs. */
import { describe, test } from "vitest";
import { createJobRoute, getJobRoute, listJobsRoute } from "../../../src/jobs/contract.ts";
import { call, detail, expectContract, expectError, join } from "../harness/client.ts";
import { createCustomer, createJob, createPerson } from "../harness/factories.ts";
import { costOf, flushed, rowsReadBy } from "../harness/instruments.ts";
import { insertJobRow } from "../harness/rows.ts";

const minimal = { benchmarks: [] };

async function shown(body: object) {
  const person = await createPerson();
  const created = await call("POST", "/jobs", { token: person.token, body });
  const reply = await call("GET", `/jobs/${created.body.id}`, { token: person.token });
  return { created, reply, person };
}

describe("creation", () => {
  test("trimmed, composed, and shown in list and detail", async ({ expect }) => {
    const sent = { provider: "  Ze\u0301ro Cloud ", region: "\teu-1\n", order: "PO 7" };
    const { created, reply, person } = await shown({ ...minimal, ...sent });
    expectContract(expect, created, createJobRoute, 201);
    const kept = { provider: "Z\u00e9ro Cloud", region: "eu-1", order: "PO 7" };
    expectContract(expect, reply, getJobRoute, 200);
    expect(reply.body).toMatchObject(kept);
    const list = await call("GET", "/jobs", { token: person.token });
    expectContract(expect, list, listJobsRoute, 200);
    expect(list.body.results).toMatchObject([kept]);
  });

  test.for([
    ["left out", {}],
    ["null", { provider: null, region: null, order: null }],
    ["empty", { provider: "", region: "", order: "" }],
    ["white space alone", { provider: " \u00a0 ", region: "\t", order: "\n" }],
  ] as const)("%s: null", async ([, sent], { expect }) => {
    const { reply } = await shown({ ...minimal, ...sent });
    expect(reply.body).toMatchObject({ provider: null, region: null, order: null });
  });

  test.for(["provider", "region", "order"])(
    "%s: both sides of its bounds",
    async (name, { expect }) => {
      const { token } = await createPerson();
      const create = (value: unknown) =>
        call("POST", "/jobs", { token, body: { ...minimal, [name]: value } });
      // Code points, of the composed form.
      expect((await create("😀".repeat(100))).status).toBe(201);
      expect((await create(`${"e\u0301".repeat(100)}  `)).status).toBe(201);
      const refused: [unknown, string][] = [
        ["x".repeat(101), "must have at most 100 characters"],
        ["a\u0000b", "must not contain control characters"],
        ["a\nb", "must not contain control characters"],
        [7, ""],
        [["x"], ""],
      ];
      for (const [value, message] of refused) {
        const reply = await create(value);
        expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
        const details = [{ field: name, message: expect.stringContaining(message) }];
        expect(reply.body.error.details).toMatchObject(details);
      }
    },
  );

  test("part of a repeated request: another region is another request", async ({ expect }) => {
    const { token } = await createPerson();
    const headers = { "idempotency-key": "one" };
    const create = (region: string) =>
      call("POST", "/jobs", { token, headers, body: { ...minimal, region } });
    const first = await create("eu-1");
    expect((await create("eu-1")).body.id).toBe(first.body.id);
    expectError(expect, await create("eu-2"), 422, "IDEMPOTENCY_KEY_REUSED");
  });
});

describe("filters", () => {
  const names = (reply: { body: { results: { name: string }[] } }) =>
    reply.body.results.map(({ name }) => name);

  test("the whole text in any case of any script; all that are given", async ({ expect }) => {
    const person = await createPerson();
    const job = (name: string, origins: object) => createJob({ name, ...origins }, person);
    await job("a", { provider: "Zürich Straße", region: "eu-1", order: "PO-1", tags: ["t"] });
    await job("b", { provider: "Zürich Straße", region: "eu-2" });
    await job("c", { provider: "Zürich", region: "EU-1" });
    // The texts of one field are no values of another.
    await job("d", { order: "eu-1" });
    const found = async (query: Record<string, string>) => {
      const search = new URLSearchParams({ sort_by: "name", sort_order: "asc", ...query });
      const reply = await call("GET", `/jobs?${search}`, { token: person.token });
      expect(reply.status, reply.text).toBe(200);
      expect(reply.body.pagination.total).toBe(names(reply).length);
      return names(reply).join("");
    };
    expect(await found({ provider: "zÜRICH STRASSE" })).toBe("ab");
    expect(await found({ provider: " zu\u0308rich straße " })).toBe("ab");
    expect(await found({ provider: "Zür" }), "no part of it").toBe("");
    expect(await found({ provider: "%" }), "no wildcard").toBe("");
    expect(await found({ provider: '" OR "' })).toBe("");
    expect(await found({ region: "Eu-1" })).toBe("ac");
    expect(await found({ order: "po-1" })).toBe("a");
    expect(await found({ order: "EU-1" })).toBe("d");
    expect(await found({ provider: "zürich strasse", region: "eu-1", order: "po-1" })).toBe("a");
    expect(await found({ region: "eu-1", tags: "t" })).toBe("a");
    expect(await found({ region: "eu-1", name: "c", state: "created" })).toBe("c");
    expect(await found({ region: "eu-1", state: "failed" })).toBe("");
    expect(await found({ provider: "", region: "" }), "empty is ignored").toBe("abcd");
    const newest = await call("GET", "/jobs?region=eu-1", { token: person.token });
    expect(newest.body.results).toMatchObject([
      { name: "c", region: "EU-1" },
      { name: "a", provider: "Zürich Straße", order: "PO-1" },
    ]);
  });

  test("each role finds the jobs that it sees; a deleted one is gone", async ({ expect }) => {
    const customerId = await createCustomer();
    const owner = await createPerson({ customerId });
    const colleague = await createPerson({ customerId });
    const admin = await createPerson({ customerId, role: "customer_admin" });
    const foreign = await createPerson({ role: "customer_admin" });
    const staff = await createPerson({ role: "staff" });
    const provider = crypto.randomUUID();
    const mine = await createJob({ name: "mine", provider }, owner);
    await createJob({ name: "theirs", provider }, colleague);
    const seenBy = async (person: { token: string }) =>
      names(await call("GET", `/jobs?provider=${provider}`, { token: person.token }));
    expect(await seenBy(owner)).toEqual(["mine"]);
    expect(await seenBy(colleague)).toEqual(["theirs"]);
    expect(await seenBy(admin)).toEqual(["theirs", "mine"]);
    expect(await seenBy(foreign)).toEqual([]);
    expect(await seenBy(staff)).toEqual(["theirs", "mine"]);
    await call("DELETE", "/jobs/delete", { token: owner.token, body: { id: mine.id } });
    expect(await seenBy(staff)).toEqual(["theirs"]);
  });

  test.for([
    ["provider=x&provider=y", "provider", "must be given once"],
    [`region=${"x".repeat(101)}`, "region", "must have at most 100 characters"],
    ["order=%07", "order", "must not contain control characters"],
    ["providers=x", "providers", "did you mean provider?"],
  ] as const)("?%s is refused", async ([query, field, message], { expect }) => {
    const { token } = await createPerson();
    const reply = await call("GET", `/jobs?${query}`, { token });
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    const details = [{ field, message: expect.stringContaining(message) }];
    expect(reply.body.error.details).toMatchObject(details);
  });
});

test("exports have them, from the job, in CSV and JSON Lines", async ({ expect }) => {
  const owner = await createPerson();
  const given = { provider: "=cmd(1)", region: "a,b", order: "PO-1" };
  const job = await createJob(given, owner);
  await join(job);
  await flushed(job);
  const bare = await createJob({}, owner);
  await join(bare);
  await flushed(bare);
  const exported = async (accept: string) =>
    (await call("GET", "/tasks", { token: owner.token, headers: { accept } })).text;
  const lines = (await exported("application/x-ndjson")).trim().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { job_id: bare.id, provider: null, region: null, order: null },
    { job_id: job.id, ...given },
  ]);
  const [header, bareRow, row] = (await exported("text/csv")).split("\r\n");
  expect(header).toMatch(/,provider,region,order$/);
  expect(bareRow).toMatch(/,,,$/);
  expect(row).toMatch(/,'=cmd\(1\),"a,b",PO-1$/);
});

test("a person of another customer learns nothing from the detail", async ({ expect }) => {
  const job = await createJob({ provider: "secret" });
  const stranger = await createPerson();
  expect((await detail({ ...job, owner: stranger })).text).not.toContain("secret");
});

describe("costs", () => {
  test("one row more, of the search, however many of the three; none without", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const written = async (number: number, columns: object) =>
      (await insertJobRow(owner, { id: 512 * number, ...columns })).meta.rows_written;
    await written(80_001, {});
    const bare = await written(80_002, {});
    const region = { region: "eu-1", foldedOrigins: { r: "eu-1" } };
    expect(await written(80_003, region)).toBe(bare + 1);
    const all = { ...region, foldedOrigins: { p: "x", r: "eu-1", o: "7" } };
    expect(await written(80_004, all)).toBe(bare + 1);
  });

  test("a filtered list: one round trip; an export: one row more for each task", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const job = await createJob({ region: "eu-1" }, owner);
    await join(job);
    await flushed(job);
    const list = () => call("GET", "/jobs?region=EU-1", { token: owner.token });
    expect(await costOf(list)).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
    const headers = { accept: "text/csv" };
    const { read } = await rowsReadBy(() => call("GET", "/tasks", { token: owner.token, headers }));
    const { read: page } = await rowsReadBy(() => call("GET", "/tasks", { token: owner.token }));
    expect(read[0]).toBe((page[0] ?? 0) + 1);
  });
});
