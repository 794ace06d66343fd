/** The list of tasks: who sees what, filters, walking it, and what it costs at 10,000 tasks. */
import { env } from "cloudflare:workers";
import { drizzle } from "drizzle-orm/d1";
import { beforeAll, describe, test } from "vitest";
import listsPage from "../../../docs/lists.md?raw";
import type { TaskRecord } from "../../../src/coordinator/projection/records.ts";
import { writeProjection } from "../../../src/coordinator/projection/write-projection.ts";
import { tasks } from "../../../src/db/schema.ts";
import { listTasksRoute } from "../../../src/jobs/tasks/contract.ts";
import { patient } from "../../patience.ts";
import {
  call,
  expectContract,
  expectError,
  join,
  putResult,
  type Reply,
} from "../harness/client.ts";
import { createCustomer, createJob, createPerson, type Person } from "../harness/factories.ts";
import { costOf, flushed, rowsReadBy } from "../harness/instruments.ts";
import { insertJobRow, insertRows, storeTexts, taskValues, times } from "../harness/rows.ts";

interface TaskList {
  data: { id: string; job_id: string; benchmark_results: Record<string, unknown> | null }[];
  pagination: { page: number; per_page: number; total: number; pages: number; next_cursor: string };
}

function list(person: { token: string }, query = ""): Promise<Reply<TaskList>> {
  return call("GET", `/tasks${query}`, { token: person.token });
}

const idsOf = ({ body }: Reply<TaskList>) => body.data.map(({ id }) => id);

/** A job whose nodes have joined, as D1 knows it. */
async function joined(owner: Person, machines: Record<string, unknown>[]) {
  const job = await createJob({ node_count: machines.length }, owner);
  const tasks: string[] = [];
  for (const machine of machines) tasks.push((await join(job, machine)).body.id);
  await flushed(job);
  return { ...job, tasks };
}

