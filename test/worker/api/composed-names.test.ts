/** Names in NFC: a composed and a decomposed "é" are one name, wherever names are stored, found or measured. */
import { describe, test } from "vitest";
import { call, detail, expectError, join, V0 } from "../harness/client.ts";
import { createJob, createPerson, HARDWARE } from "../harness/factories.ts";
import { customerUuid } from "../harness/rows.ts";

const COMPOSED = "Caf\u00e9";
const DECOMPOSED = "Cafe\u0301";
const FORMS = [COMPOSED, DECOMPOSED];
const q = encodeURIComponent;
const admin = await createPerson({ role: "root_admin" });
const customer = await customerUuid(admin.customerId);

describe("jobs", () => {
  test("one name of a customer in both forms; it is shown composed", async ({ expect }) => {
    for (const [first, second] of [FORMS, FORMS.toReversed()]) {
      const job = await createJob({ name: first });
      expect((await detail(job)).body.name).toBe(COMPOSED);
      const { token } = job.owner;
      const again = await call("POST", "/jobs", { token, body: { name: second, benchmarks: [] } });
      const message = `Job with name '${COMPOSED}' already exists`;
      expectError(expect, again, 409, "RESOURCE_ALREADY_EXISTS", message);
    }
  });

  test("one request to `Idempotency-Key`", async ({ expect }) => {
    const { token } = await createPerson();
    const headers = { "idempotency-key": crypto.randomUUID() };
    const [one, two] = await Promise.all(
      FORMS.map((name) =>
        call("POST", "/jobs", { token, headers, body: { name, benchmarks: [] } }),
      ),
    );
    expect([one?.status, two?.status]).toEqual([201, 201]);
    expect(one?.body.id).toBe(two?.body.id);
  });

  test("found by name and tag in both forms, listed by bytes", async ({ expect }) => {
    const job = await createJob({ name: DECOMPOSED, tags: [DECOMPOSED, COMPOSED, "e\u0301"] });
    const { token } = job.owner;
    expect((await detail(job)).body.tags).toEqual([COMPOSED, "\u00e9"]);
    await createJob({ name: "Cafe" }, job.owner);
    await createJob({ name: "Cafz" }, job.owner);
    const names = async (query: string) =>
      (await call("GET", `/jobs${query}`, { token })).body.results.map(
        ({ name }: { name: string }) => name,
      );
    for (const form of FORMS) {
      for (const query of [
        `name=${q(form)}`,
        `name=${q(form.slice(3))}`,
        `tags=${q(form)}`,
        `tag[]=${q(form)}`,
      ])
        expect(await names(`?${query}`), query).toEqual([COMPOSED]);
    }
    expect(await names("?sort_by=name&sort_order=asc")).toEqual(["Cafe", "Cafz", COMPOSED]);
    expect((await call("GET", "/jobs/tags", { token })).body.tags).toEqual([COMPOSED, "\u00e9"]);
  });

  test("what is no name stays as it was sent", async ({ expect }) => {
    const job = await createJob({ description: DECOMPOSED });
    const taskId = (await join(job)).body.id;
    const body = { state: "failed", failed_message: DECOMPOSED };
    await call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body });
    const { description, tasks } = (await detail(job)).body;
    expect([description, tasks[0].failed_message]).toEqual([DECOMPOSED, DECOMPOSED]);
  });

  test.for([
    ["60 letters of two code points each", "e\u0301".repeat(60), 201],
    ["61 of them", "e\u0301".repeat(61), 400],
    ["31 letters that have two code points in NFC", "\u0958".repeat(31), 400],
    ["30 of them", "\u0958".repeat(30), 201],
  ] as const)("lengths are those of NFC: %s", async ([, name, status], { expect }) => {
    const { token } = admin;
    const reply = await call("POST", "/jobs", { token, body: { name, benchmarks: [] } });
    expect(reply.status, reply.text).toBe(status);
    if (status === 400) expect(reply.body.message).toBe("name must have at most 60 characters");
    const list = await call("GET", `/jobs?name=${q(name)}`, { token });
    expect(list.status, list.text).toBe(status === 201 ? 200 : 400);
  });
});

describe.each([
  ["specs", { ...HARDWARE }],
  ["runners", {}],
  ["customers", {}],
  ["users", { password: "correct horse battery staple", customer }],
  ["users/me/tokens", {}],
] as const)("/v0/%s", (path, rest) => {
  const { token } = admin;
  const create = (name: string) => {
    const email = path === "users" ? { email: `${crypto.randomUUID()}@example.com` } : {};
    return call("POST", `${V0}/${path}`, { token, body: { ...rest, ...email, name } });
  };
  const find = async (query: string) =>
    (await call("GET", `${V0}/${path}?${query}`, { token })).body;

  test("a name is stored composed, and found in both forms", async ({ expect }) => {
    const unique = crypto.randomUUID().slice(0, 8);
    const made = await create(`${DECOMPOSED} ${unique}`);
    expect(made.status, made.text).toBe(201);
    for (const form of FORMS) {
      for (const query of [
        `name=${q(`${form} ${unique}`)}`,
        `search=${q(`${form.slice(2)} ${unique}`)}`,
      ]) {
        const names = (await find(query)).map(({ name }: { name: string }) => name);
        expect(names, query).toEqual([`${COMPOSED} ${unique}`]);
      }
    }
    if (path === "users/me/tokens") return;
    const target = `${V0}/${path}/${made.body.uuid}`;
    const changed = await call("PATCH", target, { token, body: { name: `e\u0301${unique}` } });
    expect(changed.body.name, changed.text).toBe(`\u00e9${unique}`);
  });

  test("64 bytes are counted in NFC", async ({ expect }) => {
    expect((await create("e\u0301".repeat(32))).status).toBe(201);
    const long = await create("e\u0301".repeat(33));
    expectError(
      expect,
      long,
      400,
      "PARAMETER_INCORRECT_VALUE",
      "name must have at most 64 bytes of UTF-8",
    );
  });
});
