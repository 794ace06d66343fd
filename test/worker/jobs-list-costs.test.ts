/** What lists of jobs cost, at 1,000, 10,000 and 100,000 jobs: rows read, round trips, plans (design §7). */
import { env } from "cloudflare:workers";
import { beforeAll, describe, test } from "vitest";
import { MAX_SHORT_NAME_JOBS } from "../../src/jobs/list-query.ts";
import { firstJobIdAt } from "../../src/lib/ids.ts";
import {
  call,
  costOf,
  createCustomer,
  createPerson,
  createSpec,
  type Person,
  plansOf,
  type Reply,
  rowsReadBy,
  V0,
} from "./harness.ts";

const PER_PAGE = 20;
const START = Date.UTC(2025, 0, 1);
const MINUTE_MS = 60_000;

const customerId = await createCustomer();
const owner = await createPerson({ customerId });
const colleague = await createPerson({ customerId });
const VIEWERS: Record<string, Person> = {
  user: owner,
  customer_admin: await createPerson({ customerId, role: "customer_admin" }),
  staff: await createPerson({ role: "staff" }),
};
const stranger = await createPerson();

let seeded = 0;

/** Fills up to so many jobs, one a minute: half of them the owner's, and the newest ones all deleted. */
async function seed(jobs: number): Promise<void> {
  await env.DB.prepare(
    `WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
     INSERT INTO jobs (id, customer_id, user_id, name, node_count, sequence, tags, token_key_id, created_at, expires_at,
       state, current_nodes, started_at, ended_at, flushed_at)
     SELECT ?3 + i * ?4, iif(i % 4 = 3, ?8, ?5), CASE i % 4 WHEN 3 THEN ?9 WHEN 1 THEN ?7 ELSE ?6 END,
       iif(i % 50 = 0, 'Nightly run ' || i, 'job-20250101-' || i), 1 + i % 4,
       iif(i % 3 = 0, '[{"benchmark_id":"quick_mark"},{"benchmark_id":"cluster_network"}]', '[{"benchmark_id":"quick_mark"}]'),
       iif(i % 100 = 0, '["rare","common"]', '["common"]'), '', ?10 + i * 60000, ?10 + i * 60000 + 86400000,
       CASE i % 10 WHEN 0 THEN 'failed' WHEN 1 THEN 'running' ELSE 'completed' END, i % 4, ?10 + i, ?10 + i, 0 FROM n`,
  )
    .bind(
      ...[seeded, jobs, firstJobIdAt(START), 60_000 * 8 * 512],
      ...[customerId, owner.id, colleague.id, stranger.customerId, stranger.id, START],
    )
    .run();
  await env.DB.prepare("UPDATE jobs SET deleted_at = 1 WHERE id >= ?")
    .bind(firstJobIdAt(START + (jobs - 500) * MINUTE_MS))
    .run();
  await env.DB.prepare("UPDATE jobs SET deleted_at = NULL WHERE id < ? AND deleted_at IS NOT NULL")
    .bind(firstJobIdAt(START + (jobs - 500) * MINUTE_MS))
    .run();
  seeded = jobs;
}

const at = (minute: number) => new Date(START + minute * MINUTE_MS).toISOString();

/** One filter or none, and whether counter rows know the total. */
const FLAT: [query: string, counted: boolean][] = [
  ["", true],
  ["state=completed", true],
  ["state=failed", true],
  ["sort_by=expires_at", true],
  ["tags=common", false],
  ["tags=rare", false],
  ["benchmark_id=quick_mark", true],
  ["benchmark_id=cluster_network", false],
  [`created_after=${at(10)}`, false],
  [`created_after=${at(10)}&created_before=${at(400)}`, false],
  ["name=job-2025", false],
  ["name=NIGHTLY", false],
];

function list(person: Person, query: string) {
  return call("GET", `/jobs?per_page=${PER_PAGE}&${query}`, { token: person.token });
}

interface Found {
  status: number;
  body: { results: unknown[]; pagination: { next_cursor: string | null } };
}

/** Reads of pages 1 to 3 along the cursors and of page 2 again from page 3; per statement. */
async function readsOf(person: Person, query: string) {
  const read: number[][] = [];
  const visit = async (more: string) => {
    const traffic = await rowsReadBy<Reply<Found["body"]>>(() => list(person, `${query}&${more}`));
    if (traffic.reply.status !== 200) throw new Error(traffic.reply.text);
    read.push(traffic.read);
    return traffic.reply;
  };
  const first = await visit("");
  if (first.body.pagination.next_cursor === null) return read;
  const second = await visit(`cursor=${first.body.pagination.next_cursor}`);
  if (second.body.pagination.next_cursor !== null) {
    const third = await visit(`cursor=${second.body.pagination.next_cursor}&page=3`);
    const back = /cursor=([\w-]+)[^,]*>; rel="prev"/.exec(third.headers.get("link") ?? "")?.[1];
    await visit(`cursor=${back}`);
  }
  return read;
}

