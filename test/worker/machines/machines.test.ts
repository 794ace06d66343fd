/** Machines: what their jobs have shown of them, for whom, and how long. */
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { describe, test } from "vitest";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { machineCounts, machines } from "../../../src/db/schema/machines.ts";
import { tasks } from "../../../src/db/schema.ts";
import { originColumns } from "../../../src/jobs/origins.ts";
import { readConfig } from "../../../src/lib/config.ts";
import {
  getMachineHistoryRoute,
  getMachineRoute,
  listMachinesRoute,
} from "../../../src/machines/contract.ts";
import { rateSettledJob } from "../../../src/scoreboard/rating.ts";
import { call, expectContract, expectError, join, machineUuid } from "../harness/client.ts";
import {
  createCustomer,
  createJob,
  createPerson,
  createSpec,
  measureJob,
  type Person,
} from "../harness/factories.ts";
import { flushed, ownD1 } from "../harness/instruments.ts";
import {
  countOf,
  db,
  insertJobRow,
  removeJob,
  setJob,
  setTask,
  taskRow,
  taskValues,
} from "../harness/rows.ts";

const list = ({ token }: Person, query = "") => call("GET", `/machines?${query}`, { token });
const view = ({ token }: Person, uuid: string) => call("GET", `/machines/${uuid}`, { token });
const history = ({ token }: Person, uuid: string, query = "") =>
  call("GET", `/machines/${uuid}/history?${query}`, { token });

const uuidsOf = (reply: { body: { results?: { machine_uuid: string }[] } }) =>
  reply.body.results?.map(({ machine_uuid }) => machine_uuid);

let serial = 0;
const START = Date.UTC(2025, 0, 1);

type Told = Partial<Omit<typeof tasks.$inferInsert, "id" | "jobId" | "rank">> & { job?: object };

/** A joined node in D1 alone, a minute after the one before. */
async function insertTask(
  owner: { id: number; customerId: number },
  machine: string,
  { job = {}, ...told }: Told = {},
): Promise<number> {
  serial++;
  const id = serial * 512;
  const { id: userId, customerId } = owner;
  await insertJobRow(owner, { id, ...job });
  const createdAt = START + serial * 60_000;
  const row = { id: id + 1, jobId: id, rank: 0, machineUuid: machine, createdAt };
  await db.insert(tasks).values(taskValues({ ...row, customerId, userId, ...told }));
  return id;
}

