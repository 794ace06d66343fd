/** `expected_spec` of a job, and what becomes of it: the checks of its machines, everywhere they show. */
import { describe, test } from "vitest";
import { idempotencyKeys, jobs } from "../../../src/db/schema.ts";
import { getJobRoute, listJobsRoute } from "../../../src/jobs/contract.ts";
import { getTaskResultsRoute, listTasksRoute } from "../../../src/jobs/tasks/contract.ts";
import { getRunnerRoute } from "../../../src/runners/contract.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import {
  call,
  claim,
  claimedBy,
  detail,
  expectContract,
  expectError,
  join,
  joinSecret,
  machineUuid,
  putResult,
  resultBody,
  V0,
} from "../harness/client.ts";
import {
  createJob,
  createPerson,
  createRunner,
  createSpec,
  HARDWARE,
  type Person,
} from "../harness/factories.ts";
import { costOf, flushed, onBatchesOf, rated, reported } from "../harness/instruments.ts";
import { countOf } from "../harness/rows.ts";
import { eventually } from "../harness/time.ts";
import { open } from "../reports/report-files.ts";

const admin = await createPerson({ role: "root_admin" });

/** A machine as the spec of the factories promises it. */
const INVENTORY = {
  cpu: { arch: "x86_64", usable: HARDWARE.cpu, quota: null },
  memory: { total_bytes: HARDWARE.memory, limit_bytes: null },
  disk: { path: "/work", total_bytes: HARDWARE.disk, device_bytes: null },
  kernel: { name: "Linux", release: "6.8.0" },
};
const SMALL = { ...INVENTORY, memory: { total_bytes: 2 ** 37, limit_bytes: null } };

const HOST_MARK = { effective_cores: 13.2, memory_triad_gbs: 180, disk_direct: true };

const create = (person: Person, body: object) =>
  call("POST", "/jobs", { token: person.token, body: { benchmarks: [], ...body } });
const jobsOf = (person: Person, query: string) =>
  call("GET", `/jobs?${query}`, { token: person.token });
const tasksOf = (person: Person, query: string) =>
  call("GET", `/tasks?${query}`, { token: person.token });

describe("what may be expected", () => {
  test("a spec by slug or UUID; the job is not for its runners, and any machine joins", async ({
    expect,
  }) => {
    const spec = await createSpec({}, admin);
    for (const expected_spec of [spec.slug, spec.uuid.toUpperCase()]) {
      const job = await createJob({ expected_spec });
      expect((await join(job)).status).toBe(201);
      const reply = await detail(job);
      expectContract(expect, reply, getJobRoute, 200);
      expect(reply.body).toMatchObject({ spec: null, expected_spec: spec.uuid });
    }
  });

  test("spec implies it, and may repeat it in either spelling; none is null", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const { uuid, slug } = await createSpec({}, admin);
    for (const named of [{ spec: slug }, { spec: uuid, expected_spec: slug }]) {
      const job = await createJob(named, owner);
      expect((await detail(job)).body).toMatchObject({ spec: uuid, expected_spec: uuid });
    }
    for (const expected_spec of [null, undefined]) {
      const job = await createJob({ expected_spec }, owner);
      expect((await detail(job)).body).toMatchObject({ expected_spec: null, spec_check: null });
    }
  });

  test("another spec than the job's: 400, and nothing is left of the request", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const [one, two] = [await createSpec({}, admin), await createSpec({}, admin)];
    const count = async () => [await countOf(jobs), await countOf(idempotencyKeys)];
    const before = await count();
    const headers = { "idempotency-key": "two-specs" };
    const body = { benchmarks: [], name: "kept free", spec: one.slug, expected_spec: two.uuid };
    const reply = await call("POST", "/jobs", { token: owner.token, body, headers });
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    expect(reply.body.error.details).toEqual([
      {
        field: "expected_spec",
        message: "must be omitted, or the same spec as spec",
      },
    ]);
    expect(await count()).toEqual(before);
    expect((await create(owner, { name: "kept free" })).status).toBe(201);
  });

  test("unknown, archived: 404, also beside a known spec", async ({ expect }) => {
    const owner = await createPerson();
    const [spec, gone] = [await createSpec({}, admin), await createSpec({}, admin)];
    const body = { archived: true };
    await call("PATCH", `${V0}/specs/${gone.uuid}`, { token: admin.token, body });
    for (const expected_spec of [gone.slug, gone.uuid, crypto.randomUUID(), "no-such-spec"]) {
      const alone = await create(owner, { expected_spec });
      const message = `Spec with id ${expected_spec} not found`;
      expectError(expect, alone, 404, "RESOURCE_NOT_FOUND", message);
      const both = await create(owner, { spec: spec.slug, expected_spec });
      expect(both.status, both.text).toBe(404);
    }
    expect((await create(owner, { expected_spec: "A b" })).status).toBe(400);
  });

  test("the spec cannot be deleted any more", async ({ expect }) => {
    const spec = await createSpec({}, admin);
    await createJob({ expected_spec: spec.uuid });
    const reply = await call("DELETE", `${V0}/specs/${spec.uuid}`, admin);
    expectError(expect, reply, 409, "RESOURCE_IN_USE");
  });

  test("creating such a job is one round trip", async ({ expect }) => {
    const owner = await createPerson();
    const { uuid, slug } = await createSpec({}, admin);
    await create(owner, {});
    for (const body of [{ expected_spec: slug }, { spec: uuid, expected_spec: slug }]) {
      const cost = await costOf(() => create(owner, body));
      expect(cost).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
    }
  });
});