describe("what is listed", () => {
  test("tasks newest first, in the contract's shape, with total and links", async ({ expect }) => {
    const owner = await createPerson();
    const first = await joined(owner, [{ machine_ip: "10.1.2.3" }, {}]);
    const second = await joined(owner, [{}]);
    const reply = await list(owner);
    expectContract(expect, reply, listTasksRoute, 200);
    expect(idsOf(reply)).toEqual([...second.tasks, ...first.tasks.toReversed()]);
    expect(reply.body.pagination).toEqual({
      page: 1,
      per_page: 20,
      total: 3,
      pages: 1,
      next_cursor: null,
    });
    expect(reply.headers.get("x-total-count")).toBe("3");
    expect(reply.headers.get("link")).toContain('rel="last"');
    expect(reply.body.data[2]).toMatchObject({
      job_id: first.id,
      machine_ip: "10.1.2.3",
      state: "running",
      benchmark_results: null,
    });
    expect(idsOf(await list(owner, "?sort_order=asc"))).toEqual([...first.tasks, ...second.tasks]);
    expect((await list(owner, "?page=9")).body).toMatchObject({
      data: [],
      pagination: { total: 3, pages: 1, next_cursor: null },
    });
  });

  test("nothing found is total 0 of 0 pages", async ({ expect }) => {
    const { body } = await list(await createPerson());
    expect(body).toEqual({
      data: [],
      pagination: { page: 1, per_page: 20, total: 0, pages: 0, next_cursor: null },
    });
  });

  test("filters choose, and combine", async ({ expect }) => {
    const owner = await createPerson();
    const uuid = crypto.randomUUID();
    const one = await joined(owner, [{ machine_uuid: uuid, machine_ip: "fe80::1" }, {}]);
    const two = await joined(owner, [{ machine_uuid: uuid }]);
    await putResult(two, two.tasks[0] ?? "", 0);
    await flushed(two);
    const found = async (query: string) => {
      const reply = await list(owner, `?${query}`);
      expect(reply.body.pagination.total, query).toBe(reply.body.data.length);
      return idsOf(reply);
    };
    expect(await found(`job_id=${one.id}`)).toEqual(one.tasks.toReversed());
    expect(await found("state=completed")).toEqual(two.tasks);
    expect(await found("state=running")).toEqual(one.tasks.toReversed());
    for (const spelt of [uuid.toUpperCase(), uuid.replaceAll("-", ""), `{${uuid}}`]) {
      expect(await found(`machine_uuid=${spelt}`), spelt).toEqual([two.tasks[0], one.tasks[0]]);
    }
    expect(await found("machine_ip=fe80::1")).toEqual([one.tasks[0]]);
    expect(await found(`machine_uuid=${uuid}&state=running`)).toEqual([one.tasks[0]]);
    expect(await found(`job_id=${two.id}&machine_ip=fe80::1`)).toEqual([]);
    expect(await found(`job_id=${one.id}&machine_uuid=${uuid}`)).toEqual([one.tasks[0]]);
    expect(await found("job_id=512")).toEqual([]);
  });

  test("results only when asked for, from D1", async ({ expect }) => {
    const owner = await createPerson();
    const job = await joined(owner, [{}, {}]);
    await putResult(job, job.tasks[0] ?? "", 0);
    await flushed(job);
    const reply = await list(owner, "?include_results=true&sort_order=asc");
    expectContract(expect, reply, listTasksRoute, 200);
    const [done, running] = reply.body.data;
    expect(done?.benchmark_results?.quick_mark).toMatchObject({
      state: "completed",
      results: { aggregate_results: { bf16_tflops: 452.2 } },
    });
    expect(running?.benchmark_results?.quick_mark).toMatchObject({ results: null });
  });

  test("results above 8 MiB a page: 400 says how many tasks fit, and that page works", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const job = await joined(owner, [{}, {}]);
    const text = JSON.stringify({ x: "0".repeat(800_000) });
    await flushed(job);
    await storeTexts(
      job,
      times(2, () => times(8, (position) => ({ position, text }))),
    );
    const reply = await list(owner, "?include_results=true");
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.text).toContain("must be at most 1:");
    expect((await list(owner, "?include_results=true&per_page=1")).status).toBe(200);
    expect((await list(owner)).status).toBe(200);
  });

  test("a page beyond the first: 400 says which page then begins with the same task", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const job = await joined(
      owner,
      times(12, () => ({})),
    );
    const text = JSON.stringify({ x: "0".repeat(1_000_000) });
    await flushed(job);
    await storeTexts(
      job,
      times(12, (rank) => (rank < 6 ? [] : times(2, (position) => ({ position, text })))),
    );
    const query = "?include_results=true&sort_order=asc&per_page=6&page=2";
    const reply = await list(owner, query);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    // Four would fit, of which no number of pages makes six.
    const told = /must be at most (\d+): .*; page=(\d+) then begins with the same task/.exec(
      reply.text,
    );
    expect(told?.slice(1)).toEqual(["3", "3"]);
    const [, perPage, page] = told ?? [];
    const other = await list(owner, query.replace("=6&page=2", `=${perPage}&page=${page}`));
    expect(other.status, other.text.slice(0, 200)).toBe(200);
    expect(idsOf(other)).toEqual(job.tasks.slice(6, 9));
    const { next_cursor } = (await list(owner, "?sort_order=asc&per_page=6")).body.pagination;
    const byCursor = `?include_results=true&sort_order=asc&cursor=${next_cursor}`;
    const refused = await list(owner, `${byCursor}&per_page=6&page=2`);
    expect(refused.text).toContain('must be at most 4: the results of this page are above 8 MiB"');
    expect((await list(owner, `${byCursor}&per_page=4`)).status).toBe(200);
  });

  test("a task whose results alone are above 8 MiB: 400 says where they are shown", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const job = await joined(owner, [{}]);
    const text = JSON.stringify({ x: "0".repeat(1_000_000) });
    await flushed(job);
    await storeTexts(job, [times(9, (position) => ({ position, text }))]);
    const reply = await list(owner, "?include_results=true&per_page=1");
    const [task] = job.tasks;
    const message = `include_results must be false for this page: task ${task} alone has results above 8 MiB, which GET /tasks/${task}/results shows`;
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
    const whole = await call("GET", `/tasks/${task}/results`, { token: owner.token });
    expect(whole.status).toBe(200);
  });
});