describe("a machine", () => {
  test("is what its jobs have shown: name, GPUs, place, verdict, check of its spec", async ({
    expect,
  }) => {
    const spec = await createSpec();
    const owner = await createPerson();
    const uuid = machineUuid();
    const body = { provider: "Example Cloud", region: "eu-1", expected_spec: spec.slug };
    const job = await createJob({ ...body, benchmarks: ["quick_mark"] }, owner);
    const inventory = { host_name: "gpu-node-17", cpu: { count: 2 } };
    await join(job, { machine_uuid: uuid, gpu_model: "NVIDIA H100 NVL", gpu_count: 2, inventory });
    await flushed(job);
    const shown = await view(owner, uuid);
    expectContract(expect, shown, getMachineRoute, 200);
    expect(shown.body).toEqual({
      machine_uuid: uuid,
      host_name: "gpu-node-17",
      gpu_models: [{ model: "NVIDIA H100 NVL", count: 2 }],
      provider: "Example Cloud",
      region: "eu-1",
      jobs: 1,
      last_job_id: job.id,
      last_seen_at: expect.stringMatching(/Z$/),
      status: null,
      replayed: null,
      findings: null,
      spec_check: "unknown",
    });
    const page = await list(owner);
    expectContract(expect, page, listMachinesRoute, 200);
    expect(page.body.results).toEqual([shown.body]);
    expect(page.headers.get("x-total-count")).toBe("1");
  });

  test("has the verdict of its last rated job, while another runs, too", async ({ expect }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    const results = { aggregate_results: { bf16_tflops: 100, memory_bandwidth_gbs: 1_700 } };
    const slow = { gpu_model: "NVIDIA A100-SXM4-80GB", gpu_count: 1, machine_uuid: uuid, results };
    await measureJob([slow], owner);
    expect((await view(owner, uuid)).body).toMatchObject({ status: "underperforming", jobs: 1 });
    const next = await createJob({}, owner);
    await join(next, { machine_uuid: uuid });
    await flushed(next);
    const busy = (await view(owner, uuid)).body;
    expect(busy).toMatchObject({ status: "underperforming", jobs: 2, last_job_id: next.id });
    expect(uuidsOf(await list(owner, "status=underperforming"))).toEqual([uuid]);
    expect(uuidsOf(await list(owner, "status=expected"))).toEqual([]);
  });

  test("says of its verdict if it is on a recording", async ({ expect }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    const machine = { gpu_model: "NVIDIA A100-SXM4-80GB", gpu_count: 1, machine_uuid: uuid };
    const slow = { aggregate_results: { bf16_tflops: 100, memory_bandwidth_gbs: 1_700 } };
    const measure = (sent: object) =>
      measureJob([{ ...machine, results: { ...slow, ...sent } }], owner);
    const shows = async (verdict: object) => {
      const { body } = await view(owner, uuid);
      expect(body).toMatchObject(verdict);
      expect((await list(owner)).body.results).toEqual([body]);
    };
    await measure({});
    await shows({ status: "underperforming", replayed: false });
    const recording = await measure({ replayed: true });
    await shows({ status: "unrated", replayed: true });
    const rating = { ...readConfig(env).rating, rateReplays: true };
    const database = openDatabase(ownD1(), createMeter());
    await rateSettledJob(database, Number(recording.id), Date.now(), rating);
    await shows({ status: "underperforming", replayed: true });
    // The same verdict with another mark: by the machine's next job, and by a change of the verdict alone.
    const measured = await measure({});
    await shows({ status: "underperforming", replayed: false });
    const { verdict } = await taskRow(Number(measured.id) + 1);
    if (verdict === null) throw new Error("not rated");
    await setTask(Number(measured.id) + 1, { verdict: { ...verdict, isReplayed: true } });
    await shows({ status: "underperforming", replayed: true });
    await setJob(measured, { deletedAt: 1 });
    await setJob(recording, { deletedAt: 1 });
    await shows({ status: "underperforming", replayed: false });
  });

  test("an inventory's host name is text for people; anything else is none", async ({ expect }) => {
    const owner = await createPerson();
    const names: [unknown, string | null][] = [
      ["  node\u0000 1 ", "node 1"],
      ["x".repeat(300), "x".repeat(255)],
      ["e\u0301", "\u00e9"],
      ["", null],
      [7, null],
      [{ a: 1 }, null],
    ];
    for (const [host_name, shown] of names) {
      const job = await createJob({}, owner);
      const uuid = machineUuid();
      const joined = await join(job, { machine_uuid: uuid, inventory: { host_name } });
      expect(joined.status, joined.text).toBe(201);
      await flushed(job);
      expect((await view(owner, uuid)).body.host_name).toBe(shown);
    }
  });

  test("what its newest job does not say is as the newest of the last 10 said", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    const place = { provider: "A", region: "B", foldedOrigins: { p: "a", r: "b" } };
    const told = {
      hostName: "rack-1",
      gpuModel: "NVIDIA H100 NVL",
      gpuCount: 4,
      models: ["h100-nvl"],
      performanceStatus: "expected" as const,
    };
    await insertTask(owner, uuid, { ...told, job: place });
    for (let n = 0; n < 9; n++) await insertTask(owner, uuid);
    const known = { host_name: "rack-1", provider: "A", region: "B", status: "expected" };
    expect((await view(owner, uuid)).body).toMatchObject({ ...known, findings: 0, jobs: 10 });
    expect(uuidsOf(await list(owner, "gpu_model=Tesla+H100+NVL+94GB"))).toEqual([uuid]);
    await insertTask(owner, uuid);
    expect((await view(owner, uuid)).body).toMatchObject({
      host_name: null,
      gpu_models: [],
      provider: null,
      region: null,
      status: null,
      findings: null,
      jobs: 11,
    });
    expect(uuidsOf(await list(owner, "gpu_model=h100-nvl"))).toEqual([]);
  });

  test("ETag: 304 until it changes", async ({ expect }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    await insertTask(owner, uuid);
    const others = [
      uuid.toUpperCase(),
      uuid.replaceAll("-", ""),
      `%7B${uuid}%7D`,
      `urn:uuid:${uuid}`,
    ];
    const paths = others.flatMap((spelt) => [`/machines/${spelt}`, `/machines/${spelt}/history`]);
    for (const path of [`/machines/${uuid}`, ...paths]) {
      const first = await call("GET", path, owner);
      const headers = { "if-none-match": first.headers.get("etag") ?? "" };
      const again = await call("GET", path, { ...owner, headers });
      expect(again.status).toBe(304);
    }
    const { headers } = await view(owner, uuid);
    await insertTask(owner, uuid);
    const known = { "if-none-match": headers.get("etag") ?? "" };
    const changed = await call("GET", `/machines/${uuid}`, { ...owner, headers: known });
    expect(changed.body.jobs).toBe(2);
  });
});

