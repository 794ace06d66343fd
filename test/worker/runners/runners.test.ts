/** Runners as administrators keep them: create, list, view, update, rotate, offer, withdraw. */
import { describe, test } from "vitest";
import { idempotencyKeys, runnerSpecs, specs } from "../../../src/db/schema.ts";
import { hashOfKey, isSameHash } from "../../../src/lib/keys.ts";
import {
  createRunnerRoute,
  getRunnerRoute,
  listOfferedRoute,
  listRunnersRoute,
  offerSpecRoute,
  rotateKeyRoute,
  updateRunnerRoute,
} from "../../../src/runners/contract.ts";
import { drawRunnerKey, KEY_PATTERN, NEW_KEY_PATTERN } from "../../../src/runners/keys.ts";
import { runner as runnerSchema } from "../../../src/runners/schemas.ts";
import { call, claim, expectContract, expectError, V0 } from "../harness/client.ts";
import { createPerson, createRunner, createSpec } from "../harness/factories.ts";
import { costOf, planOf } from "../harness/instruments.ts";
import { auditOf, db, insertRows, runnerRow, specValues, times } from "../harness/rows.ts";

const admin = await createPerson({ role: "root_admin" });
const { token } = admin;
const RUNNERS = `${V0}/runners`;
const unique = () => `r-${crypto.randomUUID().slice(0, 18)}z`;

const send = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) =>
  call(method, `${RUNNERS}${path}`, { token, body, headers });

async function trailOf(uuid: string): Promise<{ action: string; details: object }[]> {
  const events = await auditOf(uuid);
  const ofRunner = events.filter(({ subject_kind }) => subject_kind === "runner");
  return ofRunner.map(({ action, details }) => ({ action, details: JSON.parse(details) }));
}

describe("keys", () => {
  test("30 letters and digits, each as likely as another", ({ expect }) => {
    const counts = new Map<string, number>();
    for (let n = 0; n < 2_000; n++) {
      const key = drawRunnerKey();
      expect(key).toMatch(NEW_KEY_PATTERN);
      expect(key).toMatch(KEY_PATTERN);
      for (const character of key.slice("bencher_runner_".length)) {
        counts.set(character, (counts.get(character) ?? 0) + 1);
      }
    }
    expect(counts.size).toBe(62);
    const expected = (2_000 * 30) / 62;
    // Without rejection the first eight characters would come a quarter more often than the rest.
    for (const count of counts.values()) {
      expect(Math.abs(count - expected)).toBeLessThan(expected * 0.2);
    }
  });

  test("hashes are compared whole, whatever their lengths", ({ expect }) => {
    const hash = hashOfKey(drawRunnerKey());
    expect(isSameHash(hash, hash)).toBe(true);
    expect(isSameHash("", hash)).toBe(false);
    expect(isSameHash(hash.slice(1), hash)).toBe(false);
    expect(isSameHash(`!${hash.slice(1)}`, hash)).toBe(false);
  });
});

