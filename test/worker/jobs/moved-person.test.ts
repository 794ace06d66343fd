/** A person who moves to another customer: jobs, tasks and figures of the old one are the old one's. */
import { describe, test } from "vitest";
import { jobs } from "../../../src/db/schema.ts";
import { call, detail, expectError, join, machineUuid, putResult, V0 } from "../harness/client.ts";
import {
  createCustomer,
  createJob,
  createPerson,
  measureJob,
  type Person,
  type TestJob,
} from "../harness/factories.ts";
import { reported, rowsReadBy } from "../harness/instruments.ts";
import { customerUuid, insertRows, jobValues, times } from "../harness/rows.ts";

const root = await createPerson({ role: "root_admin" });

/** Through the API, as an administrator does. */
async function move(person: Person, customerId: number): Promise<void> {
  const body = { customer: await customerUuid(customerId) };
  const reply = await call("PATCH", `${V0}/users/${person.uuid}`, { token: root.token, body });
  if (reply.status !== 200) throw new Error(`moving answered ${reply.status}: ${reply.text}`);
  person.customerId = customerId;
}

const get = (person: { token: string }, path: string, headers = {}) =>
  call("GET", path, { token: person.token, headers });

/** How many jobs, tasks, tags and alerts each list shows a person. */
async function seen(person: { token: string }) {
  const counts: Record<string, number> = {};
  for (const query of [
    "",
    "?state=completed",
    "?state=created",
    "?tags=rack%207",
    "?tags=rack%207&name=left",
    "?name=left",
    "?name=le",
    "?benchmark_id=cluster_network",
    "?has_performance_data=true",
    "?sort_by=name",
    "?sort_by=ended_at&sort_order=asc",
    "?created_after=2020-01-01",
    "?include=performance,performance_nodes&include_results=true",
  ]) {
    const { body } = await get(person, `/jobs${query}`);
    counts[`jobs${query}`] = body.results.length;
    counts[`total of jobs${query}`] = body.pagination.total;
  }
  for (const query of ["", "?state=completed", "?machine_ip=192.0.2.9", "?include_results=true"]) {
    const { body } = await get(person, `/tasks${query}`);
    counts[`tasks${query}`] = body.data.length;
    counts[`total of tasks${query}`] = body.pagination.total;
  }
  for (const accept of ["text/csv", "application/x-ndjson"]) {
    const { text, status } = await get(person, "/tasks", { accept });
    if (status !== 200) throw new Error(`${accept} answered ${status}`);
    const lines = text.split("\n").filter((line) => line !== "").length;
    counts[accept] = lines - (accept === "text/csv" ? 1 : 0);
  }
  counts.tags = (await get(person, "/jobs/tags")).body.tags.length;
  counts.alerts = (await get(person, "/jobs/stats")).body.alert_job_count;
  return counts;
}

/** A person with a settled, rated and reported job, and one that waits for its nodes. */
async function left(): Promise<{ person: Person; ended: TestJob; open: TestJob; taskId: string }> {
  const person = await createPerson();
  const tags = ["rack 7"];
  const ended = await createJob({ name: "left and ended", tags }, person);
  const joined = await join(ended, { machine_ip: "192.0.2.9" });
  await putResult(ended, joined.body.id, 0);
  await reported(ended);
  const body = { name: "left open", tags, node_count: 2, benchmarks: ["cluster_network"] };
  const open = await createJob(body, person);
  return { person, ended, open, taskId: joined.body.id };
}

