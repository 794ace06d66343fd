/** One spec: viewing, changing, deleting it, and who may; lists and creation have files of their own. */
import { describe, test, vi } from "vitest";
import { systemClock } from "../../../src/lib/clock.ts";
import { getSpecRoute, updateSpecRoute } from "../../../src/specs/contract.ts";
import { call, expectContract, expectError, V0 } from "../harness/client.ts";
import {
  createJob,
  createPerson,
  createSpec,
  HARDWARE,
  type TestSpec,
} from "../harness/factories.ts";
import { setJob } from "../harness/rows.ts";

const admin = await createPerson({ role: "root_admin" });
const { token } = admin;
const UNKNOWN = "00000000-0000-4000-8000-000000000000";

function view(spec: string, headers: Record<string, string> = {}) {
  return call("GET", `${V0}/specs/${encodeURIComponent(spec)}`, { token, headers });
}

function update(spec: string, body: unknown, headers: Record<string, string> = {}) {
  return call("PATCH", `${V0}/specs/${encodeURIComponent(spec)}`, { token, body, headers });
}

function remove(spec: string, headers: Record<string, string> = {}) {
  return call("DELETE", `${V0}/specs/${encodeURIComponent(spec)}`, { token, headers });
}

let serial = 0;
const unique = (word: string) => `${word} ${serial++}`;

describe("GET /v0/specs/{spec}", () => {
  test("by slug, and by UUID in every usual spelling", async ({ expect }) => {
    const spec = await createSpec({}, admin);
    const { uuid } = spec;
    const spellings = [
      spec.slug,
      uuid,
      uuid.toUpperCase(),
      uuid.replaceAll("-", ""),
      `{${uuid}}`,
      `urn:uuid:${uuid}`,
    ];
    for (const spelling of spellings) {
      const reply = await view(spelling);
      expectContract(expect, reply, getSpecRoute, 200);
      expect(reply.body, spelling).toEqual(spec);
    }
  });

  test("archived ones, too", async ({ expect }) => {
    const { uuid, slug } = await createSpec({}, admin);
    const { body } = await update(uuid, { archived: true });
    expect((await view(slug)).body).toEqual(body);
  });

  test("unknown UUID, unknown slug: 404", async ({ expect }) => {
    for (const unknown of [UNKNOWN, "no-such-spec"]) {
      const message = `Spec with id ${unknown} not found`;
      expectError(expect, await view(unknown), 404, "RESOURCE_NOT_FOUND", message);
    }
  });

  test.for(["A", "a--b", "a_b", "-a", "a".repeat(65), " ", "%", "../x", `{${UNKNOWN}`])(
    "neither a UUID nor a slug (%s): 400",
    async (spec, { expect }) => {
      const message = "spec must be a UUID or a slug";
      expectError(expect, await view(spec), 400, "PARAMETER_INCORRECT_VALUE", message);
    },
  );

  test("If-None-Match: 304 until the spec changes", async ({ expect }) => {
    const { uuid, slug } = await createSpec({}, admin);
    const etag = (await view(slug)).headers.get("etag") ?? "";
    for (const held of [etag, `W/${etag}`, `"other", ${etag}`]) {
      const held304 = await view(uuid, { "if-none-match": held });
      expect([held304.status, held304.text, held304.headers.get("etag")]).toEqual([304, "", etag]);
    }
    await update(uuid, {});
    const after = await view(slug, { "if-none-match": etag });
    expect(after.status).toBe(200);
    expect(after.headers.get("etag")).not.toBe(etag);
  });
});