describe("create", () => {
  test("answers the key once, and keeps nothing but its hash", async ({ expect }) => {
    const slug = unique();
    const reply = await send("POST", "", { name: "Rack 7", slug });
    expectContract(expect, reply, createRunnerRoute, 201);
    expect(reply.headers.get("cache-control")).toBe("no-store");
    const { uuid, key } = reply.body;
    const row = await runnerRow({ uuid });
    expect(row.keyHash).toBe(hashOfKey(key));
    expect(JSON.stringify(row)).not.toContain(key);
    const seen = await send("GET", `/${slug}`);
    expectContract(expect, seen, getRunnerRoute, 200);
    expect(seen.body).toEqual({
      uuid,
      name: "Rack 7",
      slug,
      specs: [],
      spec_checks: [],
      state: "offline",
      last_heartbeat: null,
      created: seen.body.created,
      modified: seen.body.created,
      archived: null,
    });
    expect(await trailOf(uuid)).toEqual([{ action: "runner_created", details: {} }]);
  });

  test("the slug is made from the name; a taken one is refused, made or asked for", async ({
    expect,
  }) => {
    const name = `Größe ${crypto.randomUUID().slice(0, 8)}`;
    const { uuid } = (await send("POST", "", { name })).body;
    const { slug } = (await send("GET", `/${uuid}`)).body;
    expect(slug).toBe(name.replace("ö", "o").replace("ß", "ss").replace(" ", "-").toLowerCase());
    for (const body of [{ name }, { name: "Other", slug }]) {
      const message = `Runner with slug '${slug}' already exists`;
      expectError(expect, await send("POST", "", body), 409, "RESOURCE_ALREADY_EXISTS", message);
    }
  });

  test.for([
    [{}, "name"],
    [{ name: null }, "name"],
    [{ name: "" }, "name"],
    [{ name: " x" }, "name"],
    [{ name: "x".repeat(65) }, "name"],
    [{ name: "x", slug: "Not A Slug" }, "slug"],
    [{ name: "x", slug: "me" }, "slug"],
    [{ name: "x", slug: crypto.randomUUID() }, "slug"],
  ] as const)("%j: 400", async ([body, field], { expect }) => {
    const reply = await send("POST", "", body);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.error.details[0].field).toBe(field);
  });

  test("repeated with its Idempotency-Key: the same runner, and no key", async ({ expect }) => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const body = { name: "Once", slug: unique() };
    const first = await send("POST", "", body, headers);
    const again = await send("POST", "", body, headers);
    expectContract(expect, again, createRunnerRoute, 201);
    expect(again.body).toEqual({ uuid: first.body.uuid, key: null });
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    const other = await send("POST", "", { ...body, name: "Twice" }, headers);
    expectError(expect, other, 422, "IDEMPOTENCY_KEY_REUSED");
    const keys = await db.select().from(idempotencyKeys);
    expect(JSON.stringify(keys)).not.toContain("_runner_");
  });

  test("ten at once with one slug: one of them", async ({ expect }) => {
    const slug = unique();
    const tries = Array.from({ length: 10 }, () => send("POST", "", { name: "Race", slug }));
    const statuses = (await Promise.all(tries)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status === 409)).toHaveLength(9);
  });
});

describe("list", () => {
  test("by name or creation, filtered, searched, paged, with totals and links", async ({
    expect,
  }) => {
    const mark = crypto.randomUUID().slice(0, 8);
    const made = [];
    for (const [at, name] of ["c", "a", "b", "a"].entries()) {
      const body = { name: `${mark} ${name}`, slug: `${mark}-${at}` };
      made.push((await send("POST", "", body)).body.uuid);
    }
    const list = async (query: string) => {
      const reply = await send("GET", `?search=${mark}&${query}`);
      expectContract(expect, reply, listRunnersRoute, 200);
      return reply;
    };
    const uuids = async (query: string) =>
      (await list(query)).body.map((one: { uuid: string }) => one.uuid);
    expect(await uuids("")).toEqual([made[1], made[3], made[2], made[0]]);
    expect(await uuids("direction=desc")).toEqual([made[0], made[2], made[3], made[1]]);
    expect(await uuids("sort=created"), "the newest first").toEqual(made.toReversed());
    expect(await uuids("sort=created&direction=asc")).toEqual(made);
    expect(await uuids(`name=${mark}+a`)).toEqual([made[1], made[3]]);
    const first = await list("per_page=3");
    expect(first.headers.get("x-total-count")).toBe("4");
    const next = /<([^>]*)>; rel="next"/.exec(first.headers.get("link") ?? "")?.[1] ?? "";
    const second = await call("GET", next, { token });
    expect(second.body.map(({ uuid }: { uuid: string }) => uuid)).toEqual([made[0]]);
    await send("PATCH", `/${made[0]}`, { archived: true });
    expect(await uuids("")).toEqual([made[1], made[3], made[2]]);
    expect(await uuids("archived=true")).toHaveLength(4);
  });

  test("without a filter its totals come from the counter row, and are right", async ({
    expect,
  }) => {
    for (const query of ["", "&archived=true"]) {
      const reply = await send("GET", `?per_page=255${query}`);
      expect(Number(reply.headers.get("x-total-count"))).toBe(reply.body.length);
    }
    expectError(expect, await send("GET", "?per_page=256"), 400, "PARAMETER_INCORRECT_VALUE");
  });

  test("the list that nobody filters is read from an index", async ({ expect }) => {
    const query = `SELECT uuid FROM runners WHERE archived_at IS NULL
       ORDER BY name, slug LIMIT 9`;
    expect(await planOf(query)).toBe("SCAN runners USING INDEX runners_live_by_name");
    const named = `SELECT uuid FROM runners WHERE archived_at IS NULL AND name = 'a'
       ORDER BY created_at DESC, uuid DESC LIMIT 9`;
    expect(await planOf(named)).toBe(
      "SEARCH runners USING INDEX runners_live_by_name_time (name=?)",
    );
  });
});

