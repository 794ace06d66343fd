/** Gang jobs: all runners at once or none, held for at most 10 minutes, and fair to other customers. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { and, eq, isNotNull, min } from "drizzle-orm";
import { describe, expect, test, vi } from "vitest";
import { jobs, runnerSpecs, runners as runnersTable } from "../../../src/db/schema.ts";
import { MINUTE_MS } from "../../../src/lib/clock.ts";
import {
  call,
  claim,
  claimedBy,
  detail,
  expectError,
  heartbeat,
  poll,
  putResult,
  V0,
} from "../harness/client.ts";
import {
  createJob,
  createPerson,
  createRunner,
  type Person,
  type TestJob,
  type TestRunner,
  type TestSpec,
} from "../harness/factories.ts";
import { coordinatorOf, costOf, flushed, travel } from "../harness/instruments.ts";
import { countOf, db, jobRow, runnerRow, setRunner } from "../harness/rows.ts";
import { admin, patch, shop } from "./shop.ts";

const S = 1_000;
/** What isolates remember of jobs is older than this. */
const NEWS = 4 * S;

const idle = { text: "null", wait: "idle" };
const meeting = { text: "null", wait: "meeting" };

/** Sees what a claim answers: the job's id, or how long the runner waits. */
async function ask(runner: TestRunner) {
  const { status, text, body, headers } = await claim(runner);
  if (status !== 200) return { status };
  if (body !== null) return { job: body.job_id };
  return { text, wait: headers.get("retry-after") === "2" ? "meeting" : "idle" };
}

/** Runners of one spec that were all in contact a moment ago, and a clock at zero. */
async function fleet(size: number) {
  const time = travel();
  const start = Date.now();
  const to = (ms: number) => time.to(start + ms);
  to(0);
  const { spec, runners } = await shop(size);
  for (const runner of runners) await ask(runner);
  to(NEWS);
  return { to, spec, runners: runners as [TestRunner, TestRunner, TestRunner, TestRunner] };
}

const gangOf = (spec: TestSpec, node_count: number, owner?: Person) =>
  createJob({ spec: spec.uuid, node_count, benchmarks: ["cluster_network"] }, owner);
const single = (spec: TestSpec, owner?: Person) => createJob({ spec: spec.uuid }, owner);

/** The earliest time of holding for a spec, ms. */
async function holdBegun({ uuid }: TestSpec): Promise<number | null> {
  const [row] = await db
    .select({ first: min(jobs.heldSince) })
    .from(jobs)
    .where(eq(jobs.specUuid, uuid));
  return row?.first ?? null;
}

const nodesOf = async (job: TestJob) => (await detail(job)).body.current_nodes;

/** Ends the part of a runner in a job of one step. */
async function finish(runner: TestRunner, job: TestJob) {
  const own = claimedBy(await claim(runner));
  await putResult(own, own.task.id, 0);
  await flushed(job);
}