describe("PATCH /v0/specs/{spec}", () => {
  async function fresh(): Promise<TestSpec & Record<string, unknown>> {
    return { ...(await createSpec({ name: unique("Old") }, admin)) };
  }

  test("name, slug, archived; the rest stays", async ({ expect }) => {
    const spec = await fresh();
    const renamed = await update(spec.slug, { name: "New name" });
    expectContract(expect, renamed, updateSpecRoute, 200);
    const { modified, ...rest } = renamed.body;
    const { modified: before, ...original } = spec;
    expect(rest, "the slug stays").toEqual({ ...original, name: "New name" });
    expect(Date.parse(modified)).toBeGreaterThanOrEqual(Date.parse(String(before)));
    const moved = await update(spec.uuid, { slug: `${spec.slug}-moved` });
    expect(moved.body).toMatchObject({ name: "New name", slug: `${spec.slug}-moved` });
    expectError(expect, await view(spec.slug), 404, "RESOURCE_NOT_FOUND");
    expect((await view(`${spec.slug}-moved`)).body).toEqual(moved.body);
  });

  test("archiving keeps the first time; unarchiving clears it", async ({ expect }) => {
    const { uuid } = await fresh();
    const start = Date.now();
    const clock = vi.spyOn(systemClock, "now");
    try {
      clock.mockReturnValue(start + 1_000);
      const first = await update(uuid, { archived: true });
      expect(first.body.archived).toBe(new Date(start + 1_000).toISOString());
      clock.mockReturnValue(start + 2_000);
      const second = await update(uuid, { archived: true });
      expect(second.body).toMatchObject({
        archived: first.body.archived,
        modified: new Date(start + 2_000).toISOString(),
      });
    } finally {
      clock.mockRestore();
    }
    expect((await update(uuid, { archived: false })).body.archived).toBeNull();
    expect((await update(uuid, { archived: false })).body.archived).toBeNull();
  });

  test("null means unchanged; {} moves only modified", async ({ expect }) => {
    const spec = await fresh();
    for (const body of [{}, { name: null, slug: null, archived: null, fallback: null }]) {
      const reply = await update(spec.uuid, body);
      expectContract(expect, reply, updateSpecRoute, 200);
      expect({ ...reply.body, modified: 0 }).toEqual({ ...spec, modified: 0 });
    }
  });

  test("hardware does not change, whatever is sent", async ({ expect }) => {
    const spec = await fresh();
    const body = {
      architecture: "aarch64",
      cpu: 1,
      memory: 1,
      disk: 1,
      network: true,
      os: "windows",
      uuid: UNKNOWN,
      created: "2020-01-01T00:00:00Z",
      surprise: {},
    };
    const reply = await update(spec.uuid, body);
    expect({ ...reply.body, modified: 0 }).toEqual({ ...spec, modified: 0 });
  });

  test("its own slug is no conflict; a taken one is, and nothing changes", async ({ expect }) => {
    const [one, two] = [await fresh(), await fresh()];
    expect((await update(one.uuid, { slug: one.slug })).body.slug).toBe(one.slug);
    const etag = (await view(two.uuid)).headers.get("etag");
    const taken = await update(two.uuid, { name: "Lost", slug: one.slug });
    const message = `Spec with slug '${one.slug}' already exists`;
    expectError(expect, taken, 409, "RESOURCE_ALREADY_EXISTS", message);
    const after = await view(two.uuid);
    expect(after.body).toEqual(two);
    expect(after.headers.get("etag")).toBe(etag);
  });

  test.for([
    ["an empty name", { name: "" }, "name must not be empty"],
    ["a name of 65 bytes", { name: `${"é".repeat(32)}x` }, "name must have at most 64 bytes"],
    ["a slug that is a UUID", { slug: UNKNOWN }, "slug must not be a UUID"],
    ["the slug me", { slug: "me" }, "slug must not be a UUID or `me`"],
    ["a malformed slug", { slug: "a--b" }, "slug must consist of lower-case"],
    ['archived "true"', { archived: "true" }, "archived must be a boolean"],
    ["a fallback", { fallback: true }, "fallback is not supported"],
  ] as const)("%s: 400", async ([, body, message], { expect }) => {
    const spec = await fresh();
    const reply = await update(spec.uuid, body);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.message).toContain(message);
    expect((await view(spec.uuid)).body).toEqual(spec);
  });

  test("no body: 400; unknown: 404", async ({ expect }) => {
    const { uuid } = await fresh();
    expectError(expect, await update(uuid, undefined), 400, "PARAMETER_INCORRECT_VALUE");
    for (const unknown of [UNKNOWN, "no-such-spec"]) {
      expectError(expect, await update(unknown, {}), 404, "RESOURCE_NOT_FOUND");
    }
  });
});

