/** `GET /comparison`: which figures are in which group, for whom. */
import { describe, test } from "vitest";
import { compareRoute } from "../../../src/comparison/contract.ts";
import {
  call,
  expectContract,
  expectError,
  type Json,
  join,
  machineUuid,
  putResult,
  resultBody,
  V0,
} from "../harness/client.ts";
import {
  createCustomer,
  createJob,
  createPerson,
  createSpec,
  type Measured,
  measureJob,
  type Person,
} from "../harness/factories.ts";
import { rated } from "../harness/instruments.ts";
import { removeJob, setJob } from "../harness/rows.ts";

const compare = ({ token }: Person, by: string, keys: readonly string[], more = "") => {
  const named = keys.map((key) => `&key=${encodeURIComponent(key)}`).join("");
  return call("GET", `/comparison?group_by=${by}${named}${more}`, { token });
};

async function groups(...args: Parameters<typeof compare>): Promise<Json[]> {
  const reply = await compare(...args);
  if (reply.status !== 200) throw new Error(reply.text);
  return reply.body.groups as Json[];
}

const A100 = "NVIDIA A100-SXM4-80GB";
const OWN = { bf16_tflops: "gemm.ptx.4096.nt.normal/1", memory_bandwidth_gbs: "copy.ptx.4gib/1" };

/** A machine with these figures per GPU. */
function machine(bf16: number, changes: Partial<Measured> & { sent?: object } = {}): Measured {
  const { sent = {}, ...rest } = changes;
  const count = rest.gpu_count ?? 2;
  const aggregate_results = { bf16_tflops: bf16 * count, memory_bandwidth_gbs: 1_700 * count };
  return {
    gpu_model: A100,
    gpu_count: 2,
    machine_uuid: machineUuid(),
    results: { aggregate_results, ...sent },
    ...rest,
  };
}

const by = (methods: object, more: object = {}) => ({
  measurement: { version: 1, methods, ...more },
});

const EMPTY = { n: 0, machines: 0, min: null, q1: null, median: null, q3: null, max: null };

