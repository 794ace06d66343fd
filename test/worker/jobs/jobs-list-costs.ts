/** Costs of lists of jobs: rows read, round trips and query plans. */
import { env } from "cloudflare:workers";
import { and, gte, isNotNull, lt } from "drizzle-orm";
import { beforeAll, describe, test } from "vitest";
import listsPage from "../../../docs/lists.md?raw";
import { jobs as jobsTable } from "../../../src/db/schema.ts";
import { MAX_SHORT_NAME_JOBS } from "../../../src/jobs/list-parameters.ts";
import { originColumns } from "../../../src/jobs/origins.ts";
import { DAY_MS, MINUTE_MS } from "../../../src/lib/clock.ts";
import { firstJobIdAt } from "../../../src/lib/ids.ts";
import { patient } from "../../patience.ts";
import { call, type Reply } from "../harness/client.ts";
import { createCustomer, createPerson, type Person } from "../harness/factories.ts";
import { costOf, plansOf, rowsReadBy } from "../harness/instruments.ts";
import { db, insertRows, jobValues, times } from "../harness/rows.ts";

const PER_PAGE = 20;
const START = Date.UTC(2025, 0, 1);

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
  const rows = times(jobs - seeded, (number) => seededJob(seeded + number));
  await insertRows(jobsTable, rows);
  const newest = firstJobIdAt(START + (jobs - 500) * MINUTE_MS);
  await db.update(jobsTable).set({ deletedAt: 1 }).where(gte(jobsTable.id, newest));
  const isBack = and(lt(jobsTable.id, newest), isNotNull(jobsTable.deletedAt));
  await db.update(jobsTable).set({ deletedAt: null }).where(isBack);
  seeded = jobs;
}

function seededJob(number: number) {
  const person = [owner, colleague, owner, stranger][number % 4] ?? owner;
  const createdAt = START + number * MINUTE_MS;
  const benchmarks = number % 3 === 0 ? ["quick_mark", "cluster_network"] : ["quick_mark"];
  return jobValues(person, {
    id: firstJobIdAt(START) + number * MINUTE_MS * 8 * 512,
    name: number % 50 === 0 ? `Nightly run ${number}` : `job-20250101-${number}`,
    nodeCount: 1 + (number % 4),
    sequence: benchmarks.map((benchmark_id) => ({ benchmark_id, config: null })),
    tags: number % 100 === 0 ? ["rare", "common"] : ["common"],
    ...originColumns({ provider: "Example", region: `eu-${number % 7}` }),
    createdAt,
    expiresAt: createdAt + DAY_MS,
    state: (["failed", "running"] as const)[number % 10] ?? "completed",
    currentNodes: number % 4,
    specCheck: ([null, "differs", "matches", "unknown"] as const)[number % 7] ?? null,
    startedAt: START + number,
    endedAt: START + number,
  });
}

const at = (minute: number) => new Date(START + minute * MINUTE_MS).toISOString();