describe("who sees what", () => {
  test("own ones, the customer's, all; and nobody those of deleted jobs", async ({ expect }) => {
    const customerId = await createCustomer();
    const owner = await createPerson({ customerId });
    const colleague = await createPerson({ customerId });
    const admin = await createPerson({ customerId, role: "customer_admin" });
    const foreignAdmin = await createPerson({ role: "customer_admin" });
    const staff = await createPerson({ role: "staff" });
    const job = await joined(owner, [{}]);
    const other = await joined(colleague, [{}]);
    const [own = ""] = job.tasks;
    expect(idsOf(await list(owner))).toEqual([own]);
    expect(idsOf(await list(colleague))).toEqual(other.tasks);
    expect(idsOf(await list(admin))).toEqual([other.tasks[0], own]);
    expect(idsOf(await list(staff))).toEqual(expect.arrayContaining([own, ...other.tasks]));
    for (const stranger of [colleague, foreignAdmin]) {
      for (const query of [`?job_id=${job.id}`, `?job_id=${job.id}&state=running`]) {
        const seen = await list(stranger, query);
        expect(seen.body).toMatchObject({ data: [], pagination: { total: 0 } });
      }
    }
    await putResult(job, own, 0);
    const body = { id: job.id };
    expect((await call("DELETE", "/jobs/delete", { token: owner.token, body })).status).toBe(200);
    await flushed(job);
    for (const query of ["", `?job_id=${job.id}`, "?state=completed", "?state=running"]) {
      const gone = await list(owner, query);
      expect(gone.body, query).toMatchObject({ data: [], pagination: { total: 0 } });
      expect(idsOf(await list(staff, query)), query).not.toContain(own);
    }
    expect((await list(admin)).body.pagination.total).toBe(1);
  });
});

test.for([
  ["page=0", "page"],
  ["per_page=301", "per_page"],
  ["per_page=0", "per_page"],
  ["page=1&page=2", "page"],
  ["sort_by=state", "sort_by"],
  ["sort_order=down", "sort_order"],
  ["state=lost", "state"],
  ["job_id=x", "job_id"],
  ["job_id=9007199254740992", "job_id"],
  ["machine_ip=10.0.0.x", "machine_ip"],
  ["machine_uuid=1234", "machine_uuid"],
  ["include_results=yes", "include_results"],
  ["cursor=nonsense", "cursor"],
] as const)("?%s: 400 names %s", async ([query, field], { expect }) => {
  const reply = await call("GET", `/tasks?${query}`, { token: (await createPerson()).token });
  expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
  expect(reply.body.error.details[0].field).toBe(field);
});

test("a node that joins, changes its state or anything else writes the rows that docs/lists.md names", async ({
  expect,
}) => {
  const { id: userId, customerId } = await createPerson();
  const jobId = 512 * 900;
  await insertJobRow({ id: userId, customerId }, { id: jobId, state: "running" });
  let written: number[] = [];
  const d1 = {
    prepare: (query: string) => env.DB.prepare(query),
    async batch(statements: D1PreparedStatement[]) {
      const results = await env.DB.batch(statements);
      written = results.map(({ meta }) => meta.rows_written);
      return results;
    },
  };
  // drizzle calls nothing else.
  const counted = drizzle(d1 as unknown as D1Database);
  let version = 1;
  const write = async (rank: number, change: Partial<TaskRecord>) => {
    version++;
    const id = jobId + 1 + rank;
    const { steps, ...row } = taskValues({ id, jobId, rank, version, machineIp: "10.0.0.1" });
    const none = { failedMessage: null, message: null, clockSkewMs: null, implausible: null };
    const named = { hostName: null, gpuModel: null, gpuModels: null, models: null };
    const hardware = { ...named, gpuCount: null, clusterAddress: null };
    const more = { ...none, ...hardware, figures: null, bodies: [], progress: 0, specCheck: null };
    const times = { startedAt: null, endedAt: null };
    const task: TaskRecord = { ...row, ...more, ...times, machineIp: "10.0.0.1", steps, ...change };
    const job = { version, state: "running" as const, currentNodes: 1, ...times };
    const settled = { ...job, steps: [], events: [], specCheck: null };
    const changes = { jobId, job: settled, tasks: [task], knownEvents: 0 };
    await writeProjection(counted, changes, 1);
    return written[0];
  };
  const live = async (rank: number) => [
    await write(rank, { state: "running" }),
    await write(rank, { state: "completed" }),
    await write(rank, { state: "completed", message: "done" }),
  ];
  // The first node makes the counters.
  await live(0);
  const told = /joins writes (\d+) rows.* of its state (\d+).* change (\d+)/s.exec(listsPage);
  expect(await live(1)).toEqual(told?.slice(1).map(Number));
});