describe("a gang", () => {
  test("meets, then begins: nobody joins before all have asked", async ({ expect }) => {
    const { to, spec, runners } = await fleet(4);
    const [a, b, c, d] = runners;
    const job = await gangOf(spec, 4);
    expect(await ask(a)).toEqual(meeting);
    for (const runner of runners)
      expect((await runnerRow(runner)).jobId, "reserved at once").toBe(Number(job.id));
    expect(await ask(b)).toEqual(meeting);
    to(NEWS + 2 * S);
    expect(await ask(a)).toEqual(meeting);
    expect(await ask(c)).toEqual(meeting);
    expect((await jobRow(job)).currentNodes).toBe(0);
    expect(await ask(d), "the last one joins at once").toEqual({ job: job.id });
    for (const runner of [c, b, a]) expect(await ask(runner)).toEqual({ job: job.id });
    expect((await detail(job)).body).toMatchObject({ current_nodes: 4, state: "running" });
  });

  test("costs: one D1 round trip to reserve, one to ask, one and a hop to join", async ({
    expect,
  }) => {
    const { to, spec, runners } = await fleet(3);
    const [a, b, c] = runners;
    const job = await gangOf(spec, 3);
    const facts = 1;
    expect(await costOf(() => claim(a))).toMatchObject({
      d1_round_trips: facts + 1,
      object_hops: 0,
    });
    for (const _ of [1, 2])
      expect(await costOf(() => claim(b))).toMatchObject({ d1_round_trips: 1, object_hops: 0 });
    to(NEWS + 2 * S);
    for (const runner of [c, a, b])
      expect(await costOf(() => claim(runner))).toMatchObject({
        d1_round_trips: 1,
        object_hops: 1,
      });
    expect(await nodesOf(job)).toBe(3);
  });

  test("more nodes than runners are online: holds nobody, other customers' jobs run at once", async ({
    expect,
  }) => {
    const { spec, runners } = await fleet(3);
    const [a, b, c] = runners;
    const user = await createPerson();
    const wide = await gangOf(spec, 256, user);
    const others = [await single(spec), await single(spec)];
    expect(await ask(a)).toEqual({ job: others[0]?.id });
    expect(await ask(b)).toEqual({ job: others[1]?.id });
    expect(await ask(c)).toEqual(idle);
    expect(await runnerRow(c)).toMatchObject({ jobId: null });
    expect(await jobRow(wide)).toMatchObject({ currentNodes: 0, heldSince: null });
  });

  test("one that never asks: after 2 minutes all are free, and others come first for 2 more", async ({
    expect,
  }) => {
    const { to, spec, runners } = await fleet(4);
    const [a, b, c, dead] = runners;
    const gang = await gangOf(spec, 4);
    const other = await single(spec);
    for (const runner of [a, b, c]) expect(await ask(runner)).toEqual(meeting);
    to(NEWS + 2 * MINUTE_MS - 1);
    for (const runner of [a, b, c]) expect(await ask(runner)).toEqual(meeting);
    to(NEWS + 2 * MINUTE_MS + 1);
    expect(await ask(a), "though younger").toEqual({ job: other.id });
    expect(await ask(b)).toEqual(idle);
    expect(await ask(c)).toEqual(idle);
    expect((await runnerRow(b)).jobId).toBeNull();
    expect(await jobRow(gang)).toMatchObject({ currentNodes: 0, gang: "waiting" });
    // The dead one is offline by now, and a new one takes its place.
    to(NEWS + 3 * MINUTE_MS);
    await finish(a, other);
    const fresh = await createRunner([spec], admin);
    const gathered = [a, b, c, fresh];
    for (const runner of gathered) await ask(runner);
    to(NEWS + 3 * MINUTE_MS + NEWS);
    for (let n = 0; n < 3; n++) for (const runner of gathered) await ask(runner);
    expect(await nodesOf(gang)).toBe(4);
    expect((await runnerRow(dead)).taskId).toBeNull();
  });

  test("one that dies between meeting and joining: after 5 minutes another takes its place", async ({
    expect,
  }) => {
    const { to, spec, runners } = await fleet(3);
    const [a, dead, spare] = runners;
    await setRunner(spare, { lastHeartbeatAt: 0 });
    const gang = await gangOf(spec, 2);
    expect(await ask(a)).toEqual(meeting);
    const get = vi.spyOn(env.COORDINATOR, "get").mockImplementation(() => {
      throw new Error("it dies here");
    });
    expect((await ask(dead)).status, "met, not joined").toBe(503);
    get.mockRestore();
    expect(await ask(a)).toEqual({ job: gang.id });
    to(NEWS + 4 * MINUTE_MS);
    expect(await ask(spare), "the place is still its own").toEqual(idle);
    to(NEWS + 5 * MINUTE_MS + S);
    expect(await ask(spare)).toEqual({ job: gang.id });
    expect(await ask(dead), "too late").toEqual(idle);
    expect((await detail(gang)).body).toMatchObject({ current_nodes: 2, state: "running" });
  });

  test("the object cannot be reached when they join: the same place a moment later", async ({
    expect,
  }) => {
    const { spec, runners } = await fleet(2);
    const [a, b] = runners;
    const gang = await gangOf(spec, 2);
    await ask(a);
    const get = vi.spyOn(env.COORDINATOR, "get").mockImplementation(() => {
      throw new Error("no route to the object");
    });
    expectError(expect, await claim(b), 503, "SERVICE_UNAVAILABLE");
    get.mockRestore();
    expect(await ask(b)).toEqual({ job: gang.id });
    expect(await ask(a)).toEqual({ job: gang.id });
    expect(await nodesOf(gang)).toBe(2);
  });

  test("an aborted or deleted job lets its members go", async ({ expect }) => {
    for (const end of ["abort", "delete"]) {
      const { spec, runners } = await fleet(2);
      const [a, b] = runners;
      const gang = await gangOf(spec, 2);
      await ask(a);
      const { token } = gang.owner;
      if (end === "abort") await call("POST", `/jobs/${gang.id}/abort`, { token });
      else await call("DELETE", "/jobs/delete", { token, body: { id: gang.id } });
      for (const runner of [b, a]) expect(await ask(runner)).toEqual(idle);
      for (const runner of [a, b]) expect((await runnerRow(runner)).jobId).toBeNull();
    }
  });
});