describe("groups", () => {
  test("per GPU figures of two jobs: number, machines, quartiles and class", async ({ expect }) => {
    const owner = await createPerson();
    const figures = [240, 250, 260, 270];
    const one = await measureJob(
      figures.map((bf16) => machine(bf16)),
      owner,
      { name: "four nodes" },
    );
    const other = await measureJob([machine(200)], owner, { name: "one node" });
    const reply = await compare(owner, "job", [one.id, other.id]);
    expectContract(expect, reply, compareRoute, 200);
    expect(reply.body).toEqual({
      group_by: "job",
      metric: "bf16_tflops",
      groups: [
        {
          key: one.id,
          label: "four nodes",
          n: 4,
          machines: 4,
          min: 240,
          q1: 247.5,
          median: 255,
          q3: 262.5,
          max: 270,
          class: "quickmark",
        },
        {
          key: other.id,
          label: "one node",
          n: 1,
          machines: 1,
          ...{ min: 200, q1: 200, median: 200, q3: 200, max: 200 },
          class: "quickmark",
        },
      ],
    });
    const memory = await groups(owner, "job", [one.id, other.id], "&metric=memory_bandwidth_gbs");
    expect(memory).toMatchObject([{ median: 1_700 }, { median: 1_700 }]);
  });

  test("each grouping finds its figures: machine, model, provider, region, spec", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const spec = await createSpec();
    const [uuid, other] = [machineUuid(), machineUuid()];
    const place = { provider: "Straße", region: "eu-1" };
    await measureJob([machine(240, { machine_uuid: uuid })], owner, {
      ...place,
      expected_spec: spec.slug,
    });
    await measureJob([machine(260, { machine_uuid: uuid })], owner, {
      provider: "B",
      region: "eu-2",
    });
    const l4 = { gpu_model: "NVIDIA L4", machine_uuid: other };
    await measureJob([machine(60, l4)], owner, { ...place, provider: "STRASSE" });
    const said = async (...args: [string, string[], string?]) =>
      (await groups(owner, ...args)).map(({ key, n, machines, median }) => [
        key,
        n,
        machines,
        median,
      ]);
    expect(await said("machine", [uuid.toUpperCase(), other])).toEqual([
      [uuid.toUpperCase(), 2, 1, 250],
      [other, 1, 1, 60],
    ]);
    expect(await said("model", ["a100 sxm4 80gb", "Tesla L4"])).toEqual([
      ["a100 sxm4 80gb", 2, 1, 250],
      ["Tesla L4", 1, 1, 60],
    ]);
    expect(await said("provider", ["strasse", "b"])).toEqual([
      ["strasse", 2, 2, 150],
      ["b", 1, 1, 260],
    ]);
    expect(
      await said("provider", ["strasse", "b"], `&gpu_model=${encodeURIComponent(A100)}`),
    ).toEqual([
      ["strasse", 1, 1, 240],
      ["b", 1, 1, 260],
    ]);
    expect(await said("region", ["EU-1", "eu-3"])).toEqual([
      ["EU-1", 2, 2, 150],
      ["eu-3", 0, 0, null],
    ]);
    const ofSpec = await groups(owner, "spec", [spec.slug, "nobodys"]);
    expect(ofSpec).toEqual([
      expect.objectContaining({ key: spec.slug, label: spec.name, n: 1, median: 240 }),
      { key: "nobodys", label: "nobodys", ...EMPTY, class: null },
    ]);
    expect(await groups(owner, "spec", [spec.uuid, "nobodys"])).toMatchObject([{ n: 1 }, { n: 0 }]);
    expect(await groups(owner, "spec", [spec.uuid, "x"], "&gpu_model=l4")).toMatchObject([
      { n: 0 },
      {},
    ]);
    const names = (await groups(owner, "model", ["a100 sxm4 80gb", "Tesla L4"])).map(
      ({ label }) => label,
    );
    expect(names).toEqual([A100, "NVIDIA L4"]);
  });

  test("two classes of methods are two groups; unknown methods are none", async ({ expect }) => {
    const owner = await createPerson();
    const unknown = { bf16_tflops: "somebody's/1", memory_bandwidth_gbs: "copy.ptx.4gib/1" };
    const job = await measureJob(
      [
        machine(240),
        machine(250, { sent: by(OWN) }),
        machine(254, { sent: by(OWN) }),
        machine(230, { sent: by(unknown) }),
      ],
      owner,
    );
    const found = await groups(owner, "job", [job.id, "512"]);
    expect(found.map(({ key, class: name, n, median }) => [key, name, n, median])).toEqual([
      [job.id, "mma-gemm", 2, 252],
      [job.id, "quickmark", 1, 240],
      ["512", null, 0, null],
    ]);
    const memory = await groups(owner, "job", [job.id, "512"], "&metric=memory_bandwidth_gbs");
    expect(memory.map(({ class: name, n }) => [name, n])).toEqual([
      ["copy", 3],
      ["quickmark", 1],
      [null, 0],
    ]);
  });

  test("recordings, busy GPUs, failed checks and figures that cannot be true are out", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const job = await measureJob(
      [
        machine(250),
        machine(260, { sent: { replayed: true } }),
        machine(270, { sent: by(OWN, { conditions: { busy: true } }) }),
        machine(9_999),
        machine(0),
        machine(255, { gpu_count: null }),
        machine(256, { sent: by(OWN, { checks: { gemm_repeatable: false } }) }),
      ],
      owner,
    );
    expect(await groups(owner, "job", [job.id, "512"])).toMatchObject([
      { n: 1, machines: 1, median: 250, class: "quickmark" },
      EMPTY,
    ]);
  });

  test("measurements that ended early are out", async ({ expect }) => {
    const owner = await createPerson();
    const job = await createJob({ node_count: 2 }, owner);
    const partial = { ...(machine(250).results as object), ...by(OWN, { partial: true }) };
    for (const results of [partial, machine(260).results]) {
      const { id } = (await join(job, { gpu_model: A100, gpu_count: 2 })).body;
      const sent = {
        ...resultBody(results),
        ...(results === partial && { state: "failed", error_message: "ECC error" }),
      };
      expect((await putResult(job, id, 0, sent)).status).toBe(200);
    }
    await rated(job);
    expect(await groups(owner, "job", [job.id, "512"])).toMatchObject([
      { n: 1, median: 260 },
      EMPTY,
    ]);
  });

  test("GPUs of several models count for their own", async ({ expect }) => {
    const owner = await createPerson();
    const gpu_models = [
      { model: A100, count: 1 },
      { model: "NVIDIA L4", count: 1 },
    ];
    const test_results = [
      { gpu_id: "GPU-0", gpu_model: A100, bf16_tflops: 250, memory_bandwidth_gbs: 1_700 },
      { gpu_id: "GPU-1", gpu_model: "NVIDIA L4", bf16_tflops: 60, memory_bandwidth_gbs: 250 },
    ];
    const aggregate_results = { bf16_tflops: 310, memory_bandwidth_gbs: 1_950 };
    const results = { aggregate_results, test_results };
    await measureJob([machine(0, { gpu_model: null, gpu_models, gpu_count: 2, results })], owner);
    expect(await groups(owner, "model", [A100, "l4"])).toMatchObject([
      { n: 1, median: 250 },
      { n: 1, median: 60 },
    ]);
  });
});

