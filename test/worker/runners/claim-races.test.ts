/** Claims that meet others, or break off: never two tasks for one runner, never one place for two. */
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { describe, test, vi } from "vitest";
import { runners as runnersTable } from "../../../src/db/schema.ts";
import { claimRoute } from "../../../src/runners/claim-contract.ts";
import { call, claim, detail, expectContract, expectError, poll, V0 } from "../harness/client.ts";
import {
  createRunner,
  type TestJob,
  type TestRunner,
  type TestSpec,
} from "../harness/factories.ts";
import { flushed, travel } from "../harness/instruments.ts";
import { countOf, reserve, runnerRow, setRunner } from "../harness/rows.ts";
import { eventually } from "../harness/time.ts";
import { admin, jobFor, later, one, shop, takePlace } from "./shop.ts";

describe("too many joins of a job", () => {
  async function stormed() {
    const { spec, runners } = await shop(2);
    const job = await jobFor(spec, { node_count: 3 });
    const next = await jobFor(spec);
    const storm = async () => {
      // Joins are counted anew every minute.
      travel().to(Date.now());
      const uuid = crypto.randomUUID();
      for (let n = 0; n < 600; n++) await takePlace(job, uuid);
    };
    return { runners: runners as [TestRunner, TestRunner], job, next, storm };
  }

  test("a runner with a task there waits for it, and takes no other", async ({ expect }) => {
    const { runners, job, storm } = await stormed();
    const { task } = (await claim(runners[0])).body;
    await storm();
    const reply = await claim(runners[0]);
    expectError(expect, reply, 503, "SERVICE_UNAVAILABLE");
    expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(2);
    expect(await runnerRow(runners[0])).toMatchObject({
      jobId: Number(job.id),
      taskId: Number(task.id),
    });
  });

  test("a runner without one looks elsewhere", async ({ expect }) => {
    const { runners, next, storm } = await stormed();
    await storm();
    expect((await claim(runners[1])).body.job_id).toBe(next.id);
  });
});

describe("races", () => {
  test("50 runners, 4 places: four tasks, 46 times null, nobody twice", async ({ expect }) => {
    const { spec, runners } = await shop(50);
    const job = await jobFor(spec, { node_count: 4 });
    const replies = await Promise.all(runners.map((runner) => claim(runner)));
    for (const reply of replies) expectContract(expect, reply, claimRoute, 200);
    const tasks = replies.flatMap(({ body }) => (body === null ? [] : [body.task.id]));
    expect(new Set(tasks).size).toBe(4);
    expect(tasks).toHaveLength(4);
    expect(replies.filter(({ text }) => text === "null")).toHaveLength(46);
    expect((await detail(job)).body).toMatchObject({ current_nodes: 4, state: "running" });
    await flushed(job);
    const reserved = await countOf(runnersTable, eq(runnersTable.jobId, Number(job.id)));
    expect(reserved, "nobody else holds a reservation").toBe(4);
  });

  test("30 runners, 5 jobs of 4 places: 20 tasks, each job full", async ({ expect }) => {
    const { spec, runners } = await shop(30);
    const jobs: TestJob[] = [];
    for (let n = 0; n < 5; n++) jobs.push(await jobFor(spec, { node_count: 4 }));
    const replies = await Promise.all(runners.map((runner) => claim(runner)));
    const machines = replies.flatMap(({ body }) => (body === null ? [] : [body.task.id]));
    expect(new Set(machines).size).toBe(20);
    for (const job of jobs) expect((await detail(job)).body.current_nodes).toBe(4);
  });
});