describe("between the reservation and the meeting", () => {
  test("a key is rotated: the old one counts for nothing, the new one has the place", async ({
    expect,
  }) => {
    const { spec, runners } = await fleet(2);
    const [a, b] = runners;
    const gang = await gangOf(spec, 2);
    await ask(a);
    const path = `${V0}/runners/${b.uuid}/key`;
    const { key } = (await call("POST", path, { token: admin.token })).body;
    expect(await ask(b)).toEqual({ status: 401 });
    expect(await ask(a)).toEqual(meeting);
    expect(await ask({ ...b, key: String(key) })).toEqual({ job: gang.id });
    expect(await ask(a)).toEqual({ job: gang.id });
  });

  test("a runner is archived, or withdraws the spec: the gang does not begin without it", async ({
    expect,
  }) => {
    for (const leave of [
      (runner: TestRunner, _: TestSpec) => patch(runner, { archived: true }),
      (runner: TestRunner, { uuid }: TestSpec) =>
        call("DELETE", `${V0}/runners/${runner.uuid}/specs/${uuid}`, { token: admin.token }),
      // Elsewhere: this isolate believes for 30 s that the spec is offered.
      (_: TestRunner, { uuid }: TestSpec) =>
        db.delete(runnerSpecs).where(eq(runnerSpecs.specUuid, uuid)),
    ]) {
      const { to, spec, runners } = await fleet(3);
      const [a, b, left] = runners;
      const gang = await gangOf(spec, 3);
      await ask(a);
      await leave(left, spec);
      await ask(left);
      for (let at = 0; at < 2 * MINUTE_MS; at += 20 * S) {
        to(NEWS + at);
        await ask(left);
        for (const runner of [a, b]) expect(await ask(runner)).not.toEqual({ job: gang.id });
      }
      to(NEWS + 2 * MINUTE_MS + S);
      for (const runner of [a, b]) expect(await ask(runner)).toEqual(idle);
      expect(await jobRow(gang)).toMatchObject({ currentNodes: 0, gang: "waiting" });
    }
  });

  test("a spec is archived: nobody joins", async ({ expect }) => {
    const { to, spec, runners } = await fleet(2);
    const [a, b] = runners;
    const gang = await gangOf(spec, 2);
    await ask(a);
    const path = `${V0}/specs/${spec.uuid}`;
    await call("PATCH", path, { token: admin.token, body: { archived: true } });
    for (const at of [0, 2 * MINUTE_MS + S]) {
      to(NEWS + at);
      for (const runner of [b, a]) expect(await ask(runner)).not.toEqual({ job: gang.id });
    }
    expect((await runnerRow(b)).jobId).toBeNull();
    expect((await jobRow(gang)).gang).toBe("waiting");
  });
});