describe.each([1_000, 10_000, 100_000])("%i jobs", (jobs) => {
  beforeAll(() => seed(jobs), 300_000);

  for (const [role, person] of Object.entries(VIEWERS)) {
    test(`a page of a ${role} reads at most page + 10 rows, first or later`, async ({ expect }) => {
      for (const [query, counted] of FLAT) {
        for (const [page = 0, total = 0, ...more] of await readsOf(person, query)) {
          expect(more, query).toEqual([]);
          expect(page + (counted ? total : 0), `?${query}`).toBeLessThanOrEqual(PER_PAGE + 10);
        }
      }
    });
  }

  test("other orders are flat for a customer's admin, along the cursors, too", async ({
    expect,
  }) => {
    const { customer_admin: admin } = VIEWERS;
    for (const by of ["name", "state", "started_at", "ended_at", "node_count", "current_nodes"]) {
      for (const order of ["asc", "desc"]) {
        const query = `sort_by=${by}&sort_order=${order}`;
        for (const [page = 0, total = 0] of await readsOf(admin as Person, query)) {
          expect(page + total, query).toBeLessThanOrEqual(PER_PAGE + 10);
        }
      }
    }
  });

  test("a deep page costs its distance from the nearer end", async ({ expect }) => {
    for (const person of Object.values(VIEWERS)) {
      const { total } = (await list(person, "")).body.pagination;
      const last = Math.ceil(total / PER_PAGE);
      const { read, reply } = await rowsReadBy(() => list(person, `page=${last - 1}`));
      expect(reply.body.results).toHaveLength(PER_PAGE);
      // The total is looked up by each part of the statement: at most seven rows each time.
      expect(read[0]).toBeLessThanOrEqual(7);
      expect(read[1]).toBeLessThanOrEqual(2 * PER_PAGE + 35);
    }
  });

  test("totals of other filters read what matches, once", async ({ expect }) => {
    for (const person of Object.values(VIEWERS)) {
      for (const query of ["tags=rare", "benchmark_id=cluster_network", "name=nightly"]) {
        const { read, reply } = await rowsReadBy(() => list(person, query));
        expect(read[1], query).toBeLessThanOrEqual(reply.body.pagination.total + 1);
      }
    }
  });

  test("a name of one or two characters looks at the newest 10,000 jobs at most", async ({
    expect,
  }) => {
    for (const person of Object.values(VIEWERS)) {
      const { read } = await rowsReadBy(() => list(person, "name=zz"));
      const most = 2 * Math.min(jobs, MAX_SHORT_NAME_JOBS) + 10;
      for (const rows of read) expect(rows).toBeLessThanOrEqual(most);
    }
  });
});

test("one round trip each", async ({ expect }) => {
  for (const query of [...FLAT.map(([flat]) => flat), "page=50", "state=failed&tags=rare&name=x"]) {
    const asked = () => list(owner, query);
    await asked();
    expect(await costOf(asked), query).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
  }
});

test("statistics, once somebody makes some, change none of it", async ({ expect }) => {
  await env.DB.prepare("ANALYZE").run();
  const staff = VIEWERS.staff as Person;
  for (const [query, counted] of FLAT) {
    for (const [page = 0, total = 0] of await readsOf(staff, query)) {
      expect(page + (counted ? total : 0), `?${query}`).toBeLessThanOrEqual(PER_PAGE + 10);
    }
  }
  await env.DB.prepare("DELETE FROM sqlite_stat1").run();
});

/** What may sort, or look at all jobs there are: the document of the list says so. */
const SORTED = /sort_by=(name|state|started_at|ended_at|node_count|current_nodes)/;

test("no plan scans all jobs or sorts, but for orders that no index has", async ({ expect }) => {
  const orders = ["name", "state", "started_at", "ended_at", "node_count", "current_nodes"];
  const queries = [
    ...FLAT.map(([query]) => query),
    ...orders.map((by) => `sort_by=${by}`),
    ...[
      "state=failed&tags=common",
      "tags=common&tags=rare",
      "tags=rare&benchmark_id=cluster_network",
    ],
    ...[
      "name=nightly&state=failed",
      "name=nightly&tags=rare",
      "name=zz",
      "node_count_min=3",
      "page=30",
    ],
    ...[`state=failed&created_after=${at(5)}`, `tags=rare&created_before=${at(500)}`],
    "sort_by=name&tags=rare",
  ];
  for (const [role, person] of Object.entries(VIEWERS)) {
    for (const query of queries) {
      const traffic = await rowsReadBy(() => list(person, query));
      expect(traffic.reply.status, traffic.reply.text).toBe(200);
      for (const [index, plan] of (await plansOf(traffic)).entries()) {
        const told = `${role} ?${query}\n${plan}`;
        const isCustomers = role === "customer_admin" && !query.includes("tags");
        if (!SORTED.test(query) || isCustomers) expect(plan, told).not.toContain("TEMP B-TREE");
        // Staff see all: along the index of what is not deleted, as far as the page goes.
        const scans = plan.split("\n").filter((step) => /^SCAN jobs\b/.test(step));
        for (const step of scans) {
          expect(role, told).toBe("staff");
          const isPage = index === 0 && !SORTED.test(query);
          if (isPage) expect(step, told).toMatch(/USING INDEX jobs_live$/);
        }
      }
    }
  }
});

test("creating a job writes at most 30 rows and 4 for each tag", async ({ expect }) => {
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
    // README, "Lists of jobs", says where each of them goes; at most 30 are allowed.
    expect(rows).toBe(23 + 4 * tags.length);
  }
  expect((await call("GET", `${V0}/specs/${spec.uuid}`, admin)).status).toBe(200);
});