describe("claims that broke off", () => {
  test("reserved, but not joined: the next claim joins", async ({ expect }) => {
    const { spec, runner } = await one();
    await jobFor(spec);
    const newer = await jobFor(spec);
    await reserve(runner, newer);
    const reply = await claim(runner);
    expect(reply.body.job_id, "its own before older ones").toBe(newer.id);
    expect(reply.headers.get("claim-repeated")).toBeNull();
  });

  test("reserved, and the job has filled up meanwhile: it goes on to another", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    const [full, other] = [await jobFor(spec), await jobFor(spec)];
    await takePlace(full);
    await reserve(runner, full);
    expect((await claim(runner)).body.job_id).toBe(other.id);
  });

  test("joined, but the reply was lost: the same task again", async ({ expect }) => {
    const { spec, runner } = await one();
    const job = await jobFor(spec, { node_count: 2 });
    await reserve(runner, job);
    const id = await takePlace(job, runner.uuid);
    const reply = await claim(runner);
    expect(reply.body.task.id).toBe(id);
    expect(reply.headers.get("claim-repeated")).toBe("true");
    expect((await detail(job)).body.current_nodes).toBe(1);
  });

  test("refused, but not let go: the next claim lets go", async ({ expect }) => {
    const { spec, runner } = await one();
    const full = await jobFor(spec);
    await takePlace(full);
    await reserve(runner, full);
    expect((await claim(runner)).text).toBe("null");
    expect((await runnerRow(runner)).jobId).toBeNull();
  });

  test("reserved, not joined, and the spec withdrawn or archived since: it is let go", async ({
    expect,
  }) => {
    for (const [method, pathOf, body] of [
      [
        "DELETE",
        (runner: TestRunner, spec: TestSpec) => `/runners/${runner.uuid}/specs/${spec.uuid}`,
      ],
      ["PATCH", (_: TestRunner, spec: TestSpec) => `/specs/${spec.uuid}`, { archived: true }],
    ] as const) {
      const { spec, runner } = await one();
      const job = await jobFor(spec);
      await setRunner(runner, { jobId: Number(job.id), claimedAt: Date.now() - 30_000 });
      await call(method, V0 + pathOf(runner, spec), { token: admin.token, ...(body && { body }) });
      expect((await claim(runner)).text).toBe("null");
      expect((await runnerRow(runner)).jobId).toBeNull();
      expect((await poll(job)).body.current_nodes).toBe(0);
    }
  });

  test("a task that D1 has not heard of yet is not let go with its spec", async ({ expect }) => {
    const { spec, runner } = await one();
    await jobFor(spec);
    const { task } = (await claim(runner)).body;
    await eventually(async () => expect((await runnerRow(runner)).taskId).toBe(Number(task.id)));
    await setRunner(runner, { taskId: null });
    const path = `${V0}/runners/${runner.uuid}/specs/${spec.uuid}`;
    await call("DELETE", path, { token: admin.token });
    expect((await claim(runner)).body.task.id).toBe(task.id);
  });

  test("a job that is gone from D1 holds nobody", async ({ expect }) => {
    const { spec, runner } = await one();
    await setRunner(runner, { jobId: 512 });
    expect((await claim(runner)).text).toBe("null");
    await later(4_000, async () => {
      const job = await jobFor(spec);
      expect((await claim(runner)).body.job_id).toBe(job.id);
    });
  });

  test("the object cannot be reached: 503, and the reservation waits", async ({ expect }) => {
    const { spec, runner } = await one();
    const job = await jobFor(spec);
    const get = vi.spyOn(env.COORDINATOR, "get").mockImplementation(() => {
      throw new Error("no route to the object");
    });
    try {
      expectError(expect, await claim(runner), 503, "SERVICE_UNAVAILABLE");
    } finally {
      get.mockRestore();
    }
    expect((await runnerRow(runner)).jobId).toBe(Number(job.id));
    expect((await claim(runner)).body.job_id).toBe(job.id);
  });

  test("one job that cannot be reached holds up neither the others for long nor its spec", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    const other = await createRunner([spec]);
    const dead = await jobFor(spec);
    const open = await jobFor(spec, { node_count: 2 });
    const real = env.COORDINATOR.get.bind(env.COORDINATOR);
    const get = vi.spyOn(env.COORDINATOR, "get").mockImplementation((id, options) => {
      if (id.name === dead.id) throw new Error("no route to the object");
      return real(id, options);
    });
    try {
      expectError(expect, await claim(runner), 503, "SERVICE_UNAVAILABLE");
      expect((await claim(other)).body.job_id).toBe(open.id);
      expectError(expect, await claim(runner), 503, "SERVICE_UNAVAILABLE");
      await later(5 * 60_000, async () => {
        expect((await claim(runner)).body.job_id).toBe(open.id);
      });
    } finally {
      get.mockRestore();
    }
  });
});