describe("the checks of a job", () => {
  test("each task has its own, the job the worst, live and settled, in details and lists", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const spec = await createSpec({}, admin);
    const job = await createJob({ expected_spec: spec.slug, node_count: 3 }, owner);
    const first = await join(job, { inventory: INVENTORY });
    expect((await detail(job)).body).toMatchObject({
      spec_check: "matches",
      tasks: [{ spec_check: { status: "matches" } }],
    });
    const second = await join(job, { inventory: SMALL });
    const third = await join(job);
    const seen = await detail(job);
    expectContract(expect, seen, getJobRoute, 200);
    expect(seen.body.spec_check).toBe("differs");
    expect(seen.body.tasks[1].spec_check.fields).toContainEqual({
      field: "memory",
      promised: String(2 ** 38),
      found: String(2 ** 37),
      status: "differs",
      reason: "128 GiB found, 256 GiB promised",
    });
    expect(seen.body.tasks[2].spec_check).toBeNull();
    await flushed(job);
    const list = await jobsOf(owner, "");
    expectContract(expect, list, listJobsRoute, 200);
    expect(list.body.results).toMatchObject([{ id: job.id, spec_check: "differs" }]);
    const listed = await tasksOf(owner, "");
    expectContract(expect, listed, listTasksRoute, 200);
    expect(listed.body.data.map((task: { spec_check: object }) => task.spec_check)).toEqual(
      seen.body.tasks.toReversed().map((task: { spec_check: object }) => task.spec_check),
    );
    for (const { body } of [first, second, third]) await putResult(job, body.id, 0);
    await rated(job);
    const settled = await detail(job);
    expect(settled.body.state).toBe("completed");
    expect(settled.body.spec_check).toBe("differs");
    expect(settled.body.tasks.map((task: { spec_check: object }) => task.spec_check)).toEqual(
      seen.body.tasks.map((task: { spec_check: object }) => task.spec_check),
    );
    const task = await call("GET", `/tasks/${second.body.id}/results`, { token: owner.token });
    expectContract(expect, task, getTaskResultsRoute, 200);
    expect(task.body.spec_check.status).toBe("differs");
  });

  test("a machine that joins again with another inventory is checked again", async ({ expect }) => {
    const { uuid } = await createSpec({}, admin);
    const job = await createJob({ expected_spec: uuid, node_count: 2 });
    const machine = { machine_uuid: machineUuid(), join_secret: joinSecret() };
    await join(job, { ...machine, inventory: SMALL });
    expect((await detail(job)).body.spec_check).toBe("differs");
    await join(job, { ...machine, inventory: INVENTORY });
    expect((await detail(job)).body).toMatchObject({
      spec_check: "matches",
      tasks: [{ spec_check: { status: "matches" } }],
    });
  });

  test("HostMark's effective cores are shown with the reason, and decide nothing", async ({
    expect,
  }) => {
    const { uuid } = await createSpec({}, admin);
    const job = await createJob({ expected_spec: uuid, benchmarks: ["host_mark"] });
    const { id } = (await join(job, { inventory: INVENTORY })).body;
    await putResult(job, id, 0);
    await putResult(job, id, 1, resultBody(HOST_MARK));
    for (const isStored of [false, true]) {
      if (isStored) await rated(job);
      const { body } = await detail(job);
      expect(body).toMatchObject({ state: "completed", spec_check: "matches" });
      expect(body.tasks[0].spec_check.fields.at(-1)).toMatchObject({
        field: "effective_cores",
        found: "13.2",
        status: "unknown",
      });
    }
  });

  test.for([1e308, -5, 99])(
    "effective cores that cannot be true are left out: %s",
    async (cores, { expect }) => {
      const { uuid } = await createSpec({}, admin);
      const job = await createJob({ expected_spec: uuid, benchmarks: ["host_mark"] });
      const { id } = (await join(job, { inventory: INVENTORY })).body;
      await putResult(job, id, 0);
      const results = { ...HOST_MARK, effective_cores: cores, cpu: { available: 8 } };
      expect((await putResult(job, id, 1, resultBody(results))).status).toBe(200);
      const { fields } = (await detail(job)).body.tasks[0].spec_check;
      expect(fields.map(({ field }: { field: string }) => field)).not.toContain("effective_cores");
    },
  );

  test("a job without a spec has none, whatever its machines send", async ({ expect }) => {
    const job = await createJob();
    await join(job, { inventory: INVENTORY });
    expect((await detail(job)).body).toMatchObject({
      spec_check: null,
      tasks: [{ spec_check: null }],
    });
  });
});