describe("view and update", () => {
  test("304 until something that is shown has changed, contact too", async ({ expect }) => {
    const runner = await createRunner([], admin);
    const etag = async () => (await send("GET", `/${runner.uuid}`)).headers.get("etag") ?? "";
    const first = await etag();
    const same = await send("GET", `/${runner.uuid}`, undefined, { "if-none-match": first });
    expect(same.status).toBe(304);
    await claim(runner);
    expect(await etag(), "it is online").not.toBe(first);
    const current = { "if-match": first };
    const changed = await send("PATCH", `/${runner.uuid}`, { name: "New" }, current);
    expectContract(expect, changed, updateRunnerRoute, 200);
    expect(changed.body, "contact is no version").toMatchObject({ name: "New", slug: runner.slug });
    const stale = await send("PATCH", `/${runner.uuid}`, { name: "Newer" }, current);
    expectError(expect, stale, 412, "PRECONDITION_FAILED");
    expect(changed.headers.get("etag")).toBe(await etag());
  });

  test("null is unchanged; a taken slug is refused; an unknown runner is 404", async ({
    expect,
  }) => {
    const [one, other] = [await createRunner([], admin), await createRunner([], admin)];
    const path = `/${one.uuid}`;
    const before = (await send("GET", path)).body;
    const same = await send("PATCH", path, { name: null, slug: null, archived: null });
    expect(same.body).toEqual({ ...before, modified: same.body.modified });
    const taken = await send("PATCH", path, { slug: other.slug });
    expectError(expect, taken, 409, "RESOURCE_ALREADY_EXISTS");
    const slug = unique();
    expect((await send("PATCH", path, { slug })).body.slug).toBe(slug);
    for (const [method, suffix, body] of [
      ["GET", "", undefined],
      ["PATCH", "", {}],
      ["POST", "/key", undefined],
      ["GET", "/specs", undefined],
      ["POST", "/specs", { spec: "whatever" }],
      ["DELETE", "/specs/whatever", undefined],
    ] as const) {
      const reply = await send(method, `/${one.slug}x${suffix}`, body);
      expectError(
        expect,
        reply,
        404,
        "RESOURCE_NOT_FOUND",
        `Runner with id ${one.slug}x not found`,
      );
    }
    expect((await trailOf(one.uuid)).map(({ action }) => action)).toEqual([
      "runner_created",
      "runner_updated",
      "runner_updated",
    ]);
  });

  test("archived runners keep the time at which they first were", async ({ expect }) => {
    const { uuid } = await createRunner([], admin);
    const { archived } = (await send("PATCH", `/${uuid}`, { archived: true })).body;
    expect(archived).not.toBeNull();
    expect((await send("PATCH", `/${uuid}`, { archived: true })).body.archived).toBe(archived);
    expect((await send("PATCH", `/${uuid}`, { archived: false })).body.archived).toBeNull();
    expect((await send("DELETE", `/${uuid}`)).status).toBe(405);
  });
});

