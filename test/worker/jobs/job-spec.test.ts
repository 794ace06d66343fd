/** `spec` of a job: which may be named, and a reference that is kept for ever. */
import { describe, test } from "vitest";
import { idempotencyKeys, jobs } from "../../../src/db/schema.ts";
import { createJobRoute, getJobRoute } from "../../../src/jobs/contract.ts";
import { call, claim, detail, expectContract, expectError, join, V0 } from "../harness/client.ts";
import { createJob, createPerson, createRunner, createSpec } from "../harness/factories.ts";
import { countOf } from "../harness/rows.ts";

const admin = await createPerson({ role: "root_admin" });
const person = await createPerson();

function create(spec: unknown, headers: Record<string, string> = {}, more: object = {}) {
  const body = { benchmarks: [], spec, ...more };
  return call("POST", "/jobs", { token: person.token, body, headers });
}

function archive(uuid: string) {
  return call("PATCH", `${V0}/specs/${uuid}`, { token: admin.token, body: { archived: true } });
}

async function specOf(jobId: string) {
  const reply = await call("GET", `/jobs/${jobId}`, { token: person.token });
  return reply.body.spec;
}

test("a spec by slug or by UUID in any spelling; the detail shows its UUID", async ({ expect }) => {
  const { uuid, slug } = await createSpec({}, admin);
  for (const spelling of [slug, uuid, uuid.toUpperCase(), `urn:uuid:${uuid}`]) {
    const reply = await create(spelling);
    expectContract(expect, reply, createJobRoute, 201);
    expect(await specOf(reply.body.id)).toBe(uuid);
  }
});

test("none is null, and so is null", async ({ expect }) => {
  for (const spec of [undefined, null]) {
    expect(await specOf((await create(spec)).body.id)).toBeNull();
  }
});

test("unknown, archived: 404, and nothing is left of the request", async ({ expect }) => {
  const { uuid, slug } = await createSpec({}, admin);
  await archive(uuid);
  const count = async () => [await countOf(jobs), await countOf(idempotencyKeys)];
  const before = await count();
  for (const spec of [uuid, slug, "no-such-spec", crypto.randomUUID()]) {
    const message = `Spec with id ${spec} not found`;
    const key = { "idempotency-key": "kept-free" };
    expectError(expect, await create(spec), 404, "RESOURCE_NOT_FOUND", message);
    expectError(expect, await create(spec, key), 404, "RESOURCE_NOT_FOUND", message);
  }
  expect(await count()).toEqual(before);
  expect((await create(null, { "idempotency-key": "kept-free" })).status).toBe(201);
});

test.for(["", "A", "a--b", "x".repeat(65), 7, {}, true])(
  "neither a UUID nor a slug (%j): 400",
  async (spec, { expect }) => {
    const reply = await create(spec);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.error.details[0].field).toBe("spec");
  },
);

describe("for ever", () => {
  test("it does not follow the spec's slug, name or archive", async ({ expect }) => {
    const { uuid, slug } = await createSpec({}, admin);
    const { id } = (await create(slug)).body;
    const body = { slug: `${slug}-2`, name: "Other", archived: true };
    await call("PATCH", `${V0}/specs/${uuid}`, { token: admin.token, body });
    expect(await specOf(id)).toBe(uuid);
  });

  test("its token joins nothing: only runners of its spec, by claims", async ({ expect }) => {
    const spec = await createSpec({}, admin);
    const job = await createJob({ spec: spec.uuid }, person);
    const why =
      "Only runners of its spec can join this job, by claiming it; use a token only for jobs without a spec";
    expectError(expect, await join(job), 403, "PERMISSION_DENIED", why);
    expect((await detail(job)).body).toMatchObject({ state: "created", current_nodes: 0 });
    const runner = await createRunner([spec], admin);
    expect((await claim(runner)).body.job_id).toBe(job.id);
    const asRunner = await join(job, { machine_uuid: runner.uuid });
    expectError(expect, asRunner, 403, "PERMISSION_DENIED", why);
    await call("POST", `/jobs/${job.id}/abort`, { token: person.token });
    expectError(expect, await join(job), 403, "PERMISSION_DENIED", why);
  });

  test("a job that nodes have joined keeps it", async ({ expect }) => {
    const spec = await createSpec({}, admin);
    const { uuid } = spec;
    const job = await createJob({ spec: uuid }, person);
    await claim(await createRunner([spec], admin));
    const reply = await detail(job);
    expectContract(expect, reply, getJobRoute, 200);
    expect(reply.body).toMatchObject({ spec: uuid, state: "running" });
  });

  test("a repeat with the same key replays, though the spec is archived since", async ({
    expect,
  }) => {
    const { uuid, slug } = await createSpec({}, admin);
    const key = { "idempotency-key": "spec-job" };
    const first = await create(slug, key);
    await archive(uuid);
    const again = await create(slug, key);
    expect([again.status, again.text]).toEqual([201, first.text]);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expectError(expect, await create(uuid, key), 422, "IDEMPOTENCY_KEY_REUSED");
  });
});