describe("who sees what", () => {
  test("own jobs, those of the customer, or all", async ({ expect }) => {
    const customerId = await createCustomer();
    const owner = await createPerson({ customerId });
    const colleague = await createPerson({ customerId });
    const admin = await createPerson({ customerId, role: "customer_admin" });
    const other = await createPerson();
    const staff = await createPerson({ role: "staff" });
    const uuid = machineUuid();
    const provider = "Shared Cloud";
    const jobs = [
      await measureJob([machine(240, { machine_uuid: uuid })], owner, { provider, name: "mine" }),
      await measureJob([machine(250, { machine_uuid: uuid })], colleague, { provider }),
      await measureJob([machine(260, { machine_uuid: uuid })], other, { provider }),
    ];
    const seen: [Person, boolean[]][] = [
      [owner, [true, false, false]],
      [colleague, [false, true, false]],
      [admin, [true, true, false]],
      [other, [false, false, true]],
      [staff, [true, true, true]],
    ];
    for (const [person, sees] of seen) {
      const n = sees.filter(Boolean).length;
      expect(await groups(person, "provider", [provider, "none"])).toMatchObject([{ n }, { n: 0 }]);
      expect(await groups(person, "machine", [uuid, machineUuid()])).toMatchObject([
        { n },
        { n: 0 },
      ]);
      const ids = jobs.map(({ id }) => id);
      const found = await groups(person, "job", ids);
      expect(found.map((group) => group.n === 1)).toEqual(sees);
      // The name of a job that is not seen stays hidden.
      expect(found[0]?.label).toBe(sees[0] ? "mine" : ids[0]);
    }
  });

  test("a spec is one key, by its slug or its UUID; an unseen one says nothing", async ({
    expect,
  }) => {
    const admin = await createPerson({ role: "root_admin" });
    const spec = await createSpec({}, admin);
    const owner = await createPerson();
    const twice = await compare(owner, "spec", ["other", spec.slug, spec.uuid]);
    const message = `key must name each spec once: ${spec.slug} and ${spec.uuid} are the same`;
    expectError(expect, twice, 400, "PARAMETER_INCORRECT_VALUE", message);
    const path = `${V0}/specs/${spec.uuid}`;
    await call("PATCH", path, { token: admin.token, body: { archived: true } });
    const labels = (await groups(owner, "spec", [spec.slug, spec.uuid])).map(({ label }) => label);
    expect(labels).toEqual([spec.slug, spec.uuid]);
  });

  test("an archived spec is named only to people whose jobs expected it", async ({ expect }) => {
    const admin = await createPerson({ role: "root_admin" });
    const spec = await createSpec({ name: "Secret node" }, admin);
    const [user, stranger] = [await createPerson(), await createPerson()];
    await measureJob([machine(240)], user, { expected_spec: spec.slug });
    const named = async (person: Person) =>
      (await groups(person, "spec", [spec.slug, "nothing"])).map(({ label, n }) => [label, n]);
    expect(await named(stranger)).toEqual([
      ["Secret node", 0],
      ["nothing", 0],
    ]);
    const path = `${V0}/specs/${spec.uuid}`;
    const archived = await call("PATCH", path, { token: admin.token, body: { archived: true } });
    expect(archived.status, archived.text).toBe(200);
    expect(await named(stranger)).toEqual([
      [spec.slug, 0],
      ["nothing", 0],
    ]);
    expect(await named(user)).toEqual([
      ["Secret node", 1],
      ["nothing", 0],
    ]);
  });

  test("a deleted job counts no more, and neither does a removed one", async ({ expect }) => {
    const owner = await createPerson();
    const provider = "Gone Cloud";
    const one = await measureJob([machine(240)], owner, { provider });
    const two = await measureJob([machine(250)], owner, { provider });
    const count = async () => (await groups(owner, "provider", [provider, "none"]))[0]?.n;
    expect(await count()).toBe(2);
    await setJob(one, { deletedAt: 1 });
    expect(await count()).toBe(1);
    expect(await groups(owner, "job", [one.id, two.id])).toMatchObject([{ n: 0 }, { n: 1 }]);
    await removeJob(one);
    await removeJob(two);
    expect(await count()).toBe(0);
  });
});