describe("rotating a key", () => {
  test("makes another, by an act that the trail keeps", async ({ expect }) => {
    const runner = await createRunner([], admin);
    const reply = await send("POST", `/${runner.slug}/key`);
    expectContract(expect, reply, rotateKeyRoute, 201);
    expect(reply.body.uuid).toBe(runner.uuid);
    expect(reply.body.key).not.toBe(runner.key);
    expect(reply.headers.get("cache-control")).toBe("no-store");
    expect((await trailOf(runner.uuid)).at(-1)?.action).toBe("runner_key_rotated");
  });

  test("repeated with its Idempotency-Key: no second rotation, and no key", async ({ expect }) => {
    const runner = await createRunner([], admin);
    const headers = { "idempotency-key": crypto.randomUUID() };
    const { key } = (await send("POST", `/${runner.uuid}/key`, undefined, headers)).body;
    const again = await send("POST", `/${runner.uuid}/key`, undefined, headers);
    expect(again.body).toEqual({ uuid: runner.uuid, key: null });
    expect((await claim({ ...runner, key })).status).toBe(200);
    const { uuid } = await createRunner([], admin);
    const other = await send("POST", `/${uuid}/key`, undefined, headers);
    expectError(expect, other, 422, "IDEMPOTENCY_KEY_REUSED");
  });

  test("of an archived runner: 409, and the same Idempotency-Key works later", async ({
    expect,
  }) => {
    const { uuid } = await createRunner([], admin);
    await send("PATCH", `/${uuid}`, { archived: true });
    const headers = { "idempotency-key": crypto.randomUUID() };
    for (const sent of [{}, headers]) {
      const reply = await send("POST", `/${uuid}/key`, undefined, sent);
      expectError(expect, reply, 409, "RESOURCE_IN_USE");
    }
    await send("PATCH", `/${uuid}`, { archived: false });
    const reply = await send("POST", `/${uuid}/key`, undefined, headers);
    expect(reply.body.key).toMatch(KEY_PATTERN);
    expect(reply.headers.get("idempotency-replayed")).toBeNull();
  });
});

