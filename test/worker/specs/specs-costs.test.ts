/** Costs of the Specs API: one D1 round trip a route, and as few rows as a page has, of 100,000. */
import { eq } from "drizzle-orm";
import { beforeAll, beforeEach, describe, test } from "vitest";
import { jobs, specs } from "../../../src/db/schema.ts";
import { patient } from "../../patience.ts";
import { call, type Reply, V0 } from "../harness/client.ts";
import { createJob, createPerson, createSpec, HARDWARE } from "../harness/factories.ts";
import { costOf, rowsReadBy } from "../harness/instruments.ts";
import { db, insertRows, jobValues, specValues, times } from "../harness/rows.ts";

const admin = await createPerson({ role: "root_admin" });
const { token } = admin;
const SPECS = 100_000;

const uuidOf = (number: number) =>
  `00000000-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;

/**
 * Half of them archived; a thousandth with a name that all of these share; one that has no like. All at
 * three times, so that ties are long.
 */
beforeAll(async () => {
  const rows = times(SPECS, (number) =>
    specValues({
      uuid: uuidOf(number),
      name: number % 1_000 === 10 ? "Shared" : number === 77_777 ? "Lonely" : `Node ${number}`,
      slug: `node-${number}`,
      createdAt: Math.floor(number / 33_334),
      archivedAt: number % 2 === 1 ? 5 : null,
    }),
  );
  await insertRows(specs, rows);
  // The caller's row is cached from here on.
  await call("GET", `${V0}/specs`, { token });
}, patient(120_000));

/** Rows that D1 has read for a list, in its one batch. */
async function rowsRead(path: string): Promise<{ read: number; reply: Reply<unknown[]> }> {
  const url = path.startsWith("http") ? path : `${V0}/specs?${path}`;
  const { read, reply } = await rowsReadBy(() => call("GET", url, { token }));
  if (reply.status !== 200) throw new Error(`${path} answered ${reply.status}: ${reply.text}`);
  if (read.length === 0) throw new Error("no batch was seen");
  return { read: read.reduce((sum, rows) => sum + rows, 0), reply };
}

function linkOf(reply: Reply<unknown>, relation: string): string {
  const links = reply.headers.get("link") ?? "";
  return new RegExp(`<([^>]*)>; rel="${relation}"`).exec(links)?.[1] ?? "";
}

const ORDERS = ["name", "created"].flatMap((sort) =>
  ["asc", "desc"].map((direction) => `sort=${sort}&direction=${direction}`),
);
const FILTERS = ["", "&archived=true", "&name=Shared", "&name=Shared&archived=true"];
const LISTS = ORDERS.flatMap((order) => FILTERS.map((filter) => order + filter));

describe("rows read by a page", () => {
  test.for(LISTS)(
    "?%s: at most the page and ten, first page and along the links",
    async (query, { expect }) => {
      for (const perPage of [8, 20]) {
        const first = await rowsRead(`${query}&per_page=${perPage}`);
        expect(first.reply.body).toHaveLength(perPage);
        expect(first.read).toBeLessThanOrEqual(perPage + 10);
        let { reply } = first;
        for (let page = 2; page < 5; page++) {
          const next = await rowsRead(linkOf(reply, "next"));
          expect(next.reply.body).toHaveLength(perPage);
          expect(next.read, `page ${page}`).toBeLessThanOrEqual(perPage + 10);
          ({ reply } = next);
        }
        const back = await rowsRead(linkOf(reply, "prev"));
        expect(back.read, "and back").toBeLessThanOrEqual(perPage + 10);
      }
    },
  );

  test("in the depth of the list: an offset costs its rows, its links do not", async ({
    expect,
  }) => {
    for (const query of LISTS.filter((each) => !each.includes("Shared"))) {
      const deep = await rowsRead(`${query}&page=5000`);
      expect(deep.read).toBeGreaterThan(40_000);
      for (const relation of ["next", "prev"]) {
        const along = await rowsRead(linkOf(deep.reply, relation));
        expect(along.reply.body).toHaveLength(8);
        expect(along.read, `${query} ${relation}`).toBeLessThanOrEqual(18);
      }
    }
  });

  test("totals are right, and cost one row", async ({ expect }) => {
    const totals = await Promise.all(
      FILTERS.map(async (filter) => {
        const reply = await call("GET", `${V0}/specs?per_page=1${filter}`, { token });
        return Number(reply.headers.get("x-total-count"));
      }),
    );
    expect(totals).toEqual([SPECS / 2, SPECS, 100, 100]);
  });

  test("the catalogue, too", async ({ expect }) => {
    const path = "https://assay.test/api/silicon-mark/v1/specs";
    const first = await rowsRead(path);
    expect(first.read).toBeLessThanOrEqual(30);
    expect((await rowsRead(linkOf(first.reply, "next"))).read).toBeLessThanOrEqual(30);
  });
});

describe("rows read by a search", () => {
  /** 1,000 matches, each found in the index and looked at, for the page and for the total. */
  const MOST = 7_100;

  test.for([
    ["search=Lonely&archived=true", 1, 20],
    ["search=no+such+spec", 0, 20],
    ["search=node-99998", 1, 20],
    ["search=00000001869e", 1, 20],
    ["search=Lonely", 0, 20],
    ["search=%25%25%25", 0, 20],
    ["search=Shared", 100, 1_000],
    ["search=node-&name=Shared", 100, 1_000],
    ["search=ode&name=Lonely&archived=true", 1, 20],
    ["search=node", 1_000, MOST],
    ["search=node&archived=true", 1_000, MOST],
    ["search=00000000-0000-4000", 1_000, MOST],
  ] as const)(
    "?%s: %i matches, at most %i rows in every order",
    async ([query, total, most], { expect }) => {
      for (const order of ORDERS) {
        const { read, reply } = await rowsRead(`${query}&${order}`);
        expect(reply.headers.get("x-total-count")).toBe(String(total));
        expect(reply.body).toHaveLength(Math.min(total, 8));
        expect(read, order).toBeLessThanOrEqual(most);
      }
    },
  );

  test("a common one can be walked to its end", async ({ expect }) => {
    let { reply } = await rowsRead("search=node&per_page=255");
    let seen = reply.body.length;
    for (let link = linkOf(reply, "next"); link !== ""; link = linkOf(reply, "next")) {
      const next = await rowsRead(link);
      expect(next.read).toBeLessThanOrEqual(MOST);
      ({ reply } = next);
      seen += reply.body.length;
    }
    expect(seen).toBe(1_000);
  });

  test("two characters are looked for in one spec after the other, and no further than needed", async ({
    expect,
  }) => {
    const rare = await rowsRead("search=ly&archived=true");
    expect(rare.reply.headers.get("x-total-count")).toBe("1");
    expect(rare.read).toBeGreaterThan(SPECS);
    const common = await rowsRead("search=no");
    expect(common.reply.headers.get("x-total-count")).toBe("1000");
    expect(common.read).toBeLessThan(10_000);
  });
});

describe("D1 round trips", () => {
  const one = { d1_round_trips: 1, object_hops: 0 };
  const send = (method: string, path: string, body?: unknown, headers = {}) =>
    costOf(() => call(method, `${V0}/specs${path}`, { token, body, headers }));
  const body = { name: "Costs", ...HARDWARE };
  // The caller is known from here on: looking one up is a round trip of its own.
  beforeEach(() => call("GET", `${V0}/specs/node-0`, { token }));

  test("list, search, view: one", async ({ expect }) => {
    for (const path of ["", "?search=node", "?search=no", "?page=3&archived=true", "/node-1"]) {
      expect(await send("GET", path), path).toMatchObject({ status: 200, ...one });
    }
    expect(await send("GET", "/no-such-spec")).toMatchObject({ status: 404, ...one });
  });

  test("create: one, also with a taken slug and with an Idempotency-Key", async ({ expect }) => {
    for (const headers of [{}, {}, { "idempotency-key": "one-trip" }]) {
      expect(await send("POST", "", body, headers)).toMatchObject({ status: 201, ...one });
    }
    const repeat = await send("POST", "", body, { "idempotency-key": "one-trip" });
    expect(repeat, "and one more to read the first").toMatchObject({ d1_round_trips: 2 });
  });

  test("update: one, whatever becomes of it", async ({ expect }) => {
    const { uuid } = await createSpec({}, admin);
    const stale = { "if-match": '"stale"' };
    const any = { "if-match": "*" };
    expect(await send("PATCH", `/${uuid}`, {}, any)).toMatchObject({ status: 200, ...one });
    expect(await send("PATCH", `/${uuid}`, {}, stale)).toMatchObject({ status: 412, ...one });
    const taken = await send("PATCH", `/${uuid}`, { slug: "node-1" });
    expect(taken).toMatchObject({ status: 409, ...one });
    expect(await send("PATCH", "/no-such-spec", {})).toMatchObject({ status: 404, ...one });
  });

  test("delete: one, whatever becomes of it", async ({ expect }) => {
    const used = await createSpec({}, admin);
    await createJob({ spec: used.uuid });
    expect(await send("DELETE", `/${used.uuid}`)).toMatchObject({ status: 409, ...one });
    expect(await send("DELETE", "/no-such-spec")).toMatchObject({ status: 404, ...one });
    expect(await send("DELETE", "/node-3")).toMatchObject({ status: 204, ...one });
  });

  test("a job for a spec: one, found or not", async ({ expect }) => {
    const create = (spec: string, headers = {}) =>
      costOf(() => call("POST", "/jobs", { token, body: { benchmarks: [], spec }, headers }));
    expect(await create("node-0")).toMatchObject({ status: 201, ...one });
    const keyed = await create("node-0", { "idempotency-key": "one-job" });
    expect(keyed).toMatchObject({ status: 201, ...one });
    expect(await create("no-such-spec")).toMatchObject({ status: 404, ...one });
    expect(await create("node-1"), "it is archived").toMatchObject({ status: 404, ...one });
  });

  test("the catalogue: one; the server's version: none", async ({ expect }) => {
    const catalogue = await costOf(() => call("GET", "/specs", { token }));
    expect(catalogue).toMatchObject({ status: 200, ...one });
    const version = await costOf(() => call("GET", `${V0}/server/version`));
    expect(version).toMatchObject({ status: 200, d1_round_trips: 0, object_hops: 0 });
  });
});

test("deleting a spec looks at no job but one that refers to it", async ({ expect }) => {
  const specUuid = uuidOf(2);
  const many = times(5_000, (number) =>
    jobValues(admin, { id: -1 - number, specUuid: number % 2 === 0 ? specUuid : null }),
  );
  await insertRows(jobs, many);
  const { meta } = await db.delete(specs).where(eq(specs.slug, "node-4"));
  expect(meta.changes).toBeGreaterThan(0);
  expect(meta.rows_read).toBeLessThan(20);
  const refused = db.delete(specs).where(eq(specs.slug, "node-2")).execute();
  await expect(refused).rejects.toMatchObject({
    cause: { message: expect.stringContaining("FOREIGN KEY constraint failed") },
  });
});