describe("races", () => {
  test("two gangs want the same runners: one has them all, the other none", async ({ expect }) => {
    const { to, spec, runners } = await fleet(4);
    const gangs = [await gangOf(spec, 3), await gangOf(spec, 3)];
    await Promise.all(runners.map((runner) => ask(runner)));
    const reserved = gangs.map(({ id }) =>
      countOf(
        runnersTable,
        and(eq(runnersTable.jobId, Number(id)), isNotNull(runnersTable.askedAt)),
      ),
    );
    expect((await Promise.all(reserved)).toSorted()).toEqual([0, 3]);
    for (let n = 1; n < 4; n++) {
      to(NEWS + n * 2 * S);
      await Promise.all(runners.map((runner) => ask(runner)));
    }
    expect((await Promise.all(gangs.map(nodesOf))).toSorted()).toEqual([0, 3]);
  });

  test("two gangs that both fit: both begin, each with its own runners", async ({ expect }) => {
    const { to, spec, runners } = await fleet(6);
    const gangs = [await gangOf(spec, 3), await gangOf(spec, 3)];
    const jobs = new Set<string>();
    for (let n = 0; n < 8; n++) {
      to(NEWS + n * 2 * S);
      for (const { job } of await Promise.all(runners.map((runner) => ask(runner))))
        if (job !== undefined) jobs.add(job);
    }
    expect(jobs).toEqual(new Set(gangs.map(({ id }) => id)));
    for (const gang of gangs) expect((await detail(gang)).body).toMatchObject({ state: "running" });
  });
});

/** Two runners of a spec, of which the first has a job. */
async function busyPair() {
  const { to, spec, runners } = await fleet(2);
  const [a, b] = runners;
  const long = await single(spec);
  expect(await ask(a)).toEqual({ job: long.id });
  await flushed(long);
  return { to, spec, a, b, long };
}

describe("a gang job that is first", () => {
  test("holds a free runner while another is busy, and begins when that is free", async ({
    expect,
  }) => {
    const { to, spec, a, b, long } = await busyPair();
    const gang = await gangOf(spec, 2);
    const younger = await single(spec);
    to(2 * NEWS);
    const cost = await costOf(async () => claim(b));
    expect(cost, "facts, and the time of holding").toMatchObject({
      d1_round_trips: 2,
      object_hops: 0,
    });
    expect((await costOf(() => claim(b))).d1_round_trips, "held").toBe(0);
    expect(await ask(b)).toEqual(idle);
    to(9 * MINUTE_MS);
    expect(await ask(b)).toEqual(idle);
    await finish(a, long);
    to(9 * MINUTE_MS + NEWS);
    expect(await ask(a)).toEqual(meeting);
    expect(await ask(b)).toEqual({ job: gang.id });
    expect(await ask(a)).toEqual({ job: gang.id });
    expect((await detail(younger)).body.state).toBe("created");
  });

  test("holds for at most 10 minutes, with all of its customer's gang jobs together", async ({
    expect,
  }) => {
    const { to, spec, b } = await busyPair();
    const user = await createPerson();
    for (let n = 0; n < 3; n++) await gangOf(spec, 2, user);
    const younger = [await single(spec), await single(spec)];
    // The long one is in contact as a node; D1 counts it as online by that.
    const begin = 2 * NEWS;
    for (const at of [0, 5 * MINUTE_MS, 10 * MINUTE_MS - 1]) {
      to(begin + at);
      expect(await ask(b)).toEqual(idle);
    }
    to(begin + 10 * MINUTE_MS);
    expect(await ask(b)).toEqual({ job: younger[0]?.id });
    await finish(b, younger[0] as TestJob);
    to(begin + 20 * MINUTE_MS - 1);
    expect(await ask(b)).toEqual({ job: younger[1]?.id });
    await finish(b, younger[1] as TestJob);
    const last = await single(spec);
    to(begin + 20 * MINUTE_MS + NEWS);
    expect(await ask(b), "its turn again").toEqual(idle);
    expect((await detail(last)).body.state).toBe("created");
  });
});