describe("offering and withdrawing specs", () => {
  test("the spec is answered and shown; its deletion is refused while it is offered", async ({
    expect,
  }) => {
    const [spec, runner] = [await createSpec({}, admin), await createRunner([], admin)];
    const reply = await send("POST", `/${runner.uuid}/specs`, { spec: spec.slug });
    expectContract(expect, reply, offerSpecRoute, 201);
    expect(reply.body).toEqual(spec);
    expect((await send("GET", `/${runner.uuid}`)).body.specs).toEqual([spec.uuid]);
    const remove = () => call("DELETE", `${V0}/specs/${spec.uuid}`, { token });
    expectError(expect, await remove(), 409, "RESOURCE_IN_USE");
    const gone = await send("DELETE", `/${runner.slug}/specs/${spec.uuid.toUpperCase()}`);
    expect(gone.status).toBe(204);
    expect((await send("GET", `/${runner.uuid}`)).body.specs).toEqual([]);
    expect((await remove()).status).toBe(204);
    expect((await trailOf(runner.uuid)).slice(1)).toEqual([
      { action: "runner_spec_offered", details: { spec: spec.slug } },
      { action: "runner_spec_withdrawn", details: { spec: spec.uuid } },
    ]);
  });

  test("offered already: 409; unknown or archived: 404; not offered: 404", async ({ expect }) => {
    const spec = await createSpec({}, admin);
    const { uuid } = await createRunner([spec], admin);
    const offer = (body: unknown) => send("POST", `/${uuid}/specs`, body);
    const again = await offer({ spec: spec.uuid });
    const message = `The runner offers the spec '${spec.uuid}' already`;
    expectError(expect, again, 409, "RESOURCE_ALREADY_EXISTS", message);
    expectError(expect, await offer({ spec: "no-such-spec" }), 404, "RESOURCE_NOT_FOUND");
    const old = await createSpec({}, admin);
    await call("PATCH", `${V0}/specs/${old.uuid}`, { token, body: { archived: true } });
    expectError(expect, await offer({ spec: old.uuid }), 404, "RESOURCE_NOT_FOUND");
    const withdrawn = await send("DELETE", `/${uuid}/specs/${old.uuid}`);
    expectError(expect, withdrawn, 404, "RESOURCE_NOT_FOUND", `Spec with id ${old.uuid} not found`);
    for (const body of [{}, { spec: null }, { spec: 7 }, { spec: "A B" }]) {
      expectError(expect, await offer(body), 400, "PARAMETER_INCORRECT_VALUE");
    }
  });

  test("with an Idempotency-Key: the first reply again, and nothing stored for a refusal", async ({
    expect,
  }) => {
    const [spec, runner] = [
      await createSpec({ network: true }, admin),
      await createRunner([], admin),
    ];
    const headers = { "idempotency-key": crypto.randomUUID() };
    const offer = (wanted: string) =>
      send("POST", `/${runner.uuid}/specs`, { spec: wanted }, headers);
    expect((await offer("no-such-spec")).status).toBe(404);
    const first = await offer(spec.slug);
    expect(first.status, first.text).toBe(201);
    await call("PATCH", `${V0}/specs/${spec.uuid}`, { token, body: { name: "Renamed" } });
    const again = await offer(spec.slug);
    expectContract(expect, again, offerSpecRoute, 201);
    expect(again.body).toEqual(first.body);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
  });

  test("an offer is a change of the runner: If-Match sees it", async ({ expect }) => {
    const [spec, runner] = [await createSpec({}, admin), await createRunner([], admin)];
    const path = `/${runner.uuid}`;
    const before = (await send("GET", path)).headers.get("etag") ?? "";
    await send("POST", `${path}/specs`, { spec: spec.uuid });
    const stale = await send("DELETE", `${path}/specs/${spec.uuid}`, undefined, {
      "if-match": before,
    });
    expectError(expect, stale, 412, "PRECONDITION_FAILED");
    const now = (await send("GET", path)).headers.get("etag") ?? "";
    const good = await send("DELETE", `${path}/specs/${spec.uuid}`, undefined, { "if-match": now });
    expect(good.status).toBe(204);
  });

  test("the list of what is offered is whole, archived specs too; it can be filtered and paged", async ({
    expect,
  }) => {
    const names = ["b", "a", "c", "d", "e", "f", "g", "h", "i"];
    const specs = [];
    for (const name of names) specs.push(await createSpec({ name: `Offered ${name}` }, admin));
    const runner = await createRunner(specs, admin);
    const list = (query: string) => send("GET", `/${runner.uuid}/specs?${query}`);
    const named = async (query: string) => {
      const reply = await list(query);
      expectContract(expect, reply, listOfferedRoute, 200);
      return reply.body.map(({ name }: { name: string }) => name.slice(-1));
    };
    const all = names.toSorted();
    const whole = await send("GET", `/${runner.uuid}/specs`);
    expect(whole.body.map(({ name }: { name: string }) => name.slice(-1))).toEqual(all);
    expect(whole.headers.get("x-total-count")).toBe("9");
    expect(whole.headers.get("link")).not.toContain('rel="next"');
    expect(await named("direction=desc&per_page=2")).toEqual(["i", "h"]);
    expect(await named("sort=created&direction=asc")).toEqual(names);
    expect(await named("search=offered+B")).toEqual(["b"]);
    expect(await named("name=Offered+c")).toEqual(["c"]);
    expect(await named("name=Offered")).toEqual([]);
    const first = await list("per_page=8");
    expect(first.headers.get("x-total-count")).toBe("9");
    const next = /<([^>]*)>; rel="next"/.exec(first.headers.get("link") ?? "")?.[1] ?? "";
    expect((await call("GET", next, { token })).body).toHaveLength(1);
    await call("PATCH", `${V0}/specs/${specs[0]?.uuid}`, { token, body: { archived: true } });
    expect(await named("")).toEqual(all);
    expect(await named("archived=false")).toEqual(all.filter((name) => name !== "b"));
  });

  test("at most 255, which the list shows at once", async ({ expect }) => {
    const [last, runner] = [await createSpec({}, admin), await createRunner([], admin)];
    const many = times(255, (number) =>
      specValues({ uuid: crypto.randomUUID(), slug: `many-${number}` }),
    );
    await insertRows(specs, many);
    const runnerId = (await runnerRow(runner)).id;
    await insertRows(
      runnerSpecs,
      many.map(({ uuid }) => ({ runnerId, specUuid: uuid })),
    );
    const reply = await send("POST", `/${runner.uuid}/specs`, { spec: last.uuid });
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    const seen = (await send("GET", `/${runner.uuid}`)).body;
    expect(runnerSchema.parse(seen).specs).toHaveLength(255);
    const listed = await send("GET", `/${runner.uuid}/specs`);
    expectContract(expect, listed, listOfferedRoute, 200);
    expect([listed.body.length, listed.headers.get("x-total-count")]).toEqual([255, "255"]);
    expect((await claim(runner)).status).toBe(200);
  });
});