describe("If-Match", () => {
  test("a change happens only to a version that was named", async ({ expect }) => {
    const spec = await createSpec({}, admin);
    const etag = (await view(spec.uuid)).headers.get("etag") ?? "";
    const changed = await update(spec.uuid, { name: "One" }, { "if-match": etag });
    expect(changed.status, changed.text).toBe(200);
    const next = changed.headers.get("etag") ?? "";
    expect((await view(spec.uuid)).headers.get("etag")).toBe(next);
    for (const stale of [etag, `W/${etag}`, '"other"', "nonsense", `"other", ${etag}`]) {
      const refused = await update(spec.uuid, { name: "Lost" }, { "if-match": stale });
      expect(refused.status, stale).toBe(412);
      expectError(expect, refused, 412, "PRECONDITION_FAILED");
      const kept = await remove(spec.uuid, { "if-match": stale });
      expectError(expect, kept, 412, "PRECONDITION_FAILED");
    }
    expect((await view(spec.uuid)).body).toEqual(changed.body);
    const weak = await update(spec.slug, {}, { "if-match": `"other", W/${next}` });
    expect(weak.status, weak.text).toBe(200);
    expect((await update(spec.uuid, {}, { "if-match": "*" })).status).toBe(200);
    const last = (await view(spec.uuid)).headers.get("etag") ?? "";
    expect((await remove(spec.uuid, { "if-match": last })).status).toBe(204);
  });

  test("of another release is as good, of another spec is not", async ({ expect }) => {
    const [one, two] = [await createSpec({}, admin), await createSpec({}, admin)];
    const etag = (await view(one.uuid)).headers.get("etag") ?? "";
    const older = etag.replace(/\.\d+\.\d+\.\d+"$/, '.0.0.1-old"');
    expect(older).not.toBe(etag);
    expectError(
      expect,
      await update(two.uuid, {}, { "if-match": etag }),
      412,
      "PRECONDITION_FAILED",
    );
    expect((await update(one.uuid, {}, { "if-match": older })).status).toBe(200);
  });

  test("hundreds of versions may be named", async ({ expect }) => {
    const { uuid } = await createSpec({}, admin);
    const etag = (await view(uuid)).headers.get("etag") ?? "";
    const many = Array.from({ length: 200 }, (_, n) => `"${n}${uuid}"`);
    expect((await update(uuid, {}, { "if-match": [...many, etag].join(", ") })).status).toBe(200);
  });

  test("what is not there is 404 first; a stale version comes before a taken slug", async ({
    expect,
  }) => {
    const [one, two] = [await createSpec({}, admin), await createSpec({}, admin)];
    const stale = { "if-match": '"stale"' };
    expectError(expect, await update(UNKNOWN, {}, stale), 404, "RESOURCE_NOT_FOUND");
    expectError(expect, await remove("no-such-spec", stale), 404, "RESOURCE_NOT_FOUND");
    const both = await update(one.uuid, { slug: two.slug }, stale);
    expectError(expect, both, 412, "PRECONDITION_FAILED");
    await createJob({ spec: one.uuid });
    expectError(expect, await remove(one.uuid, stale), 412, "PRECONDITION_FAILED");
  });

  test("20 changes at once that have read the same: one happens", async ({ expect }) => {
    const { uuid } = await createSpec({}, admin);
    const etag = (await view(uuid)).headers.get("etag") ?? "";
    const replies = await Promise.all(
      Array.from({ length: 20 }, (_, n) => update(uuid, { name: `n${n}` }, { "if-match": etag })),
    );
    expect(replies.map(({ status }) => status).sort()).toEqual([200, ...Array(19).fill(412)]);
  });
});

describe("DELETE /v0/specs/{spec}", () => {
  test("204 without a body, then 404; the slug is free again", async ({ expect }) => {
    const spec = await createSpec({ slug: "short-lived" }, admin);
    const reply = await remove(spec.slug);
    expect([reply.status, reply.text]).toEqual([204, ""]);
    expectError(expect, await remove(spec.slug), 404, "RESOURCE_NOT_FOUND");
    expectError(expect, await view(spec.uuid), 404, "RESOURCE_NOT_FOUND");
    expect((await createSpec({ slug: "short-lived" }, admin)).slug).toBe("short-lived");
  });

  test("while a job was made for it, also one that is deleted: 409, and it stays", async ({
    expect,
  }) => {
    const spec = await createSpec({}, admin);
    const job = await createJob({ spec: spec.slug });
    const inUse = async () => {
      const message =
        "The spec is in use: a job was created for it, or a runner offers it. Archive it instead";
      expectError(expect, await remove(spec.uuid), 409, "RESOURCE_IN_USE", message);
    };
    await inUse();
    await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
    await inUse();
    await setJob(job, { deletedAt: 1 });
    await inUse();
    expect((await view(spec.uuid)).body).toEqual(spec);
    expect((await update(spec.uuid, { archived: true })).status).toBe(200);
  });

  test("racing the creation of jobs: never both succeed", async ({ expect }) => {
    for (let round = 0; round < 20; round++) {
      const spec = await createSpec({}, admin);
      const body = { benchmarks: [], spec: spec.uuid };
      const both = [
        () => call("POST", "/jobs", { token, body }),
        () => remove(spec.uuid),
        () => call("POST", "/jobs", { token, body }),
      ];
      if (round % 2 === 0) both.reverse();
      const replies = await Promise.all(both.map((send) => send()));
      const deleted = replies.filter(({ status }) => status === 204).length;
      const created = replies.filter(({ status }) => status === 201).length;
      expect([deleted, created]).toEqual(deleted === 1 ? [1, 0] : [0, 2]);
      expect((await view(spec.uuid)).status).toBe(deleted === 1 ? 404 : 200);
    }
  });
});

const job = await createJob();
const spec = await createSpec({}, admin);

describe("who may", () => {
  const body = { name: "Not mine", ...HARDWARE };
  const routes = [
    ["GET", "/specs", undefined],
    ["POST", "/specs", body],
    ["GET", `/specs/${spec.uuid}`, undefined],
    ["PATCH", `/specs/${spec.uuid}`, { name: "Not mine" }],
    ["DELETE", `/specs/${spec.uuid}`, undefined],
  ] as const;

  test.for(routes)("%s %s: only root administrators", async ([method, path, body], { expect }) => {
    const send = (token?: string, sent: unknown = body) =>
      call(method, V0 + path, token === undefined ? { body: sent } : { token, body: sent });
    for (const role of ["user", "customer_admin", "staff"] as const) {
      const person = await createPerson({ role });
      const message = "Only root administrators can do this";
      expectError(expect, await send(person.token), 403, "PERMISSION_DENIED", message);
      if (body !== undefined) {
        expectError(expect, await send(person.token, "no json"), 403, "PERMISSION_DENIED");
      }
    }
    for (const other of [undefined, "nonsense", job.token, "assay_runner_a1b2c3"]) {
      const refused = await send(other);
      expectError(expect, refused, 401, "CLIENT_TOKEN_INVALID");
      expect(refused.headers.get("www-authenticate")).toBe("Bearer");
    }
    expect((await view(spec.uuid)).body).toEqual(spec);
  });

  test("being refused says nothing of what there is", async ({ expect }) => {
    const person = await createPerson();
    const messages = await Promise.all(
      [spec.uuid, UNKNOWN, "A--b"].map(async (which) => {
        const reply = await call("GET", `${V0}/specs/${which}`, { token: person.token });
        return `${reply.status} ${reply.body.message}`;
      }),
    );
    expect(new Set(messages).size).toBe(1);
  });
});
