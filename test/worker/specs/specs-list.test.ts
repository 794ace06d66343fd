/** Lists of specs: order, pages, filters and search, of administrators and in the catalogue. */
import { beforeAll, describe, test, vi } from "vitest";
import { systemClock } from "../../../src/lib/clock.ts";
import { listCatalogueRoute, listSpecsRoute } from "../../../src/specs/contract.ts";
import { call, expectContract, expectError, type Reply, V0 } from "../harness/client.ts";
import { createPerson, createSpec, HARDWARE, type TestSpec } from "../harness/factories.ts";

const admin = await createPerson({ role: "root_admin" });
const { token } = admin;

const NOT_OURS = "cursor must be an unchanged cursor of this list, with the same order and filters";

function list(query = "") {
  return call("GET", `${V0}/specs${query}`, { token });
}

function catalogue(query = "", person = admin) {
  return call("GET", `/specs${query}`, { token: person.token });
}

interface Named {
  name: string;
  slug: string;
}

const start = Date.now();
let made = 0;

/** A spec of a millisecond of its own, so that the order of creation is known. */
async function make(body: Record<string, unknown>): Promise<TestSpec> {
  const clock = vi.spyOn(systemClock, "now").mockReturnValue(start + made++);
  try {
    return await createSpec(body, admin);
  } finally {
    clock.mockRestore();
  }
}

const slugsOf = ({ body }: Reply<Named[]>) => body.map(({ slug }) => slug);

function linkOf(reply: Reply<unknown>, relation: string): string | null {
  const links = reply.headers.get("link") ?? "";
  return new RegExp(`<([^>]*)>; rel="${relation}"`).exec(links)?.[1] ?? null;
}

/** Everything that a list has, along its `next` links. */
async function walk(query: string, relation = "next"): Promise<string[]> {
  const found: string[][] = [];
  let reply = await list(query);
  for (;;) {
    found.push(slugsOf(reply));
    const link = linkOf(reply, relation);
    if (link === null) return (relation === "prev" ? found.reverse() : found).flat();
    reply = await call("GET", link, { token });
  }
}

/** In the order of creation, slugs in the reverse; names sort by bytes: capitals, small letters, then `é`. */
const MADE = ["b", "a", "Z", "é", "a", "B", "a"];
const byCreation: string[] = [];
for (const [at, name] of MADE.entries()) {
  byCreation.push((await make({ name, slug: `${9 - at}-${name.charCodeAt(0)}` })).slug);
}
const at = (...places: number[]) => places.map((place) => byCreation[place]);
/** Equal names by slug. */
const BY_NAME = at(5, 2, 6, 4, 1, 0, 3);

describe("order", () => {
  test.for([
    ["", BY_NAME],
    ["sort=name", BY_NAME],
    ["direction=asc", BY_NAME],
    ["direction=desc", BY_NAME.toReversed()],
    ["sort=created", byCreation.toReversed()],
    ["sort=created&direction=desc", byCreation.toReversed()],
    ["sort=created&direction=asc", byCreation],
    ["name=a", at(6, 4, 1)],
    ["name=a&sort=created", at(6, 4, 1)],
    ["name=a&sort=created&direction=asc", at(1, 4, 6)],
    ["name=a&direction=desc", at(1, 4, 6)],
  ] as const)("?%s", async ([query, expected], { expect }) => {
    const reply = await list(`?${query}`);
    expectContract(expect, reply, listSpecsRoute, 200);
    expect(slugsOf(reply)).toEqual(expected);
    expect(reply.headers.get("x-total-count")).toBe(String(expected.length));
    for (const perPage of [1, 2, 3]) {
      const paged = `?${query}&per_page=${perPage}`;
      expect(await walk(paged), `in pages of ${perPage}, along next`).toEqual(expected);
      const last = new URL(linkOf(await list(paged), "last") ?? "").search;
      expect(await walk(last, "prev"), `in pages of ${perPage}, along prev`).toEqual(expected);
    }
  });
});

