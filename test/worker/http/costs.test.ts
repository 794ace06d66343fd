/** Costs of each request: exact counts of D1 round trips, object hops and rows written. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, test, vi } from "vitest";
import { hashPassword } from "../../../src/identity/password-hash.ts";
import { generateJobName } from "../../../src/jobs/names.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { call, detail, join, poll, putResult } from "../harness/client.ts";
import { createJob, createPerson } from "../harness/factories.ts";
import {
  coordinatorOf,
  costOf,
  farAhead,
  flushed,
  onBatchesOf,
  travel,
} from "../harness/instruments.ts";

const API = "/api/silicon-mark/v1";

async function knownPerson() {
  const person = await createPerson();
  // The caller's row is cached from here on.
  await call("GET", "/benchmarks", { token: person.token });
  return person;
}

describe("D1 round trips and object hops before the reply", () => {
  test("create: one D1 batch, no hop; one more round trip when the caller is not cached", async ({
    expect,
  }) => {
    const stranger = await createPerson();
    const create = () => call("POST", "/jobs", { token: stranger.token, body: { benchmarks: [] } });
    expect(await costOf(create)).toMatchObject({
      route: `${API}/jobs`,
      status: 201,
      d1_round_trips: 2,
      object_hops: 0,
    });
    expect(await costOf(create)).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
  });

  test("create with a generated name that is taken: one more round trip", async ({ expect }) => {
    const person = await knownPerson();
    const now = Date.now();
    const middle = () => 0.5;
    await createJob({ name: generateJobName(now, middle) }, person);
    const clock = vi.spyOn(systemClock, "now").mockReturnValue(now);
    const random = vi.spyOn(Math, "random").mockReturnValue(0.9);
    // The id takes the first number, the name's four letters the next.
    for (let draw = 0; draw < 5; draw++) random.mockImplementationOnce(middle);
    try {
      const create = () => call("POST", "/jobs", { token: person.token, body: { benchmarks: [] } });
      expect(await costOf(create)).toMatchObject({ status: 201, d1_round_trips: 2 });
    } finally {
      random.mockRestore();
      clock.mockRestore();
    }
  });

  test("list: one", async ({ expect }) => {
    const person = await knownPerson();
    await createJob({}, person);
    const cost = await costOf(() => call("GET", "/jobs", { token: person.token }));
    expect(cost).toMatchObject({ route: `${API}/jobs`, d1_round_trips: 1, object_hops: 0 });
  });

  test("detail and results: one, plus one hop while the job lives", async ({ expect }) => {
    const person = await knownPerson();
    const job = await createJob({}, person);
    const results = () => call("GET", `/jobs/${job.id}/results`, { token: person.token });
    expect(await costOf(() => detail(job)), "nobody has joined: D1 still owns it").toMatchObject({
      route: `${API}/jobs/:job_id`,
      d1_round_trips: 1,
      object_hops: 0,
    });
    const taskId = (await join(job)).body.id;
    expect(await costOf(() => detail(job))).toMatchObject({ d1_round_trips: 1, object_hops: 1 });
    expect(await costOf(results)).toMatchObject({ d1_round_trips: 1, object_hops: 1 });
    await putResult(job, taskId, 0);
    await flushed(job);
    expect(await costOf(() => detail(job))).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
    expect(await costOf(results)).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
  });

  test("join, poll, heartbeat, result: no D1, one hop", async ({ expect }) => {
    const job = await createJob();
    const machine = { machine_uuid: crypto.randomUUID() };
    const oneHop = { d1_round_trips: 0, object_hops: 1 };
    expect(await costOf(() => join(job, machine))).toMatchObject({ status: 201, ...oneHop });
    const taskId = (await join(job, machine)).body.id;
    expect(await costOf(() => poll(job, taskId))).toMatchObject({
      route: `${API}/jobs/current`,
      status: 200,
      ...oneHop,
    });
    const heartbeat = () =>
      call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body: { progress: 0.5 } });
    expect(await costOf(heartbeat)).toMatchObject({ status: 200, ...oneHop });
    expect(await costOf(() => putResult(job, taskId, 0))).toMatchObject({ status: 200, ...oneHop });
  });

  test("abort: one; plus one hop once the object owns the job", async ({ expect }) => {
    const person = await knownPerson();
    const abort = (id: string) => call("POST", `/jobs/${id}/abort`, { token: person.token });
    const untouched = await createJob({}, person);
    expect(await costOf(() => abort(untouched.id))).toMatchObject({
      d1_round_trips: 1,
      object_hops: 0,
    });
    const joined = await createJob({}, person);
    await join(joined);
    expect(await costOf(() => abort(joined.id))).toMatchObject({
      d1_round_trips: 1,
      object_hops: 1,
    });
  });

  test("sign-in: two, right or wrong; refresh and sign-out: one; health: one", async ({
    expect,
  }) => {
    const email = `${crypto.randomUUID()}@example.com`;
    await createPerson({ email, passwordHash: await hashPassword("right") });
    const send = (path: string, form: Record<string, string>) => () =>
      call("POST", `https://assay.test${path}`, {
        headers: {
          "content-type": "application/x-www-form-urlencoded",
          "cf-connecting-ip": "192.0.2.1",
        },
        body: new URLSearchParams(form).toString(),
      });
    const signIn = (username: string, password: string) =>
      send("/token", { grant_type: "password", username, password });
    const two = { d1_round_trips: 2, object_hops: 0 };
    const nobody = signIn("nobody@example.com", "right");
    expect(await costOf(nobody)).toMatchObject({ status: 400, ...two });
    expect(await costOf(signIn(email, "right"))).toMatchObject({ status: 200, ...two });
    expect(await costOf(signIn(email, "wrong"))).toMatchObject({ status: 400, ...two });
    const { refresh_token } = (await signIn(email, "right")()).body;
    const one = { status: 200, d1_round_trips: 1, object_hops: 0 };
    const refresh = send("/token", { grant_type: "refresh_token", refresh_token });
    expect(await costOf(refresh)).toMatchObject(one);
    expect(await costOf(send("/token/revoke", { token: refresh_token }))).toMatchObject(one);
    expect(await costOf(send("/token/revoke", { token: "x" }))).toMatchObject({
      ...one,
      d1_round_trips: 0,
    });
    const health = () => call("GET", "https://assay.test/health");
    expect(await costOf(health)).toMatchObject({ status: 200, d1_round_trips: 1, object_hops: 0 });
  });
});

describe("what a poll costs the object", () => {
  test("the first contact asks D1 once, in the object; later polls never do", async ({
    expect,
  }) => {
    const job = await createJob();
    const { batches } = onBatchesOf(job);
    await poll(job);
    expect(batches).toHaveBeenCalledTimes(1);
    await poll(job);
    await poll(job);
    expect(batches).toHaveBeenCalledTimes(1);
  });

  test("an unchanged poll writes nothing, and the lease row at most once per half lease", async ({
    expect,
  }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    await flushed(job);
    const etag = (await poll(job, taskId)).headers.get("etag") ?? "";
    const stub = coordinatorOf(job);
    // The alarm of the first flush, which would count as lost a minute later.
    await runDurableObjectAlarm(stub);
    const written = (run: () => Promise<unknown>) =>
      rowsWritten(stub, async () => {
        await run();
      });
    const idle = () => poll(job, taskId, { "if-none-match": etag });
    expect(await written(async () => expect((await idle()).status).toBe(304))).toEqual([]);
    time.to(start + 74_999);
    expect(await written(idle)).toEqual([]);
    time.to(start + 75_000);
    expect(await written(idle), "one row, of the lease").toEqual([["contact", 1]]);
    expect(await written(idle)).toEqual([]);
    await evictDurableObject(stub);
    expect(await written(idle), "nor after the object has slept").toEqual([]);
  });
});

/** Which tables of the object changed during `run`, and by how many rows. */
async function rowsWritten(
  stub: ReturnType<typeof coordinatorOf>,
  run: () => Promise<void>,
): Promise<[table: string, rows: number][]> {
  const before = await contents(stub);
  await run();
  const after = await contents(stub);
  return [...after].flatMap(([table, rows]): [string, number][] => {
    const known = new Set(before.get(table));
    const changed = rows.filter((row) => !known.has(row)).length;
    return changed === 0 ? [] : [[table, changed]];
  });
}

function contents(stub: ReturnType<typeof coordinatorOf>): Promise<Map<string, string[]>> {
  return runInDurableObject(stub, async (_instance, { storage }) => {
    const tables = ["job", "node", "contact", "result", "event"];
    const rows = tables.map((table): [string, string[]] => [
      table,
      storage.sql
        .exec(`SELECT * FROM ${table}`)
        .toArray()
        .map((row) => JSON.stringify(row)),
    ]);
    return new Map([...rows, ["alarm", [String(await storage.getAlarm())]]]);
  });
}
