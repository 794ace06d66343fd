/** Idempotency-Key on what creates: no crash, repeat or race creates twice. */
import { env } from "cloudflare:workers";
import { describe, test, vi } from "vitest";
import { idempotencyKeys } from "../../../src/db/schema.ts";
import { createJobRoute } from "../../../src/jobs/contract.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { call, expectContract, expectError } from "../harness/client.ts";
import { createPerson, type Person, signedIn } from "../harness/factories.ts";
import { costOf } from "../harness/instruments.ts";
import { db } from "../harness/rows.ts";

function create(person: Person, key: string, body: unknown = { benchmarks: [] }) {
  return call("POST", "/jobs", {
    token: person.token,
    body,
    headers: { "idempotency-key": key },
  });
}

async function jobsOf(person: Person): Promise<number> {
  const list = await call("GET", "/jobs", { token: person.token });
  return list.body.pagination.total;
}

describe("POST /jobs with an Idempotency-Key", () => {
  test("a repeat gets the first reply, marked as replayed, and creates nothing", async ({
    expect,
  }) => {
    const person = await createPerson();
    const body = { name: "once", benchmarks: ["quick_mark"], tags: ["a"] };
    const first = await create(person, "key-1", body);
    expectContract(expect, first, createJobRoute, 201);
    expect(first.headers.get("idempotency-replayed")).toBeNull();
    const again = await create(person, "key-1", {
      tags: ["a"],
      benchmarks: ["quick_mark"],
      name: "once",
    });
    expect(again.status, again.text).toBe(201);
    expect(again.text, "the taken name is no conflict with oneself").toBe(first.text);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(await jobsOf(person)).toBe(1);
  });

  test("100 at once: one job, one reply", async ({ expect }) => {
    const person = await createPerson();
    const replies = await Promise.all(Array.from({ length: 100 }, () => create(person, "race")));
    expect(new Set(replies.map((reply) => `${reply.status} ${reply.text}`)).size).toBe(1);
    expect(
      replies.filter((reply) => reply.headers.get("idempotency-replayed") === null),
    ).toHaveLength(1);
    expect(await jobsOf(person)).toBe(1);
  });

  test("the same key for another request: 422; for another person: their own", async ({
    expect,
  }) => {
    const [one, two] = [await createPerson(), await createPerson()];
    await create(one, "shared");
    const other = await create(one, "shared", { benchmarks: [], node_count: 2 });
    expectError(expect, other, 422, "IDEMPOTENCY_KEY_REUSED");
    expect(await jobsOf(one)).toBe(1);
    const theirs = await create(two, "shared");
    expect(theirs.headers.get("idempotency-replayed")).toBeNull();
    expect(theirs.status).toBe(201);
  });

  test("a refused request leaves the key free", async ({ expect }) => {
    const person = await createPerson();
    expect((await create(person, "retry", { benchmarks: ["unknown"] })).status).toBe(400);
    await create(person, "holder", { benchmarks: [], name: "taken" });
    expect((await create(person, "retry", { benchmarks: [], name: "taken" })).status).toBe(409);
    expect((await create(person, "retry", { benchmarks: [], name: "free" })).status).toBe(201);
  });

  test("a crash after the commit, before the answer: the repeat finds what was created", async ({
    expect,
  }) => {
    const person = await createPerson();
    const session = env.DB.withSession.bind(env.DB);
    const broken = vi.spyOn(env.DB, "withSession").mockImplementationOnce((bookmark) => {
      const real = session(bookmark);
      return {
        ...real,
        prepare: (query: string) => real.prepare(query),
        getBookmark: () => real.getBookmark(),
        batch: async (statements: D1PreparedStatement[]) => {
          await real.batch(statements);
          throw new Error("D1_ERROR: connection lost after commit");
        },
      } as D1DatabaseSession;
    });
    const silenced = vi.spyOn(console, "error").mockImplementation(() => {});
    expect((await create(person, "crash")).status).toBeGreaterThanOrEqual(500);
    broken.mockRestore();
    silenced.mockRestore();
    const again = await create(person, "crash");
    expect(again.status).toBe(201);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(await jobsOf(person)).toBe(1);
  });

  test("kept for 24 hours, then the key is new again", async ({ expect }) => {
    const person = await createPerson();
    const start = Date.now();
    const clock = vi.spyOn(systemClock, "now").mockReturnValue(start);
    try {
      const first = await create(person, "daily");
      clock.mockReturnValue(start + 24 * 3_600_000 - 1);
      person.token = await signedIn(person);
      expect((await create(person, "daily")).body.id).toBe(first.body.id);
      clock.mockReturnValue(start + 24 * 3_600_000);
      const later = await create(person, "daily");
      expect(later.body.id).not.toBe(first.body.id);
      expect(later.headers.get("idempotency-replayed")).toBeNull();
    } finally {
      clock.mockRestore();
    }
  });

  test("no token is stored", async ({ expect }) => {
    const person = await createPerson();
    const { body } = await create(person, "secret");
    const keys = JSON.stringify(await db.select().from(idempotencyKeys));
    expect(keys).not.toContain(body.token);
    expect(keys).not.toContain("eyJ");
  });

  test("still one D1 batch; a repeat costs one round trip more", async ({ expect }) => {
    const person = await createPerson();
    await jobsOf(person);
    expect(await costOf(() => create(person, "cost"))).toMatchObject({
      status: 201,
      d1_round_trips: 1,
    });
    expect(await costOf(() => create(person, "cost"))).toMatchObject({
      status: 201,
      d1_round_trips: 2,
    });
  });

  test.for([
    ["256 characters", "x".repeat(256)],
    ["a space", "a b"],
    ["nothing", ""],
  ] as const)("a key of %s: 400", async ([, key], { expect }) => {
    const reply = await create(await createPerson(), key);
    const message = "Idempotency-Key must be 1 to 255 visible ASCII characters";
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
  });

  test("a key of 255 visible characters is accepted", async ({ expect }) => {
    expect((await create(await createPerson(), "~".repeat(255))).status).toBe(201);
  });
});