describe("pages", () => {
  test("8 by default; 0 to 255", async ({ expect }) => {
    for (let n = 0; n < 9; n++) await make({ name: "paged" });
    const none = await list("?name=paged&per_page=0&page=3");
    expectContract(expect, none, listSpecsRoute, 200);
    expect([none.text, none.headers.get("x-total-count")]).toEqual(["[]", "9"]);
    const relations = ["first", "prev", "next", "last"].map((name) => linkOf(none, name) !== null);
    expect(relations, "there is nowhere to go").toEqual([true, false, false, false]);
    expect((await list("?name=paged")).body).toHaveLength(8);
    expect((await list("?name=paged&per_page=1")).body).toHaveLength(1);
    expect((await list("?name=paged&per_page=255")).body).toHaveLength(9);
  });

  test("links keep the query and lead to every page; first and last carry no cursor", async ({
    expect,
  }) => {
    const reply = await list("?name=a&per_page=1&page=2&unknown=1&direction=desc");
    expect(slugsOf(reply)).toEqual(at(4));
    const pages = ["first", "prev", "next", "last"].map((relation) => {
      const url = new URL(linkOf(reply, relation) ?? "");
      expect(url.searchParams.get("unknown")).toBeNull();
      expect(url.searchParams.get("direction")).toBe("desc");
      return [url.searchParams.get("page"), url.searchParams.has("cursor")];
    });
    expect(pages).toEqual([
      ["1", false],
      ["1", true],
      ["3", true],
      ["3", false],
    ]);
    const next = await call("GET", linkOf(reply, "next") ?? "", { token });
    expect(slugsOf(next)).toEqual(at(6));
    expect(linkOf(next, "next")).toBeNull();
  });

  test("page 0 is the first", async ({ expect }) => {
    const [zero, one] = [await list("?name=a&page=0&per_page=2"), await list("?name=a&per_page=2")];
    expect(zero.body).toEqual(one.body);
    for (const relation of ["first", "next", "last"]) {
      const page = (reply: Reply<unknown>) =>
        new URL(linkOf(reply, relation) ?? "").searchParams.get("page");
      expect(page(zero), relation).toBe(page(one));
    }
    expect(linkOf(zero, "prev")).toBeNull();
  });

  test("a page past the end is empty, and leads back", async ({ expect }) => {
    const reply = await list("?name=a&page=1000000");
    expect([reply.status, reply.text]).toEqual([200, "[]"]);
    expect(reply.headers.get("x-total-count")).toBe("3");
    expect(new URL(linkOf(reply, "prev") ?? "").searchParams.get("page")).toBe("1");
    expect(linkOf(reply, "next")).toBeNull();
  });

  test("nothing found: no items, a total of 0", async ({ expect }) => {
    const reply = await list("?name=no+such+name");
    expectContract(expect, reply, listSpecsRoute, 200);
    expect([reply.text, reply.headers.get("x-total-count")]).toEqual(["[]", "0"]);
  });

  test("a walk misses nothing and repeats nothing while others add and remove", async ({
    expect,
  }) => {
    const made: Named[] = [];
    for (let n = 0; n < 6; n++) made.push(await make({ name: "walked", slug: `walked-${n}` }));
    let reply = await list("?name=walked&per_page=2");
    const seen = slugsOf(reply);
    for (let page = 1; page < 3; page++) {
      // One that was seen goes, one that will not be seen twice comes.
      await call("DELETE", `${V0}/specs/${seen[page - 1]}`, { token });
      reply = await call("GET", linkOf(reply, "next") ?? "", { token });
      seen.push(...slugsOf(reply));
    }
    expect(seen).toEqual(made.map(({ slug }) => slug));
    expect(linkOf(reply, "next")).toBeNull();
  });

  test.for([
    ["per_page=256", "per_page must be an integer between 0 and 255"],
    ["per_page=8&per_page=8", "per_page must be given once"],
    ["page=-1", "page must be an integer between 0 and 2147483647"],
    ["page=x", "page must be an integer between 0 and 2147483647"],
    ["sort=slug", "sort must be name or created, given once"],
    ["sort=name&sort=name", "sort must be name or created, given once"],
    ["direction=up", "direction must be asc or desc, given once"],
    ["archived=1", "archived must be true or false, given once"],
    ["name=a&name=b", "name must be given once"],
    ["name=%0a", "name must not contain control characters"],
    ["search=a&search=b", "search must be given once"],
    ["search=a%00b", "search must not contain control characters"],
    [`search=${"x".repeat(129)}`, "search must have at most 128 characters"],
    ["cursor=nonsense", NOT_OURS],
    ["cursor=", "cursor contains invalid characters"],
    ["cursor=a+b", "cursor contains invalid characters"],
  ] as const)("?%s: 400", async ([query, message], { expect }) => {
    expectError(expect, await list(`?${query}`), 400, "PARAMETER_INCORRECT_VALUE", message);
  });

  test("a cursor of another order: 400", async ({ expect }) => {
    const next = new URL(linkOf(await list("?per_page=1"), "next") ?? "");
    next.searchParams.set("sort", "created");
    const message = NOT_OURS;
    const reply = await call("GET", next.href, { token });
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
  });
});

test.for([
  ["after", "\ud800", 1e308, "\0"],
  ["before", "", -1, ""],
  ["after", "a' OR 1=1 --", 1.5, "x".repeat(200)],
  ["before", "\u{10ffff}", Number.MAX_SAFE_INTEGER, "\u{10ffff}"],
])("a cursor that nobody has handed out (%j): 400", async (parts, { expect }) => {
  const bytes = new TextEncoder().encode(JSON.stringify(parts));
  const cursor = btoa(String.fromCharCode(...bytes)).replaceAll("=", "");
  const url = `?cursor=${cursor.replaceAll("+", "-").replaceAll("/", "_")}`;
  expectError(expect, await list(url), 400, "PARAMETER_INCORRECT_VALUE", NOT_OURS);
});