describe("who sees it", () => {
  test("a UUID that two customers report shows each of them only its own", async ({ expect }) => {
    const customerId = await createCustomer();
    const one = await createPerson({ customerId });
    const colleague = await createPerson({ customerId });
    const admin = await createPerson({ customerId, role: "customer_admin" });
    const other = await createPerson();
    const staff = await createPerson({ role: "staff" });
    const uuid = machineUuid();
    const jobs = {
      one: await insertTask(one, uuid, { hostName: "of-one", performanceStatus: "expected" }),
      colleague: await insertTask(colleague, uuid, { hostName: "of-colleague" }),
      other: await insertTask(other, uuid, { hostName: "of-other", findingCount: 2 }),
    };
    const seen: [Person, number, string | null, number][] = [
      [one, 1, "of-one", jobs.one],
      [colleague, 1, "of-colleague", jobs.colleague],
      [admin, 2, "of-colleague", jobs.colleague],
      [other, 1, "of-other", jobs.other],
      [staff, 3, "of-other", jobs.other],
    ];
    for (const [person, count, host_name, job] of seen) {
      const { body } = await view(person, uuid);
      expect(body).toMatchObject({ jobs: count, host_name, last_job_id: String(job) });
      expect((await list(person, `name=${host_name}`)).body.results).toEqual([body]);
      const past = await history(person, uuid);
      expectContract(expect, past, getMachineHistoryRoute, 200);
    }
    // A verdict that a colleague's job has is known to the admin, but not to another customer or the colleague.
    expect((await view(admin, uuid)).body.status).toBe("expected");
    expect((await view(colleague, uuid)).body.status).toBeNull();
    expect((await view(other, uuid)).body.status).toBeNull();
    const stranger = await createPerson();
    for (const reply of [await view(stranger, uuid), await history(stranger, uuid)]) {
      expectError(expect, reply, 404, "RESOURCE_NOT_FOUND", `Machine with id ${uuid} not found`);
    }
    expect((await list(stranger)).body.results).toEqual([]);
  });

  test("machines of jobs without an account are staff's alone", async ({ expect }) => {
    const uuid = machineUuid();
    await insertTask({ id: 0, customerId: 0 }, uuid, { hostName: "stranger" });
    const staff = await createPerson({ role: "staff" });
    expect((await view(staff, uuid)).body.host_name).toBe("stranger");
    for (const role of ["user", "customer_admin"] as const) {
      expect((await view(await createPerson({ role }), uuid)).status).toBe(404);
    }
  });

  test("a person who moves leaves the machines of their jobs behind", async ({ expect }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    await insertTask(owner, uuid);
    const root = await createPerson({ role: "root_admin" });
    const customer = await call("POST", "https://assay.test/v0/customers", {
      token: root.token,
      body: { name: "New home" },
    });
    const moved = await call("PATCH", `https://assay.test/v0/users/${owner.uuid}`, {
      token: root.token,
      body: { customer: customer.body.uuid },
    });
    expect(moved.status, moved.text).toBe(200);
    expect((await view(owner, uuid)).status).toBe(404);
    const admin = await createPerson({ customerId: owner.customerId, role: "customer_admin" });
    expect((await view(admin, uuid)).body.jobs).toBe(1);
  });
});