describe("a gang job that is aborted or deleted, and made again", () => {
  test("holds for the rest of the 10 minutes, and is behind for the next 10", async ({
    expect,
  }) => {
    const { to, spec, b } = await busyPair();
    const user = await createPerson();
    let gang = await gangOf(spec, 2, user);
    const begin = 2 * NEWS;
    const again = async (end: "abort" | "delete") => {
      const { token } = user;
      if (end === "abort") await call("POST", `/jobs/${gang.id}/abort`, { token });
      else await call("DELETE", "/jobs/delete", { token, body: { id: gang.id } });
      gang = await gangOf(spec, 2, user);
    };
    to(begin);
    expect(await ask(b)).toEqual(idle);
    for (const [minute, end] of [
      [4, "abort"],
      [8, "delete"],
    ] as const) {
      to(begin + minute * MINUTE_MS);
      await again(end);
      to(begin + minute * MINUTE_MS + NEWS);
      expect(await ask(b), "held by the new one").toEqual(idle);
      expect((await jobRow(gang)).heldSince, "its time is the first one's").toBe(
        (await holdBegun(spec)) ?? -1,
      );
    }
    to(begin + 10 * MINUTE_MS - 1);
    expect(await ask(b)).toEqual(idle);
    for (const [n, at] of [10 * MINUTE_MS + 2 * NEWS, 20 * MINUTE_MS - 1].entries()) {
      to(begin + at - NEWS);
      await again(n === 0 ? "delete" : "abort");
      const younger = await single(spec);
      to(begin + at);
      expect(await ask(b), "the new one is behind").toEqual({ job: younger.id });
      await finish(b, younger);
    }
    const last = await single(spec);
    to(begin + 20 * MINUTE_MS + NEWS);
    expect(await ask(b), "its turn again").toEqual(idle);
    expect((await detail(last)).body.state).toBe("created");
  });

  test("is behind for 2 minutes if its reservation was void", async ({ expect }) => {
    const { to, spec, runners } = await fleet(3);
    const [a, b] = runners;
    const user = await createPerson();
    const gang = await gangOf(spec, 3, user);
    expect(await ask(a)).toEqual(meeting);
    await call("POST", `/jobs/${gang.id}/abort`, { token: user.token });
    await gangOf(spec, 2, user);
    const other = await single(spec);
    to(NEWS + 2 * MINUTE_MS + S);
    expect(await ask(b), "though younger").toEqual({ job: other.id });
  });
});

describe("gang jobs that cannot start", () => {
  test("hide no other job of their customer, however many, nor a gang job that can", async ({
    expect,
  }) => {
    const { spec, runners } = await fleet(3);
    const [a, b, c] = runners;
    const user = await createPerson();
    const colleague = await createPerson({ customerId: user.customerId });
    // As many as offer the spec, of which some are offline; and more.
    const offline = await createRunner([spec], admin);
    for (let n = 0; n < 52; n++) await gangOf(spec, n % 2 === 0 ? 4 : 200 + n, user);
    const small = await single(spec, colleague);
    const pair = await gangOf(spec, 2, colleague);
    expect(await ask(a)).toEqual({ job: small.id });
    expect(await ask(b)).toEqual(meeting);
    expect(await ask(c)).toEqual({ job: pair.id });
    expect((await runnerRow(offline)).jobId).toBeNull();
  });
});