/** One filter or none, and whether counter rows know the total. */
const FLAT: [query: string, counted: boolean][] = [
  ["", true],
  ["state=completed", true],
  ["state=failed", true],
  ["sort_by=expires_at", true],
  ["spec_check=differs", false],
  ["spec_check=matches", false],
  ["tags=common", false],
  ["tags=rare", false],
  ["benchmark_id=quick_mark", true],
  ["benchmark_id=cluster_network", false],
  ["provider=EXAMPLE", false],
  ["region=eu-3", false],
  ["order=none", false],
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

/** The rows of the table in docs/lists.md, in their order, as questions of a user. */
const DOCUMENTED: [row: RegExp, query: string][] = [
  [/^no filter$/, ""],
  [/^`state`$/, "state=completed"],
  [/^`spec_check`: one that/, "spec_check=differs"],
  [/^`benchmark_id=quick_mark`/, "benchmark_id=quick_mark"],
  [/^`benchmark_id=cluster_network`/, "benchmark_id=cluster_network"],
  [/^`tags`: one that half/, "tags=common"],
  [/^`tags`: one that 1 %/, "tags=rare"],
  [/^`provider`, `region`/, "region=eu-3"],
  [/^`name`, 3 characters or more/, "name=job-2025"],
  [/^`created_after` and/, `created_after=${at(10)}&created_before=${at(400)}`],
];

/** Cells of the table in docs/lists.md: what the row is of, rows of a page, and of the total by the number of jobs. */
const TABLE = listsPage
  .split("\n")
  .filter((line) => /(?: \| [\d,]+){4} \|$/.test(line))
  .map((line) => line.split(" | ").map((cell) => cell.replace(/^\| | \|$/g, "")));
const DOCUMENTED_SIZES = [1_000, 10_000, 100_000];

/** Orders that may sort, or look at all jobs: the document of the list says so. */
const SORTED = /sort_by=(name|state|started_at|ended_at|node_count|current_nodes)/;

/** Tests the costs at each number of jobs, in rising order; round trips and plans at the last. */
export function testListCosts(sizes: readonly number[]): void {
  describe.each(sizes)("%i jobs", (jobs) => {
    beforeAll(() => seed(jobs), patient(300_000));

    for (const [role, person] of Object.entries(VIEWERS)) {
      test(`a page of a ${role} reads at most page + 10 rows, first or later`, async ({
        expect,
      }) => {
        for (const [query, counted] of FLAT) {
          for (const [page = 0, total = 0, ...more] of await readsOf(person, query)) {
            expect(more, query).toEqual([]);
            expect(page + (counted ? total : 0), `?${query}`).toBeLessThanOrEqual(PER_PAGE + 10);
          }
        }
      });
    }

    test("pages and totals read the rows that docs/lists.md names", async ({ expect }) => {
      const number = (cell = "") => Number(cell.replaceAll(",", ""));
      const column = 2 + DOCUMENTED_SIZES.indexOf(jobs);
      expect(TABLE).toHaveLength(DOCUMENTED.length);
      const measured: unknown[] = [];
      const documented: unknown[] = [];
      for (const [index, [row, query]] of DOCUMENTED.entries()) {
        const [name = "", ...cells] = TABLE[index] ?? [];
        expect(name).toMatch(row);
        const { read, reply } = await rowsReadBy<Reply<Found["body"]>>(() => list(owner, query));
        measured.push([query, ...read]);
        const found = reply.body.results.length;
        const page = found < PER_PAGE ? found : number(cells[0]);
        documented.push([query, page, number(cells[column - 1])]);
      }
      expect(measured).toEqual(documented);
    });

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

    test("a page without its cursor reads all before it, and no more", async ({ expect }) => {
      for (const person of Object.values(VIEWERS)) {
        const { total } = (await list(person, "")).body.pagination;
        const last = Math.ceil(total / PER_PAGE);
        const { read, reply } = await rowsReadBy(() => list(person, `page=${last - 1}`));
        expect(reply.body.results).toHaveLength(PER_PAGE);
        const [page = 0, counter = 0] = read;
        expect(page).toBeLessThanOrEqual(2 * total);
        expect(counter).toBeLessThanOrEqual(10);
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
    for (const query of [
      ...FLAT.map(([flat]) => flat),
      "page=50",
      "state=failed&tags=rare&name=x",
    ]) {
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

  test("no plan scans all jobs or sorts, but for orders that no index has", async ({ expect }) => {
    const orders = ["name", "state", "started_at", "ended_at", "node_count", "current_nodes"];
    const queries = [
      ...FLAT.map(([query]) => query),
      ...orders.map((by) => `sort_by=${by}`),
      ...[
        "state=failed&tags=common",
        "tags=common&tags=rare",
        "tags=rare&benchmark_id=cluster_network",
        "provider=example&region=eu-3",
        "region=eu-3&state=failed",
      ],
      ...[
        "name=nightly&state=failed",
        "name=nightly&tags=rare",
        "name=zz",
        "node_count_min=3",
        "page=30",
      ],
      "spec_check=differs&state=failed",
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
}