describe("deletion", () => {
  test("a deleted job is forgotten, a restored one is back", async ({ expect }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    const first = await insertTask(owner, uuid, { hostName: "old", performanceStatus: "expected" });
    const last = await insertTask(owner, uuid, {
      hostName: "new",
      performanceStatus: "underperforming",
      findingCount: 3,
    });
    const newest = (await view(owner, uuid)).body;
    expect(newest).toMatchObject({ jobs: 2, host_name: "new", findings: 3 });
    await setJob({ id: last }, { deletedAt: 1 });
    expect((await view(owner, uuid)).body).toMatchObject({
      jobs: 1,
      host_name: "old",
      last_job_id: String(first),
      status: "expected",
      findings: 0,
    });
    expect(uuidsOf(await list(owner, "has_findings=true"))).toEqual([]);
    await setJob({ id: last }, { deletedAt: null });
    expect((await view(owner, uuid)).body).toEqual(newest);
    await setJob({ id: last }, { deletedAt: 1 });
    await removeJob({ id: String(last) });
    await removeJob({ id: String(first) });
    expect((await view(owner, uuid)).status).toBe(404);
    expect((await list(owner)).body.pagination.total).toBe(0);
  });

  test("nothing stays of a machine without jobs: no row, counter or term", async ({ expect }) => {
    const staff = await createPerson({ role: "staff" });
    const before = [await countOf(machines), await countOf(machineCounts)];
    const total = (await list(staff)).body.pagination.total;
    const owner = await createPerson();
    const told = { hostName: "short-lived", models: ["h100-nvl"], gpuModel: "H100 NVL" };
    const job = await insertTask(owner, machineUuid(), told);
    expect((await list(staff, "name=short-lived")).body.results).toHaveLength(1);
    await removeJob({ id: String(job) });
    expect([await countOf(machines), await countOf(machineCounts)]).toEqual(before);
    const after = await list(staff, "name=short-lived");
    expect(after.body).toMatchObject({ results: [], pagination: { total: 0 } });
    expect((await list(staff)).body.pagination.total).toBe(total);
  });

  test("a node that joins a job after its deletion is not seen", async ({ expect }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    await insertTask(owner, uuid, { deletedAt: 1 });
    expect((await view(owner, uuid)).status).toBe(404);
  });
});