describe("fair share", () => {
  test("the customer whose jobs hold the fewest runners comes first, the oldest job within it", async ({
    expect,
  }) => {
    const { spec, runners } = await fleet(4);
    const [first, second] = [await createPerson(), await createPerson()];
    const own = [await single(spec, first), await single(spec, first), await single(spec, first)];
    const other = [await single(spec, second), await single(spec, second)];
    const order = [];
    for (const runner of runners) order.push((await ask(runner)).job);
    expect(order).toEqual([own[0]?.id, other[0]?.id, own[1]?.id, other[1]?.id]);
  });

  test("runners that another isolate gave away count, those of other specs do not", async ({
    expect,
  }) => {
    const { to, spec, runners } = await fleet(2);
    const [a, b] = runners;
    const elsewhere = await fleet(1);
    to(NEWS);
    const [first, second] = [await createPerson(), await createPerson()];
    const wide = await createJob({ spec: spec.uuid, node_count: 2 }, first);
    expect(await ask(a)).toEqual({ job: wide.id });
    const far = await single(elsewhere.spec, second);
    expect(await ask(elsewhere.runners[0])).toEqual({ job: far.id });
    const other = await single(spec, second);
    to(2 * NEWS);
    expect(await ask(b)).toEqual({ job: other.id });
  });

  test("jobs that a runner has ended its part of hide no later ones, however many", async ({
    expect,
  }) => {
    const { to, spec, runners } = await fleet(1);
    const [a] = runners;
    const owner = await createPerson();
    for (let n = 0; n < 50; n++) await createJob({ spec: spec.uuid, node_count: 2 }, owner);
    const last = await single(spec, owner);
    for (let n = 0; n < 50; n++) {
      to((n + 1) * NEWS);
      const own = claimedBy(await claim(a));
      expect(own.id).not.toBe(last.id);
      await putResult(own, own.task.id, 0);
    }
    to(52 * NEWS);
    expect(await ask(a)).toEqual({ job: last.id });
  });
});

describe("a runner at a barrier", () => {
  test("gives up after 10 minutes without news of the others, and takes the next job", async ({
    expect,
  }) => {
    const { to, spec, runners } = await fleet(2);
    const [a, b] = runners;
    const gang = await gangOf(spec, 2);
    for (const runner of [a, b]) await ask(runner);
    const waiting = claimedBy(await claim(a));
    const other = claimedBy(await claim(b));
    await putResult(waiting, waiting.task.id, 0);
    const beat = (own: typeof waiting, body: Record<string, unknown>) =>
      heartbeat(own, own.task.id, body);
    // The other one is in contact; its last progress is at minute 4.
    const last = NEWS + 4 * MINUTE_MS;
    for (let minute = 0; minute <= 14; minute++) {
      to(NEWS + minute * MINUTE_MS - (minute === 14 ? 1 : 0));
      // Starting again, or a new message, is no progress.
      const progress = minute <= 4 ? minute / 10 : (minute % 4) / 10 + 0.109;
      await beat(other, { progress, message: `${minute}` });
      await poll(other, other.task.id);
      // A waiting node may say what it likes: that is no progress.
      await beat(waiting, { progress: minute / 20, message: `waiting ${minute}` });
      await runDurableObjectAlarm(coordinatorOf(gang));
      expect((await poll(waiting, waiting.task.id)).body.directive).toBe("wait");
    }
    const next = await single(spec);
    to(last + 10 * MINUTE_MS);
    await runDurableObjectAlarm(coordinatorOf(gang));
    const view = (await poll(waiting, waiting.task.id)).body;
    expect(view).toMatchObject({
      directive: "stop",
      task: {
        state: "failed",
        failed_message:
          "waited at cluster_network for 10 minutes without progress of any other node",
      },
    });
    await flushed(gang);
    to(last + 10 * MINUTE_MS + NEWS);
    expect(await ask(a)).toEqual({ job: next.id });
    await putResult(other, other.task.id, 0);
    expect((await detail(gang)).body.state).toBe("completed_with_warnings");
  });

  test("machines with a job's own token wait as long as they like", async ({ expect }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const { body } = await call("POST", "/jobs/current/tasks", {
      token: job.token,
      body: { machine_uuid: crypto.randomUUID() },
    });
    await putResult(job, String(body.id), 0);
    for (let minute = 1; minute < 40; minute++) {
      time.to(start + minute * MINUTE_MS);
      expect((await poll(job, String(body.id))).body.directive).toBe("wait");
      await runDurableObjectAlarm(coordinatorOf(job));
    }
  });
});