describe("after the move", () => {
  test("nothing of the old customer is listed, counted or exported; back there, all of it is", async ({
    expect,
  }) => {
    const { person } = await left();
    const home = person.customerId;
    const made = { token: person.token, body: { name: "script" } };
    const { token } = (await call("POST", `${V0}/users/me/tokens`, made)).body;
    const before = await seen(person);
    expect(Object.entries(before).filter(([, count]) => count === 0)).toEqual([["alerts", 0]]);
    await move(person, await createCustomer());
    for (const bearer of [person, { token }]) {
      const after = await seen(bearer);
      expect(Object.entries(after).filter(([, count]) => count > 0)).toEqual([]);
    }
    await createJob({ name: "left again", tags: ["new"] }, person);
    const { body } = await get(person, "/jobs");
    expect([body.results.length, body.pagination.total]).toEqual([1, 1]);
    expect((await get(person, "/jobs/tags")).body.tags).toEqual(["new"]);
    await move(person, home);
    expect(await seen(person)).toEqual(before);
  });

  test("no job or task is there: not read, not ended, not deleted, not reported", async ({
    expect,
  }) => {
    const { person, ended, open, taskId } = await left();
    await move(person, await createCustomer());
    const missing: [string, string, unknown?][] = [
      ["DELETE", "/jobs/delete", { id: open.id }],
      ["GET", `/tasks/${taskId}/results`],
      ...[ended, open].flatMap(({ id }): [string, string, unknown?][] => [
        ["GET", `/jobs/${id}`],
        ["GET", `/jobs/${id}/results`],
        ["POST", `/jobs/${id}/abort`],
        ["POST", `/jobs/${id}/report`],
      ]),
    ];
    for (const [method, path, body] of missing) {
      const options = { token: person.token, ...(body === undefined ? {} : { body }) };
      expectError(expect, await call(method, path, options), 404, "RESOURCE_NOT_FOUND");
    }
    const listed = await get(person, `/tasks?job_id=${ended.id}`);
    expect([listed.body.data, listed.body.pagination.total]).toEqual([[], 0]);
    expect((await detail({ id: ended.id, owner: root })).status, "it is still there").toBe(200);
  });

  test("a repeat with an older Idempotency-Key does not get the old customer's job and token", async ({
    expect,
  }) => {
    const person = await createPerson();
    const create = () =>
      call("POST", "/jobs", {
        token: person.token,
        headers: { "idempotency-key": person.uuid },
        body: { name: "nightly", benchmarks: [] },
      });
    const first = (await create()).body;
    expect((await create()).body).toEqual(first);
    await move(person, await createCustomer());
    const reply = await create();
    expect(reply.status, reply.text).toBe(201);
    expect(reply.headers.get("idempotency-replayed")).not.toBe("true");
    expect(reply.body.id).not.toBe(first.id);
    expect(reply.text).not.toContain(first.token);
  });

  test("a machine is not compared with its past at the old customer", async ({ expect }) => {
    const person = await createPerson();
    const home = person.customerId;
    const machine_uuid = machineUuid();
    const dropsOf = async (bf16_tflops: number) => {
      const results = { aggregate_results: { bf16_tflops, memory_bandwidth_gbs: 2_000 } };
      const machine = { gpu_model: "Unheard-of 901", gpu_count: 1, machine_uuid, results };
      const job = await measureJob([machine], person);
      return (await detail(job)).body.scoreboard_summary.nodes[0].drops.length;
    };
    expect(await dropsOf(400)).toBe(0);
    await move(person, await createCustomer());
    expect(await dropsOf(200)).toBe(0);
    await move(person, home);
    expect(await dropsOf(200)).toBe(1);
  });

  test("old jobs cost no row: pages and totals are as small as those of a newcomer", async ({
    expect,
  }) => {
    const person = await createPerson();
    const old = { id: person.id, customerId: person.customerId };
    await insertRows(
      jobs,
      times(2_000, (at) =>
        jobValues(old, { id: 512 * (7_000_000 + at), tags: ["old"], name: `old ${at}` }),
      ),
    );
    await move(person, await createCustomer());
    for (let n = 0; n < 3; n++) await createJob({ tags: ["new"], name: `old new ${n}` }, person);
    for (const query of ["", "?state=created", "?tags=new", "?tags=old", "?name=old", "?name=ol"]) {
      const { reply, read } = await rowsReadBy(() => get(person, `/jobs${query}`));
      expect(reply.body.pagination.total, query).toBe(query === "?tags=old" ? 0 : 3);
      for (const rows of read) expect(rows, query).toBeLessThanOrEqual(10);
    }
    const { read } = await rowsReadBy(() => get(person, "/jobs/tags"));
    expect(Math.max(...read)).toBeLessThanOrEqual(10);
  });
});