describe("filters", () => {
  test("each finds exactly its machines; they combine", async ({ expect }) => {
    const owner = await createPerson();
    const place = (provider: string, region: string) => ({
      job: originColumns({ provider, region }),
    });
    const all = [machineUuid(), machineUuid(), machineUuid()];
    const [one = "", two = "", three = ""] = all;
    await insertTask(owner, one, {
      ...place("Straße", "SS"),
      hostName: "Rack-A1",
      gpuModel: "NVIDIA H100 NVL",
      models: ["h100-nvl"],
      performanceStatus: "expected",
      specCheck: { status: "matches", fields: [] },
    });
    await insertTask(owner, two, {
      ...place("B", "b"),
      hostName: "rack-a2",
      gpuModels: [
        { model: "NVIDIA H100 NVL", count: 1 },
        { model: "NVIDIA L4", count: 2 },
      ],
      models: ["h100-nvl", "l4"],
      performanceStatus: "underperforming",
      findingCount: 1,
      specCheck: { status: "differs", fields: [] },
    });
    await insertTask(owner, three, { hostName: "böse💥_%node", gpuCount: 0 });
    const found = async (query: string) => {
      const reply = await list(owner, query);
      expectContract(expect, reply, listMachinesRoute, 200);
      expect(reply.body.pagination.total, query).toBe(reply.body.results.length);
      return uuidsOf(reply);
    };
    expect(await found("")).toEqual([three, two, one]);
    const answers: [string, string[]][] = [
      ["gpu_model=h100+nvl+94gb", [two, one]],
      ["gpu_model=L4", [two]],
      ["gpu_model=nvidia", []],
      ["gpu_model=%E2%80%94", []],
      ["gpu_model=", [three, two, one]],
      ["provider=b", [two]],
      ["provider=STRASSE", [one]],
      ["provider=stra%C3%9Fe", [one]],
      ["provider=stra", []],
      ["provider=+B%C2%A0&region=+", [two]],
      ["region=%C3%9F", [one]],
      ["region=s", []],
      ["status=underperforming", [two]],
      ["status=unrated", []],
      ["spec_check=matches", [one]],
      ["spec_check=unknown", []],
      ["has_findings=true", [two]],
      ["has_findings=false", [three, two, one]],
      ["name=RACK-a", [two, one]],
      ["name=rack-a1", [one]],
      ["name=ck-a", [two, one]],
      ["name=ack", [two, one]],
      ["name=a1", [one]],
      ["name=k", [two, one]],
      ["name=%F0%9F%92%A5_%25", [three]],
      ["name=bo%CC%88se", [three]],
      ["name=se_node", []],
      ["name=kacr", []],
      ["name=rac%22+OR+%22n", []],
      ["name=rack&status=expected", [one]],
      ["gpu_model=h100-nvl&has_findings=true&spec_check=differs&provider=B&name=a2", [two]],
      ["gpu_model=l4&spec_check=matches", []],
    ];
    for (const [query, uuids] of answers) expect(await found(query), query).toEqual(uuids);
  });

  test("each bad value is named", async ({ expect }) => {
    const owner = await createPerson();
    const bad: [string, string][] = [
      ["status=fine", "status"],
      ["spec_check=ok", "spec_check"],
      ["has_findings=1", "has_findings"],
      [`name=${"x".repeat(256)}`, "name"],
      [`provider=${"x".repeat(101)}`, "provider"],
      ["provider=a&provider=b", "provider"],
      ["gpu_modell=l4", "gpu_modell"],
      ["per_page=0", "per_page"],
      ["per_page=301", "per_page"],
      ["cursor=zz", "cursor"],
    ];
    for (const [query, field] of bad) {
      const reply = await list(owner, query);
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
      expect((reply.body.error as { details: object[] }).details, query).toMatchObject([{ field }]);
    }
    expectError(expect, await view(owner, "x"), 400, "PARAMETER_INCORRECT_VALUE");
    expectError(
      expect,
      await history(owner, machineUuid(), "metric=power"),
      400,
      "PARAMETER_INCORRECT_VALUE",
    );
  });

  test("the one seen last comes first, along the cursors and back", async ({ expect }) => {
    const owner = await createPerson();
    const uuids = Array.from({ length: 7 }, machineUuid);
    for (const uuid of uuids) await insertTask(owner, uuid);
    // A machine that is seen again comes first; one whose older job is told late does not move.
    await insertTask(owner, uuids[2] ?? "");
    await insertTask(owner, uuids[4] ?? "", { createdAt: START - 60_000 });
    const order = [2, 6, 5, 4, 3, 1, 0].map((at) => uuids[at]);
    const read: (string | undefined)[] = [];
    let query = "per_page=2";
    for (;;) {
      const page = await list(owner, query);
      read.push(...(uuidsOf(page) ?? []));
      const { next_cursor } = page.body.pagination;
      if (next_cursor === null) break;
      query = `per_page=2&cursor=${next_cursor}`;
    }
    expect(read).toEqual(order);
    expect(uuidsOf(await list(owner, "per_page=2&page=2"))).toEqual(order.slice(2, 4));
    // Same time: the order is any, but fixed.
    const createdAt = START + 1e10;
    const ties = Array.from({ length: 5 }, machineUuid);
    for (const uuid of ties) await insertTask(owner, uuid, { createdAt });
    const page = uuidsOf(await list(owner, "per_page=5"));
    expect([...(page ?? [])].sort()).toEqual([...ties].sort());
  });
});