describe("at 10,000 tasks", () => {
  const JOBS = 40;
  const NODES = 250;
  const people: Record<string, Person> = {};
  const FILTERS = [
    "",
    "&state=completed",
    "&machine_ip=10.0.0.7",
    `&machine_uuid=${machine(7)}`,
    "&spec_check=differs",
  ];
  let jobId = 0;

  function machine(index: number) {
    return `00000000-0000-4000-8000-${String(index).padStart(12, "0")}`;
  }

  /** Three customers' tasks in turns, of a few joining times, machines and addresses. */
  beforeAll(async () => {
    const customers = [await createCustomer(), await createCustomer()];
    people.staff = await createPerson({ role: "staff" });
    people.customer_admin = await createPerson({
      role: "customer_admin",
      customerId: customers[0] ?? 0,
    });
    people.user = await createPerson({ customerId: customers[0] ?? 0 });
    const stranger = await createPerson({ customerId: customers[1] ?? 0 });
    for (let at = 0; at < JOBS; at++) {
      const owner = at % 2 === 0 ? people.user : stranger;
      const id = 512 * (1_000 + at);
      jobId = at === 0 ? id : jobId;
      await insertJobRow(owner, { id, state: "completed", currentNodes: NODES });
      const nodes = times(NODES, (rank) =>
        taskValues({
          id: id + 1 + rank,
          jobId: id,
          rank,
          machineUuid: `00000000-0000-4000-8000-${String(rank % 8).padStart(12, "0")}`,
          machineIp: `10.0.0.${rank % 8}`,
          state: rank % 2 === 0 ? "failed" : "completed",
          specCheck: { status: rank % 4 === 0 ? "matches" : "differs", fields: [] },
          createdAt: Math.floor((id + rank) / 700),
          customerId: owner.customerId,
          userId: owner.id,
        }),
      );
      await insertRows(tasks, nodes);
    }
    for (const person of Object.values(people)) await list(person);
  }, patient(60_000));

  async function rowsRead(person: { token: string }, query: string) {
    const { reply, read } = await rowsReadBy(() => list(person, query));
    if (reply.status !== 200) throw new Error(`${query}: ${reply.status} ${reply.text}`);
    const [page = 0, total = 0] = read;
    if (page === 0) throw new Error("no batch was seen");
    return { page, total, reply };
  }

  const WALKS = ["user", "customer_admin", "staff"].flatMap((role) =>
    ["desc", "asc"].flatMap((order) => FILTERS.map((filter) => [role, order, filter] as const)),
  );
  test.for(WALKS)(
    "%s, %s%s: at most the page and ten rows, first page and each cursor",
    async ([role, order, filter], { expect }) => {
      const person = people[role] ?? { token: "" };
      const query = `?sort_order=${order}&per_page=20${filter}`;
      let cursor = "";
      const seen = new Set<string>();
      for (let walked = 0; walked < 5; walked++) {
        const { page, total, reply } = await rowsRead(person, query + cursor);
        expect(page).toBeLessThanOrEqual(30);
        if (filter === "") expect(total).toBeLessThanOrEqual(7);
        if (filter.startsWith("&state")) expect(total).toBeLessThanOrEqual(1);
        for (const id of idsOf(reply)) seen.add(id);
        expect(seen.size).toBe(20 * (walked + 1));
        cursor = `&cursor=${reply.body.pagination.next_cursor}`;
      }
    },
  );

  test("of one job: a page and its total, flat; walked whole, nothing twice", async ({
    expect,
  }) => {
    for (const person of Object.values(people)) {
      const walked: string[] = [];
      let cursor = "";
      for (;;) {
        const { page, total, reply } = await rowsRead(
          person,
          `?job_id=${jobId}&per_page=60${cursor}`,
        );
        expect(page + total).toBeLessThanOrEqual(70);
        expect(reply.body.pagination).toMatchObject({ total: NODES, pages: 5 });
        walked.push(...idsOf(reply));
        if (reply.body.pagination.next_cursor === null) break;
        cursor = `&cursor=${reply.body.pagination.next_cursor}`;
      }
      const ranks = Array.from({ length: NODES }, (_, rank) => String(jobId + NODES - rank));
      expect(walked).toEqual(ranks);
    }
  });

  test("totals are right, for every scope and filter", async ({ expect }) => {
    const half = (JOBS * NODES) / 2;
    for (const role of ["user", "customer_admin"]) {
      const totals = await Promise.all(
        FILTERS.map(async (filter) => {
          const reply = await list(people[role] ?? { token: "" }, `?per_page=1${filter}`);
          return reply.body.pagination.total;
        }),
      );
      expect(totals).toEqual([half, half / 2, (JOBS / 2) * 31, (JOBS / 2) * 31, (JOBS / 2) * 187]);
    }
  });

  test("the links lead back as they led there; a cursor fits its own filters and order alone", async ({
    expect,
  }) => {
    const { user = { token: "" } } = people;
    const first = await list(user, "?per_page=20");
    const link = (reply: Reply<unknown>, relation: string) =>
      new RegExp(`<([^>]*)>; rel="${relation}"`).exec(reply.headers.get("link") ?? "")?.[1] ?? "";
    const follow = (url: string): Promise<Reply<TaskList>> => call("GET", url, user);
    const second = await follow(link(first, "next"));
    expect(idsOf(await follow(link(second, "prev")))).toEqual(idsOf(first));
    expect(idsOf(await list(user, "?per_page=20&page=2"))).toEqual(idsOf(second));
    const { next_cursor } = first.body.pagination;
    for (const other of [
      "&sort_order=asc",
      "&state=failed",
      "&job_id=512",
      "&machine_ip=10.0.0.7",
    ]) {
      const reply = await list(user, `?cursor=${next_cursor}${other}`);
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    }
  });

  test("one round trip and no hop, also with results", async ({ expect }) => {
    const { user } = people;
    await list(user as Person); // from here on the caller is known; a lookup is a round trip of its own
    for (const query of ["", "?state=failed", `?job_id=${jobId}`, "?include_results=true"]) {
      const cost = await costOf(() => call("GET", `/tasks${query}`, { token: user?.token ?? "" }));
      expect(cost).toMatchObject({ status: 200, d1_round_trips: 1, object_hops: 0 });
    }
  });
});

test("counter rows are what there is, after joins, results, aborts and deletions", async ({
  expect,
}) => {
  const counted = await env.DB.prepare(
    "SELECT scope, state, tasks FROM task_counts WHERE tasks <> 0 ORDER BY 1, 2",
  ).all();
  const there = await env.DB.prepare(
    `SELECT scope, state, count(*) AS tasks FROM (
       SELECT 'all' AS scope, state, deleted_at FROM tasks UNION ALL
       SELECT 'customer:' || customer_id, state, deleted_at FROM tasks UNION ALL
       SELECT owner, state, deleted_at FROM tasks)
     WHERE deleted_at IS NULL GROUP BY 1, 2 ORDER BY 1, 2`,
  ).all();
  expect(counted.results).toEqual(there.results);
  expect(there.results.length).toBeGreaterThan(3);
  const orphans = await env.DB.prepare(
    `SELECT count(*) AS n FROM tasks t JOIN jobs j ON j.id = t.job_id
     WHERE (t.customer_id, t.user_id) <> (j.customer_id, j.user_id) OR (t.deleted_at IS NULL) <> (j.deleted_at IS NULL)`,
  ).first();
  expect(orphans).toEqual({ n: 0 });
});