test.for([
  ["after"],
  ["after", "a", "1", "b"],
  ["after", "a", 1, null],
  ["after", "a", 1, "b", "c"],
  ["between", "a", 1, "b"],
  [["after"], "a", 1, "b"],
  {},
])("a cursor of another form (%j): 400", async (parts, { expect }) => {
  const cursor = btoa(JSON.stringify(parts)).replaceAll("=", "");
  expectError(expect, await list(`?cursor=${cursor}`), 400, "PARAMETER_INCORRECT_VALUE");
});

describe("archived", () => {
  test("archived specs are listed when asked for, counted and found so, too", async ({
    expect,
  }) => {
    const [one, two] = [await make({ name: "shelf x" }), await make({ name: "shelf x" })];
    const set = (archived: boolean) =>
      call("PATCH", `${V0}/specs/${one.uuid}`, { token, body: { archived } });
    const seen = async () => {
      // Two characters that no random suffix of a slug contains.
      const queries = ["name=shelf+x", "name=shelf+x&archived=true", "search=shelf", "search=f+"];
      const more = ["search=shelf&archived=true", "search=f+&archived=true"];
      return Promise.all(
        [...queries, ...more].map(async (query) => {
          const reply = await list(`?${query}`);
          expect(reply.headers.get("x-total-count")).toBe(String(reply.body.length));
          return reply.body.length;
        }),
      );
    };
    expect(await seen()).toEqual([2, 2, 2, 2, 2, 2]);
    await set(true);
    expect(await seen()).toEqual([1, 2, 1, 1, 2, 2]);
    await set(true);
    expect(await seen()).toEqual([1, 2, 1, 1, 2, 2]);
    expect(slugsOf(await list("?name=shelf+x&archived=false"))).toEqual([two.slug]);
    await set(false);
    expect(await seen()).toEqual([2, 2, 2, 2, 2, 2]);
    await set(true);
    await call("DELETE", `${V0}/specs/${one.uuid}`, { token });
    expect(await seen()).toEqual([1, 1, 1, 1, 1, 1]);
  });
});

describe("name", () => {
  test("exact and case-sensitive; empty is ignored; too long for a name finds nothing", async ({
    expect,
  }) => {
    await make({ name: "Exact Name" });
    const found = async (name: string) => {
      const reply = await list(`?name=${encodeURIComponent(name)}&per_page=255`);
      expect(reply.status, reply.text).toBe(200);
      expect(reply.headers.get("x-total-count")).toBe(String(reply.body.length));
      return reply.body.length;
    };
    expect(await found("Exact Name")).toBe(1);
    for (const other of ["exact name", "Exact", "Exact Name ", "Exact%", "x".repeat(65)]) {
      expect(await found(other), other).toBe(0);
    }
    expect(await found("")).toBeGreaterThan(7);
  });

  test("a renamed spec is counted under its new name alone", async ({ expect }) => {
    const { uuid } = await make({ name: "before" });
    const total = async (name: string) =>
      (await list(`?name=${name}`)).headers.get("x-total-count");
    expect([await total("before"), await total("after")]).toEqual(["1", "0"]);
    await call("PATCH", `${V0}/specs/${uuid}`, { token, body: { name: "after" } });
    expect([await total("before"), await total("after")]).toEqual(["0", "1"]);
    const search = async (text: string) => slugsOf(await list(`?search=${text}&name=after`));
    expect([await search("before"), await search("after")]).toEqual([["before"], ["before"]]);
  });
});