describe("D1 round trips: one each, whatever becomes of it", () => {
  test("for all routes of administrators", async ({ expect }) => {
    const [spec, other] = [await createSpec({}, admin), await createSpec({}, admin)];
    const runner = await createRunner([spec], admin);
    const path = `/${runner.uuid}`;
    const one = { d1_round_trips: 1, object_hops: 0 };
    const cost = (...args: Parameters<typeof send>) => costOf(() => send(...args));
    const key = { "idempotency-key": crypto.randomUUID() };
    const slug = unique();
    expect(await cost("GET", "")).toMatchObject({ status: 200, ...one });
    expect(await cost("GET", "?search=rack")).toMatchObject({ status: 200, ...one });
    expect(await cost("POST", "", { name: "x", slug }, key)).toMatchObject({ status: 201, ...one });
    expect(await cost("POST", "", { name: "x", slug })).toMatchObject({ status: 409, ...one });
    expect(await cost("GET", path)).toMatchObject({ status: 200, ...one });
    expect(await cost("GET", `${path}/specs`)).toMatchObject({ status: 200, ...one });
    expect(await cost("PATCH", path, {})).toMatchObject({ status: 200, ...one });
    expect(await cost("PATCH", path, { slug })).toMatchObject({ status: 409, ...one });
    expect(await cost("PATCH", path, {}, { "if-match": '"x"' })).toMatchObject({
      status: 412,
      ...one,
    });
    const specs = `${path}/specs`;
    expect(await cost("POST", specs, { spec: other.uuid })).toMatchObject({ status: 201, ...one });
    expect(await cost("POST", specs, { spec: other.uuid })).toMatchObject({ status: 409, ...one });
    expect(await cost("POST", specs, { spec: "none" })).toMatchObject({ status: 404, ...one });
    expect(await cost("DELETE", `${specs}/${other.uuid}`)).toMatchObject({ status: 204, ...one });
    expect(await cost("DELETE", `${specs}/${other.uuid}`)).toMatchObject({ status: 404, ...one });
    expect(await cost("POST", `${path}/key`)).toMatchObject({ status: 201, ...one });
    expect(await cost("GET", "/none")).toMatchObject({ status: 404, ...one });
  });
});