describe("history", () => {
  const run = (owner: Person, uuid: string, gpu_count: number, bf16: number, sent: object = {}) =>
    measureJob(
      [
        {
          gpu_model: "NVIDIA H100 NVL",
          gpu_count,
          machine_uuid: uuid,
          results: {
            aggregate_results: {
              bf16_tflops: bf16 * gpu_count,
              memory_bandwidth_gbs: 3_000 * gpu_count,
            },
            ...sent,
          },
        },
      ],
      owner,
    );
  const methods = {
    bf16_tflops: "gemm.ptx.4096.nt.normal/1",
    memory_bandwidth_gbs: "copy.ptx.4gib/1",
  };

  test("figures per GPU, newest first, with their classes, and changes of GPUs", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    const first = await run(owner, uuid, 8, 400);
    const second = await run(owner, uuid, 7, 410, { measurement: { version: 1, methods } });
    // Withheld: a recording, and a busy machine; and figures that cannot be true.
    await run(owner, uuid, 7, 420, { replayed: true });
    const conditions = { busy: true };
    await run(owner, uuid, 7, 420, { measurement: { version: 1, methods, conditions } });
    await run(owner, uuid, 7, 99_999, {});
    const reply = await history(owner, uuid, "metric=bf16_tflops");
    expectContract(expect, reply, getMachineHistoryRoute, 200);
    const of = { metric: "bf16_tflops", gpu_model: "NVIDIA H100 NVL" };
    const times = { at: expect.stringMatching(/Z$/), ratio: null };
    expect(reply.body.points).toEqual([
      {
        ...of,
        ...times,
        job_id: second.id,
        task_id: String(Number(second.id) + 1),
        class: "mma-gemm",
        method: methods.bf16_tflops,
        value: 410,
        gpu_count: 7,
      },
      {
        ...of,
        ...times,
        job_id: first.id,
        task_id: String(Number(first.id) + 1),
        class: "quickmark",
        method: null,
        value: 400,
        ratio: expect.closeTo(400 / 452.2, 0.2),
        gpu_count: 8,
      },
    ]);
    const gpus = (count: number) => [{ model: "NVIDIA H100 NVL", count }];
    expect(reply.body.events).toEqual([
      {
        job_id: second.id,
        task_id: String(Number(second.id) + 1),
        at: expect.stringMatching(/Z$/),
        before: gpus(8),
        after: gpus(7),
        message: "8 × NVIDIA H100 NVL before, 7 × NVIDIA H100 NVL now",
      },
    ]);
    // A task that waits for others may end after the machine's next one.
    const late = { endedAt: Date.now() + 60_000 };
    await db
      .update(tasks)
      .set(late)
      .where(eq(tasks.jobId, Number(first.id)));
    const { points } = (await history(owner, uuid, "metric=bf16_tflops")).body;
    expect(points.map(({ job_id }: { job_id: string }) => job_id)).toEqual([first.id, second.id]);
    const both = await history(owner, uuid);
    // The job whose product cannot be true has a bandwidth that can.
    expect(both.body.points).toHaveLength(5);
  });

  test("the last 100 jobs, 100 figures at most", async ({ expect }) => {
    const owner = await createPerson();
    const uuid = machineUuid();
    for (let n = 0; n < 102; n++) {
      await insertTask(owner, uuid, { gpuModel: "NVIDIA H100 NVL", gpuCount: 1 + (n % 2) });
    }
    const { body } = await history(owner, uuid);
    expect(body.points).toEqual([]);
    expect(body.events).toHaveLength(100);
  });
});