test("filters of both lists: each outcome alone, with others, and no other's jobs", async ({
  expect,
}) => {
  const owner = await createPerson();
  const stranger = await createPerson();
  const { uuid } = await createSpec({}, admin);
  const made: Record<string, string> = {};
  for (const [outcome, inventory] of Object.entries({
    matches: INVENTORY,
    differs: SMALL,
    unknown: {},
    none: null,
  })) {
    const job = await createJob({ expected_spec: uuid, tags: [outcome] }, owner);
    await join(job, inventory === null ? {} : { inventory });
    await flushed(job);
    made[outcome] = job.id;
  }
  for (const outcome of ["matches", "differs", "unknown"]) {
    const found = await jobsOf(owner, `spec_check=${outcome}`);
    expect(found.body.pagination.total).toBe(1);
    expect(found.body.results).toMatchObject([{ id: made[outcome], spec_check: outcome }]);
    const tasks = await tasksOf(owner, `spec_check=${outcome}`);
    expect(tasks.body.pagination.total).toBe(1);
    expect(tasks.body.data).toMatchObject([{ job_id: made[outcome] }]);
    expect((await jobsOf(stranger, `spec_check=${outcome}`)).body.results).toEqual([]);
    expect((await tasksOf(stranger, `spec_check=${outcome}`)).body.data).toEqual([]);
    const mixed = await jobsOf(owner, `spec_check=${outcome}&state=running&tags=${outcome}`);
    expect(mixed.body.results).toMatchObject([{ id: made[outcome] }]);
    expect((await tasksOf(owner, `spec_check=${outcome}&state=failed`)).body.data).toEqual([]);
  }
  expect((await jobsOf(owner, "spec_check=bad")).status).toBe(400);
  expect((await tasksOf(owner, "spec_check=bad")).status).toBe(400);
});