describe("parameters", () => {
  test("each bad value is named", async ({ expect }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    const many = Array.from({ length: 21 }, (_, n) => `m${n}`);
    const bad: [string, string[], string, string][] = [
      ["gpu", ["a", "b"], "group_by", ""],
      ["job", ["1", "x"], "key", ""],
      ["job", ["1", "99999999999999999"], "key", ""],
      ["job", ["512", "0512"], "key", ""],
      ["machine", [uuid, "x"], "key", ""],
      ["machine", [uuid, uuid.toUpperCase()], "key", ""],
      ["model", ["h100", "—"], "key", ""],
      ["model", ["h100", "Tesla H100"], "key", ""],
      ["provider", ["one"], "key", ""],
      ["provider", [], "key", ""],
      ["provider", many, "key", ""],
      ["provider", ["a", " A "], "key", ""],
      ["provider", ["a", ""], "key.1", ""],
      ["provider", ["a", "x".repeat(129)], "key.1", ""],
      ["provider", ["a", "b"], "metric", "&metric=power_consumption_watts"],
      ["provider", ["a", "b"], "gpu_model", "&gpu_model=%E2%80%94"],
      ["provider", ["a", "b"], "gpu_modle", "&gpu_modle=l4"],
    ];
    for (const [grouping, keys, field, more] of bad) {
      const reply = await compare(owner, grouping, keys, more);
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
      const { details } = reply.body.error as { details: object[] };
      expect(details, `${grouping} ${keys}`).toMatchObject([{ field }]);
    }
    const most = await compare(owner, "provider", many.slice(1));
    expect((most.body.groups as object[]).length).toBe(20);
  });

  test("20 keys of each grouping", async ({ expect }) => {
    const owner = await createPerson();
    for (const by of ["job", "machine", "model", "provider", "region", "spec"]) {
      const keys = Array.from({ length: 20 }, (_, at) =>
        by === "machine" ? machineUuid() : by === "job" ? String(512 * (at + 1)) : `key-${at}`,
      );
      const models = by === "model" ? [] : [`&gpu_model=${encodeURIComponent(A100)}`];
      for (const more of ["", ...models]) {
        expect(await groups(owner, by, keys, more), by).toMatchObject(keys.map(() => EMPTY));
      }
    }
  });

  test("keys are no syntax of the search", async ({ expect }) => {
    const owner = await createPerson();
    await measureJob([machine(240)], owner, { provider: 'a" OR "b' });
    const keys = ['a" OR "b', "a", "b", "*", "NOT x", "a AND b", "'", "%"];
    const found = await groups(owner, "provider", keys);
    expect(found.map(({ n }) => n)).toEqual([1, 0, 0, 0, 0, 0, 0, 0]);
  });

  test("ETag: 304 until a figure is added", async ({ expect }) => {
    const owner = await createPerson();
    const path = "/comparison?group_by=provider&key=one&key=two";
    const first = await call("GET", path, owner);
    const headers = { "if-none-match": first.headers.get("etag") ?? "" };
    expect((await call("GET", path, { ...owner, headers })).status).toBe(304);
    await measureJob([machine(240)], owner, { provider: "one" });
    expect((await call("GET", path, { ...owner, headers })).status).toBe(200);
  });
});
