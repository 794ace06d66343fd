/** The list of jobs: what its parameters mean, what they refuse, and what its cursors hold. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { parseIso8601 } from "../../../src/api/query-parameters.ts";
import { listJobsRoute } from "../../../src/jobs/contract.ts";
import { firstJobIdAt, JobIdSource, jobCreatedAt } from "../../../src/lib/ids.ts";
import { call, detail, expectContract, expectError, join } from "../harness/client.ts";
import { createJob, createPerson, type Person, signedIn } from "../harness/factories.ts";
import { flushed } from "../harness/instruments.ts";
import { insertCustomer, insertUser, removeJob } from "../harness/rows.ts";

const person = await createPerson();

function list(query: string, { token }: Person = person) {
  return call("GET", `/jobs?${query}`, { token });
}

const idsOf = (reply: { body: { results: { id: string }[] } }) =>
  reply.body.results.map((job) => job.id);

describe("filters", () => {
  test("older clients send `tag` for `tags`; both are understood, repeated ones, too", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const both = await createJob({ tags: ["a", "größe: 1"] }, owner);
    const one = await createJob({ tags: ["a"] }, owner);
    expect(idsOf(await list("tag=a", owner))).toEqual([one.id, both.id]);
    expect(idsOf(await list("tags=a&tag=gr%C3%B6%C3%9Fe:%201", owner))).toEqual([both.id]);
    expect(idsOf(await list("tags=a&tags=a&tags=%20a%20", owner))).toEqual([one.id, both.id]);
    expect(idsOf(await list("tags=A", owner)), "case matters").toEqual([]);
  });

  test("both bounds of creation are exclusive; dates, zones, offsets and spaces are read", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const job = await createJob({}, owner);
    const { created_at } = (await detail(job)).body;
    const found = async (query: string) => idsOf(await list(query, owner)).length;
    const ms = Date.parse(created_at);
    const iso = (shift: number) => new Date(ms + shift).toISOString();
    expect(await found(`created_after=${created_at}`)).toBe(0);
    expect(await found(`created_before=${created_at}`)).toBe(0);
    expect(await found(`created_after=${iso(-1)}&created_before=${iso(1)}`)).toBe(1);
    expect(await found(`created_after=${iso(-1)}&created_before=${iso(-1)}`)).toBe(0);
    // Within a millisecond, too.
    expect(await found(`created_before=${created_at.replace("Z", "5Z")}`)).toBe(1);
    expect(await found(`created_after=${created_at.replace("Z", "5Z")}`)).toBe(0);
    expect(await found(`created_before=${created_at.replace("Z", "000001Z")}`)).toBe(1);
    expect(await found(`created_after=${iso(-1).replace("Z", "999999Z")}`)).toBe(1);
    expect(await found(`created_after=${iso(-1).replace("Z", "")}`)).toBe(1);
    const elsewhere = new Date(ms - 1 + 90 * 60_000).toISOString().replace("Z", "");
    expect(await found(`created_after=${elsewhere}%2B01:30`)).toBe(1);
    expect(await found(`created_after=${elsewhere} 01:30`)).toBe(1);
    expect(await found("created_after=2024-03-15")).toBe(1);
    expect(await found("created_after=9999-12-31")).toBe(0);
    expect(await found("created_before=0001-01-01")).toBe(0);
  });

  test("bounds that exclude each other and unknown benchmarks find nothing", async ({ expect }) => {
    await createJob({}, person);
    for (const query of ["node_count_min=3&node_count_max=2", "benchmark_id=no.such-thing"]) {
      const reply = await list(query);
      expectContract(expect, reply, listJobsRoute, 200);
      expect(reply.body).toMatchObject({ results: [], pagination: { total: 0, total_pages: 0 } });
    }
  });

  test("a name is a literal: no character is a wildcard", async ({ expect }) => {
    const owner = await createPerson();
    const odd = await createJob({ name: `100% "a_b" it's *` }, owner);
    await createJob({ name: "100x aXb its" }, owner);
    for (const part of ["100%", '"a_b"', "a_b", "it's", "*", "s *", "%"]) {
      expect(idsOf(await list(`name=${encodeURIComponent(part)}`, owner)), part).toEqual([odd.id]);
    }
    expect(idsOf(await list("name=", owner)), "an empty name is ignored").toHaveLength(2);
    // Case is folded for ASCII alone: the long s U+017F does not match s. The Kelvin sign U+212A is K in NFC.
    const long = await createJob({ name: "300 \u017Fhort" }, owner);
    expect(idsOf(await list("name=300%20s", owner))).toEqual([]);
    expect(idsOf(await list(`name=${encodeURIComponent("300 \u017F")}`, owner))).toEqual([long.id]);
    const kelvin = await createJob({ name: "300 \u212Aelvin" }, owner);
    for (const part of ["300 k", "300 \u212A"])
      expect(idsOf(await list(`name=${encodeURIComponent(part)}`, owner))).toEqual([kelvin.id]);
    // The index takes these three for one.
    for (const character of ["\uFFFD", "\uFFFE", "\uFFFF"]) {
      const { id } = await createJob({ name: `ab${character}cd` }, owner);
      expect(idsOf(await list(`name=${encodeURIComponent(`b${character}c`)}`, owner))).toEqual([
        id,
      ]);
    }
  });

  test("people and customers beyond the first 20,000 find their own by name", async ({
    expect,
  }) => {
    // The index has an id as two characters: these have one of them in common, or both the other way round.
    const numbers = [60_005, 60_003, 100_003, 100_005];
    const jobs: string[] = [];
    const viewers: Person[] = [];
    for (const id of numbers) {
      const uuid = crypto.randomUUID();
      await insertCustomer({ id, uuid, name: uuid, slug: uuid });
      const email = `${uuid}@example.com`;
      const values = { id, uuid, customerId: id, email, slug: uuid };
      await insertUser({ ...values, role: "user", passwordHash: "" });
      const owner = { id, uuid, customerId: id, token: await signedIn({ id, uuid }) };
      jobs.push((await createJob({ name: "Numbered" }, owner)).id);
      viewers.push(owner, await createPerson({ customerId: id, role: "customer_admin" }));
    }
    const found = await Promise.all(viewers.map((viewer) => list("name=numbered", viewer)));
    expect(found.map(idsOf)).toEqual(jobs.flatMap((id) => [[id], [id]]));
  });

  test("a job is shown alike, whatever finds it", async ({ expect }) => {
    const owner = await createPerson();
    const body = { name: "Alike", description: 'ä\n"', tags: ["x y", "ü"], node_count: 2 };
    const job = await createJob({ ...body, benchmarks: ["cluster_network"] }, owner);
    await join(job);
    await flushed(job);
    const anonymous = await call("POST", "/jobs/anonymous", { body: { tags: ["x y"] } });
    const staff = await createPerson({ role: "staff" });
    for (const [viewer, id] of [
      [owner, job.id],
      [staff, anonymous.body.id],
    ] as const) {
      const shown = async (query: string) => {
        const { results } = (await list(query, viewer)).body;
        return results.find((each: { id: string }) => each.id === id);
      };
      const plain = await shown("");
      expect(plain.id).toBe(id);
      const queries = ["tags=x%20y", "tags=x%20y&sort_by=name", `name=${plain.name.slice(0, 5)}`];
      for (const query of queries) expect(await shown(query), query).toEqual(plain);
    }
  });

  test("a deleted job is found by nothing, and one more by its words", async ({ expect }) => {
    const owner = await createPerson();
    const body = { name: "Twin", tags: ["twin"], benchmarks: ["cluster_network"], node_count: 2 };
    const first = await createJob(body, owner);
    const gone = await call("DELETE", "/jobs/delete", {
      token: owner.token,
      body: { id: first.id },
    });
    expect(gone.status).toBe(200);
    const queries = ["name=twi", "tags=twin", "benchmark_id=cluster_network", "state=created", ""];
    for (const query of queries) expect(idsOf(await list(query, owner)), query).toEqual([]);
    const second = await createJob(body, owner);
    for (const query of queries)
      expect(idsOf(await list(query, owner)), query).toEqual([second.id]);
    // Gone from the table for good, it leaves no word behind.
    await removeJob(second);
    for (const query of queries.slice(0, 3)) {
      const reply = await list(query, owner);
      expect([query, reply.status, reply.body.pagination.total]).toEqual([query, 200, 0]);
    }
    // A command of FTS5: it fails unless the index is just what the table says.
    await env.DB.prepare("INSERT INTO jobs_search (jobs_search) VALUES ('integrity-check')").run();
    await env.DB.prepare("INSERT INTO jobs_labels (jobs_labels) VALUES ('integrity-check')").run();
  });

  test("expansions may be repeated or comma-separated", async ({ expect }) => {
    for (const query of [
      "include=performance",
      "include=performance,performance_nodes",
      "include=performance_nodes&include=performance",
      "include_results=true&has_performance_data=false",
    ]) {
      expectContract(expect, await list(query), listJobsRoute, 200);
    }
  });
});

describe("bad input is 400 and names the field", () => {
  test.for([
    ["page=0", "page"],
    ["page=2147483648", "page"],
    ["page=1.5", "page"],
    ["page=1&page=2", "page"],
    ["per_page=0", "per_page"],
    ["per_page=301", "per_page"],
    ["per_page=-1", "per_page"],
    ["sort_by=id", "sort_by"],
    ["sort_by=", "sort_by"],
    ["sort_by=name&sort_by=state", "sort_by"],
    ["sort_order=up", "sort_order"],
    ["state=done", "state"],
    ["state=created&state=running", "state"],
    [`name=${"x".repeat(61)}`, "name"],
    ["name=a%00b", "name"],
    ["name=a&name=b", "name"],
    ["benchmark_id=a%20b", "benchmark_id"],
    [`benchmark_id=${"x".repeat(65)}`, "benchmark_id"],
    [Array.from({ length: 11 }, (_, n) => `tags=t${n}`).join("&"), "tags"],
    [`tag=x&${Array.from({ length: 10 }, (_, n) => `tags=t${n}`).join("&")}`, "tags"],
    ["tags=", "tags.0"],
    ["tags=ok&tags=a%3Bb", "tags.1"],
    [`tags=${"x".repeat(51)}`, "tags.0"],
    ["tag=a%22b", "tag.0"],
    ["created_after=yesterday", "created_after"],
    ["created_after=2024-02-30", "created_after"],
    ["created_after=2024-01-01T25:00:00Z", "created_after"],
    ["created_before=2024-13-01", "created_before"],
    ["created_before=1710498600", "created_before"],
    ["created_before=2024-01-01&created_before=2024-01-02", "created_before"],
    ["node_count_min=0", "node_count_min"],
    ["node_count_min=257", "node_count_min"],
    ["node_count_max=two", "node_count_max"],
    ["node_count_max=1&node_count_max=2", "node_count_max"],
    ["include_results=yes", "include_results"],
    ["has_performance_data=1", "has_performance_data"],
    ["include=everything", "include.0"],
    ["include=performance_nodes", "include"],
    ["cursor=!", "cursor"],
    ["cursor=WyJhZnRlciIsMV0", "cursor"],
    [`cursor=${"x".repeat(513)}`, "cursor"],
  ])("%s", async ([query = "", field = ""], { expect }) => {
    const reply = await list(query);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    const fields = reply.body.error.details.map((each: { field: string }) => each.field);
    expect(fields, reply.text).toEqual([field]);
  });
});

describe("cursors", () => {
  test("a cursor of other filters, of another order, of another list, or with a character changed: 400", async ({
    expect,
  }) => {
    const owner = await createPerson();
    for (let n = 0; n < 3; n++) await createJob({ tags: ["a", "b"] }, owner);
    const cursorOf = async (query: string): Promise<string> =>
      (await list(`per_page=1&${query}`, owner)).body.pagination.next_cursor;
    const cursor = await cursorOf("tags=a");
    expect((await list(`tags=a&cursor=${cursor}`, owner)).body.results).toHaveLength(2);
    expect((await list(`tags=a&include_results=true&cursor=${cursor}`, owner)).status).toBe(200);
    const others = ["", "tags=b", "tags=a&state=created", "tags=a&sort_order=asc", "tags=a&name=x"];
    for (const query of [...others, "tags=a&sort_by=name"]) {
      const reply = await list(`${query}&cursor=${cursor}`, owner);
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
      expect(reply.body.error.details).toMatchObject([{ field: "cursor" }]);
    }
    const tasks = await call("GET", `/tasks?cursor=${cursor}`, { token: owner.token });
    expectError(expect, tasks, 400, "PARAMETER_INCORRECT_VALUE");
    // Four bits of this one's last character say nothing.
    const whole = await cursorOf("sort_by=started_at");
    expect(whole.length % 4).toBe(2);
    for (const character of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
      const last = whole.slice(0, -1) + character;
      const { status } = await list(`sort_by=started_at&cursor=${last}`, owner);
      expect(status, last).toBe(last === whole ? 200 : 400);
    }
    const parts = JSON.parse(Buffer.from(cursor, "base64url").toString());
    const changed = [parts[0], parts[1] + 512, parts[2]];
    const forged = Buffer.from(JSON.stringify(changed)).toString("base64url");
    expectError(
      expect,
      await list(`tags=a&cursor=${forged}`, owner),
      400,
      "PARAMETER_INCORRECT_VALUE",
    );
  });

  test("what others add or delete meanwhile is neither repeated nor missed", async ({ expect }) => {
    const owner = await createPerson();
    const jobs = [];
    for (let n = 0; n < 6; n++) jobs.unshift((await createJob({}, owner)).id);
    const first = await list("per_page=2", owner);
    await createJob({}, owner);
    const gone = { id: jobs[1] };
    await call("DELETE", "/jobs/delete", { token: owner.token, body: gone });
    const next = await list(`per_page=4&cursor=${first.body.pagination.next_cursor}`, owner);
    expect(idsOf(next)).toEqual(jobs.slice(2));
    expect(next.body.pagination.has_next).toBe(false);
  });

  test("a page of the highest number leads on: the cursor alone says where", async ({ expect }) => {
    const owner = await createPerson();
    for (let n = 0; n < 3; n++) await createJob({}, owner);
    const { next_cursor } = (await list("per_page=1", owner)).body.pagination;
    const reply = await list(`per_page=1&page=${2 ** 31 - 1}&cursor=${next_cursor}`, owner);
    const next = /<([^>]+)>; rel="next"/.exec(reply.headers.get("link") ?? "")?.[1] ?? "";
    expect((await call("GET", next, { token: owner.token })).status, next).toBe(200);
  });

  test("ten long tags: the links stay below what clients read", async ({ expect }) => {
    const owner = await createPerson();
    const tags = Array.from({ length: 10 }, (_, n) => `${n}${"𠮷".repeat(49)}`);
    for (let n = 0; n < 3; n++) await createJob({ tags }, owner);
    const query = tags.map((tag) => `tags=${encodeURIComponent(tag)}`).join("&");
    const reply = await list(`per_page=1&page=2&${query}`, owner);
    expect(reply.body.pagination.total).toBe(3);
    const link = reply.headers.get("link") ?? "";
    expect(link.length).toBeLessThan(14_000);
    expect(link).toContain('rel="next"');
    expect(link).toContain('rel="prev"');
  });
});

describe("a job's id and its creation", () => {
  test("the id holds the time that the job shows", async ({ expect }) => {
    const job = await createJob({}, person);
    const { created_at, expires_at } = (await detail(job)).body;
    expect(new Date(jobCreatedAt(Number(job.id))).toISOString()).toBe(created_at);
    expect(Date.parse(expires_at) - Date.parse(created_at)).toBe(24 * 60 * 60_000);
    const ms = Date.parse(created_at);
    expect(firstJobIdAt(ms)).toBeLessThanOrEqual(Number(job.id));
    expect(firstJobIdAt(ms + 1)).toBeGreaterThan(Number(job.id));
  });

  test("ids rise in a burst, and follow a clock that was set back", ({ expect }) => {
    let now = Date.UTC(2026, 0, 1);
    const source = new JobIdSource({ now: () => now }, () => 0);
    const drawn = Array.from({ length: 20 }, () => source.next());
    expect(drawn).toEqual([...new Set(drawn)].sort((a, b) => a - b));
    now -= 60_000;
    expect(jobCreatedAt(source.next())).toBe(now);
  });
});

test("ISO 8601 as the contract reads it", ({ expect }) => {
  const noon = Date.UTC(2024, 2, 15, 12);
  for (const text of [
    ...[
      "2024-03-15T12:00:00Z",
      "2024-03-15T12:00:00.000Z",
      "2024-03-15T12:00",
      "2024-03-15 12:00Z",
    ],
    ...["2024-03-15T13:00:00+01:00", "2024-03-15T13:00:00 01:00", "2024-03-15T13:00+0100"],
    ...["2024-03-15T13:00+01", "2024-03-15T06:30:00-05:30", "2024-03-15t12:00:00z"],
  ]) {
    expect(parseIso8601(text), text).toBe(noon);
  }
  expect(parseIso8601("2024-03-15")).toBe(Date.UTC(2024, 2, 15));
  expect(parseIso8601("2024-03-15T12:00:00.5Z")).toBe(noon + 500);
  // Finer than a number of ms can be: between two of them, never on one.
  for (const [text, ms] of [
    ...[["12:00:00.1234567Z", 123.5] as const, ["12:00:00.123000000Z", 123] as const],
    ...[["12:00:00.000000001Z", 0.5] as const, ["11:59:59,999999999Z", -0.5] as const],
  ]) {
    expect(parseIso8601(`2024-03-15T${text}`), text).toBe(noon + ms);
  }
  for (const text of [
    ...["", "2024", "2024-03", "15.03.2024", "2024-03-15T", "2024-03-15T12", "2024-02-30"],
    ...[
      "2024-03-15T12:60Z",
      "2024-03-15T24:30Z",
      "2024-03-15T12:00+24:00",
      "2024-03-15T12:00+01:60",
    ],
    ...["+2024-03-15", "2024-03-15T12:00:60Z", "20240315T120000Z", " 2024-03-15"],
  ]) {
    expect(parseIso8601(text), text).toBeNull();
  }
});