describe("search", () => {
  let odd: TestSpec;
  beforeAll(async () => {
    odd = await make({ name: 'Q% "odd_ AND (x*) Größe', slug: "find-me-here" });
  });
  const found = async (search: string, more = "") => {
    const reply = await list(`?search=${encodeURIComponent(search)}${more}`);
    expectedOk(reply);
    return slugsOf(reply).includes(odd.slug);
  };
  function expectedOk({ status, text }: Reply<unknown>): void {
    if (status !== 200) throw new Error(`a search answered ${status}: ${text}`);
  }

  test.for([
    ...[
      "Q% ",
      "%",
      '"',
      '"odd',
      "odd_",
      "_",
      "AND",
      "and (X*",
      "*)",
      "(",
      "gr",
      "GRöSSE".slice(0, 3),
    ],
    ...["find-me", "FIND-ME-HERE", "-me-", "me", "x*", ") g", "ö", "ße"],
  ])("%s finds it", async (search, { expect }) => {
    expect(await found(search)).toBe(true);
    expect(await found(search, `&name=${encodeURIComponent(odd.name)}`)).toBe(true);
    expect(await found(search, "&archived=true&sort=created&direction=desc")).toBe(true);
    expect(await found(search, "&name=other")).toBe(false);
  });

  test.for([
    ...["Q%%", "o%d", "odd__", "OR", "NEAR", "q odd", "find*", "GRÖSSE", "Ö", "zzz", "NOT"],
    ...["live", "archived", "here\u2063550", "x".repeat(128)],
  ])("%s does not", async (search, { expect }) => {
    expect(await found(search)).toBe(false);
  });

  test("a UUID is found by any part as it is written, in either case", async ({ expect }) => {
    const { uuid } = odd;
    for (const part of [uuid, uuid.toUpperCase(), uuid.slice(9, 23), uuid.slice(0, 2)]) {
      expect(await found(part), part).toBe(true);
    }
    expect(await found(uuid.replaceAll("-", ""))).toBe(false);
  });

  test("a percent sign finds a literal one only", async ({ expect }) => {
    const reply = await list("?search=%25");
    expect(slugsOf(reply)).toEqual([odd.slug]);
    expect(reply.headers.get("x-total-count")).toBe("1");
  });

  test("an empty search is ignored", async ({ expect }) => {
    const [all, empty] = [await list("?per_page=1"), await list("?per_page=1&search=")];
    expect(empty.headers.get("x-total-count")).toBe(all.headers.get("x-total-count"));
    expect(empty.text).toBe(all.text);
  });

  test("a search can be walked, in every order", async ({ expect }) => {
    const slugs: string[] = [];
    for (const [at, name] of ["wander 2", "wander 1", "wander 2"].entries()) {
      slugs.push((await make({ name, slug: `wander-${at}` })).slug);
    }
    const [first, second, third] = slugs;
    expect(await walk("?search=wander&per_page=1")).toEqual([second, first, third]);
    expect(await walk("?search=wander&per_page=1&sort=created")).toEqual(slugs.toReversed());
    // With a space, which no random suffix of a slug has.
    expect(await walk("?search=r+&per_page=2&direction=desc")).toEqual([third, first, second]);
    expect(await walk("?search=wander&name=wander+2&per_page=1")).toEqual([first, third]);
  });
});

describe("GET /api/silicon-mark/v1/specs", () => {
  test("live specs, by name, for every signed-in user", async ({ expect }) => {
    const spec = await make({ name: "offered", os: "windows", network: true });
    const hidden = await make({ name: "offered" });
    await call("PATCH", `${V0}/specs/${hidden.uuid}`, { token, body: { archived: true } });
    for (const role of ["user", "customer_admin", "staff", "root_admin"] as const) {
      const reply = await catalogue("?name=offered&archived=true", await createPerson({ role }));
      expectContract(expect, reply, listCatalogueRoute, 200);
      const { uuid, slug, name } = spec;
      const entry = { ...HARDWARE, uuid, slug, name, os: "windows", network: true };
      const results = [{ ...entry, runners_online: 0 }];
      expect(reply.body).toEqual({
        results,
        pagination: {
          total: 1,
          page: 1,
          per_page: 20,
          total_pages: 1,
          has_next: false,
          has_prev: false,
          next_cursor: null,
        },
      });
      expect(reply.headers.get("x-total-count")).toBe("1");
    }
  });

  test("pages and search as in the administrators' list", async ({ expect }) => {
    for (let n = 0; n < 3; n++) await make({ name: `shop ${n}` });
    const first = await catalogue("?search=shop&per_page=2");
    expect(first.body.results.map(({ name }: Named) => name)).toEqual(["shop 0", "shop 1"]);
    expect(first.body.pagination).toMatchObject({ total: 3, total_pages: 2, has_next: true });
    const next = await call("GET", linkOf(first, "next") ?? "", { token });
    expect(next.body.results.map(({ name }: Named) => name)).toEqual(["shop 2"]);
    expect(next.body.pagination).toMatchObject({ page: 2, has_next: false, has_prev: true });
    expect((await catalogue("?per_page=300")).status).toBe(200);
  });

  test.for([
    ["per_page=301", "per_page must be an integer between 1 and 300"],
    ["per_page=0", "per_page must be an integer between 1 and 300"],
    ["cursor=x", NOT_OURS],
  ] as const)("?%s: 400", async ([query, message], { expect }) => {
    expectError(expect, await catalogue(`?${query}`), 400, "PARAMETER_INCORRECT_VALUE", message);
  });

  test("without a user token: 401", async ({ expect }) => {
    expectError(expect, await call("GET", "/specs"), 401, "CLIENT_TOKEN_INVALID");
  });
});