test("what falls short is a finding of node and job, and in the report", async ({ expect }) => {
  const { uuid } = await createSpec({}, admin);
  const job = await createJob({ expected_spec: uuid });
  const { id } = (await join(job, { inventory: SMALL })).body;
  await putResult(job, id, 0);
  const { body } = await reported(job);
  const finding = {
    kind: "spec_differs",
    metric: "memory",
    rank: 0,
    gpu: null,
    value: 2 ** 37,
    expected: 2 ** 38,
    ratio: 0.5,
    message: "the memory differs from the spec: 128 GiB found, 256 GiB promised",
  };
  expect(body.scoreboard_summary).toMatchObject({
    findings: [finding],
    nodes: [{ findings: [finding] }],
  });
  const { bytes } = await open(body.pdf_report_url);
  const { text } = await readPdf(bytes);
  expect(text).toContain("the memory differs from the spec: 128 GiB found, 256 GiB promised");
});

describe("runners", () => {
  test("a runner shows its latest check for each spec that it offers", async ({ expect }) => {
    const owner = await createPerson();
    const [one, two] = [await createSpec({}, admin), await createSpec({}, admin)];
    const runner = await createRunner([one, two], admin);
    const view = async () => {
      const reply = await call("GET", `${V0}/runners/${runner.uuid}`, admin);
      expectContract(expect, reply, getRunnerRoute, 200);
      return reply;
    };
    expect((await view()).body.spec_checks).toEqual([]);
    const run = async (spec: { uuid: string }, inventory: object) => {
      const before = await view();
      const job = await createJob({ spec: spec.uuid }, owner);
      // What claims decide by is read once for many of them.
      const reply = await eventually(async () => {
        const answer = await claim(runner, { inventory });
        expect(answer.body?.job_id).toBe(job.id);
        return answer;
      });
      const claimed = claimedBy(reply);
      expect(claimed.id).toBe(job.id);
      await putResult(claimed, claimed.task.id, 0);
      await flushed(claimed);
      const after = await view();
      expect(after.headers.get("etag")).not.toBe(before.headers.get("etag"));
      return { id: claimed.task.id, checks: after.body.spec_checks };
    };
    const first = await run(one, SMALL);
    const ofOne = { spec: one.uuid, status: "differs", task_id: first.id };
    expect(first.checks).toEqual([ofOne]);
    const second = await run(two, INVENTORY);
    const ofTwo = { spec: two.uuid, status: "matches", task_id: second.id };
    expect(new Set(second.checks)).toEqual(new Set([ofOne, ofTwo]));
    const third = await run(one, INVENTORY);
    const again = { spec: one.uuid, status: "matches", task_id: third.id };
    expect(new Set(third.checks)).toEqual(new Set([again, ofTwo]));
  });

  test("a machine that only claims to be a runner, in a job that anyone joins, changes nothing", async ({
    expect,
  }) => {
    const spec = await createSpec({}, admin);
    const runner = await createRunner([spec], admin);
    const job = await createJob({ expected_spec: spec.uuid });
    await join(job, { machine_uuid: runner.uuid, inventory: SMALL });
    await flushed(job);
    const reply = await call("GET", `${V0}/runners/${runner.uuid}`, admin);
    expect(reply.body.spec_checks).toEqual([]);
  });
});

test("the object reads the spec in the round trip in which it takes the job over", async ({
  expect,
}) => {
  const joinsIn = async (body: Record<string, unknown>) => {
    const job = await createJob(body);
    const { batches, restore } = onBatchesOf(job);
    expect((await join(job, { inventory: INVENTORY })).status).toBe(201);
    await flushed(job);
    restore();
    return batches.mock.calls.length;
  };
  const { uuid } = await createSpec({}, admin);
  expect(await joinsIn({ expected_spec: uuid })).toBe(await joinsIn({}));
});
