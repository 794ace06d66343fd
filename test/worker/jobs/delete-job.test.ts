/** Deleting a job: who may, when, what is left of it, and who wins a race. */
import { evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { deleteJobRoute } from "../../../src/jobs/contract.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import {
  API,
  appDeps,
  call,
  detail,
  expectContract,
  expectError,
  join,
  poll,
  putResult,
} from "../harness/client.ts";
import { createJob, createPerson, type TestJob } from "../harness/factories.ts";
import { coordinatorOf, costOf, flushed, reported } from "../harness/instruments.ts";
import { auditOf, jobCountsOf } from "../harness/rows.ts";

function remove(job: Pick<TestJob, "id">, token: string, body: unknown = { id: job.id }) {
  return call("DELETE", "/jobs/delete", { token, body });
}
const removeOwn = (job: TestJob) => remove(job, job.owner.token);
const abort = (job: TestJob) => call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
const total = async (token: string) =>
  (await call("GET", "/jobs", { token })).body.pagination.total;

/** A job with one node that has measured everything. */
async function completedJob(name: string | null = null): Promise<TestJob & { taskId: string }> {
  const job = await createJob({ name });
  const taskId = (await join(job)).body.id;
  await putResult(job, taskId, 0);
  return { ...job, taskId };
}

/** D1, which runs a function before the first batch that deletes a job. */
function beforeDeleting(act: () => Promise<unknown>): D1Database {
  const session = env.DB.withSession("first-primary");
  let state: "before" | "now" | "after" = "before";
  const watched = {
    prepare: (query: string) => {
      if (state === "before" && /^update "jobs" set "deleted_at"/.test(query)) state = "now";
      return session.prepare(query);
    },
    batch: async (statements: D1PreparedStatement[]) => {
      if (state === "now") {
        state = "after";
        await act();
      }
      return session.batch(statements);
    },
    getBookmark: () => session.getBookmark(),
  };
  // The part of a D1 database that the database handle uses.
  const { prepare, batch } = env.DB;
  const d1 = {
    prepare: prepare.bind(env.DB),
    batch: batch.bind(env.DB),
    withSession: () => watched,
  };
  return d1 as unknown as D1Database;
}

async function counted(job: TestJob): Promise<number[]> {
  const scopes = [
    `customer:${job.owner.customerId}`,
    `user:${job.owner.id}:${job.owner.customerId}`,
  ];
  return Promise.all(
    scopes.map(async (scope) => {
      const counts = (await jobCountsOf(scope)).map(({ jobs }) => jobs);
      if (counts.some((count) => count < 0)) throw new Error(`${scope} counts below nothing`);
      return counts.reduce((sum, count) => sum + count, 0);
    }),
  );
}

describe("what is left of a deleted job", () => {
  test("nothing, in any read; its name is free; deleting it again is 404", async ({ expect }) => {
    const job = await createJob({ name: "Once" });
    const other = await createJob({}, job.owner);
    const reply = await removeOwn(job);
    expectContract(expect, reply, deleteJobRoute, 200);
    expect(reply.body).toEqual({ message: "Job deleted successfully", requires_agent_stop: false });
    const { token } = job.owner;
    for (const path of ["", "/results"]) {
      expect((await call("GET", `/jobs/${job.id}${path}`, { token })).status, path).toBe(404);
    }
    expectError(expect, await abort(job), 404, "RESOURCE_NOT_FOUND");
    const list = (await call("GET", "/jobs", { token })).body;
    expect(list.results.map(({ id }: { id: string }) => id)).toEqual([other.id]);
    expect(list.pagination.total).toBe(1);
    expectError(
      expect,
      await removeOwn(job),
      404,
      "RESOURCE_NOT_FOUND",
      `Job with id ${job.id} not found`,
    );
    expect((await createJob({ name: "Once" }, job.owner)).id).not.toBe(job.id);
  });

  test("counter rows follow, also when the end of the job reaches D1 after its deletion", async ({
    expect,
  }) => {
    const job = await completedJob();
    expect(await counted(job)).toEqual([1, 1]);
    expect((await removeOwn(job)).status).toBe(200);
    await flushed(job);
    expect(await counted(job)).toEqual([0, 0]);
    const aborted = await createJob({}, job.owner);
    await abort(aborted);
    expect(await counted(job)).toEqual([1, 1]);
    await removeOwn(aborted);
    expect(await counted(job)).toEqual([0, 0]);
  });

  test("its trace in the audit log: one event, of the customer", async ({ expect }) => {
    for (const job of [await createJob(), await completedJob()]) {
      await removeOwn(job);
      await removeOwn(job);
      expect(await auditOf(job.id)).toMatchObject([
        {
          action: "job_deleted",
          actor_kind: "user",
          actor: job.owner.uuid,
          subject_kind: "job",
          customer_id: job.owner.customerId,
        },
      ]);
    }
  });
});

describe("when", () => {
  test.for(["created", "created, and asked after", "aborted", "completed", "failed"])(
    "%s: yes",
    async (state, { expect }) => {
      const job = await createJob();
      if (state === "created, and asked after") await poll(job);
      if (state === "aborted") await abort(job);
      if (state === "completed") await putResult(job, (await join(job)).body.id, 0);
      if (state === "failed") {
        const taskId = (await join(job)).body.id;
        const body = { state: "failed", failed_message: "no GPU" };
        await call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body });
      }
      expect((await removeOwn(job)).status).toBe(200);
      expect((await detail(job)).status).toBe(404);
      expectError(expect, await join(job), 409, "JOB_ENDED");
      expect((await poll(job)).body.directive).toBe("stop");
    },
  );

  test.for([1, 2])(
    "with nodes at work, %i of 2 joined: JOB_STATE_INVALID",
    async (nodes, { expect }) => {
      const job = await createJob({ node_count: 2 });
      const taskIds: string[] = [];
      for (let node = 0; node < nodes; node++) taskIds.push((await join(job)).body.id);
      const message = "The job is in progress and cannot be deleted; abort it first";
      expectError(expect, await removeOwn(job), 400, "JOB_STATE_INVALID", message);
      expect((await detail(job)).body.state).toBe(nodes === 1 ? "starting" : "running");
      expect((await poll(job, taskIds[0])).body.directive).toBe("run");
      expect(await auditOf(job.id)).toEqual([]);
      await abort(job);
      expect((await removeOwn(job)).status, "after its abort").toBe(200);
    },
  );
});

describe("requires_agent_stop", () => {
  test("until the node has been told to stop, or out of contact for 150 s", async ({ expect }) => {
    const stop = async (job: TestJob) => (await removeOwn(job)).body.requires_agent_stop;
    const untold = await completedJob();
    expect(await stop(untold)).toBe(true);
    expect((await poll(untold, untold.taskId)).body.directive).toBe("stop");

    const told = await completedJob();
    await poll(told, told.taskId);
    await evictDurableObject(coordinatorOf(told));
    expect(await stop(told), "by a poll, which the object remembers").toBe(false);

    const refused = await createJob({ node_count: 2 });
    const taskId = (await join(refused)).body.id;
    await abort(refused);
    const beat = { token: refused.token, body: { progress: 0.5 } };
    expect((await call("PATCH", `/jobs/current/tasks/${taskId}`, beat)).status).toBe(409);
    expect(await stop(refused), "by a refusal").toBe(false);

    for (const [ms, expected] of [
      [149_999, true],
      [150_000, false],
    ] as const) {
      const clock = vi.spyOn(systemClock, "now");
      onTestFinished(() => clock.mockRestore());
      const start = Date.now();
      clock.mockReturnValue(start);
      const silent = await completedJob();
      clock.mockReturnValue(start + ms);
      expect(await stop(silent), `${ms} ms`).toBe(expected);
      clock.mockRestore();
    }
  });
});

describe("who", () => {
  test("the customer's people who see it; staff see it, but 403; others 404; and nothing changes", async ({
    expect,
  }) => {
    const job = await createJob();
    const { customerId } = job.owner;
    const knocking = [
      [await createPerson({ role: "staff" }), 403],
      [await createPerson({ role: "root_admin" }), 403],
      [await createPerson(), 404],
      [await createPerson({ role: "customer_admin" }), 404],
      [await createPerson({ customerId }), 404],
    ] as const;
    for (const [person, status] of knocking) {
      const code = status === 403 ? "PERMISSION_DENIED" : "RESOURCE_NOT_FOUND";
      expectError(expect, await remove(job, person.token), status, code);
    }
    expect((await detail(job)).body.state).toBe("created");
    expect(await auditOf(job.id)).toEqual([]);
    const admin = await createPerson({ customerId, role: "customer_admin" });
    expect((await remove(job, admin.token)).status).toBe(200);
  });

  test("an id is digits or a number; anything else is 400 and names the field", async ({
    expect,
  }) => {
    const job = await createJob();
    const { token } = job.owner;
    const bad = [
      {},
      { id: null },
      { id: 0 },
      { id: "0" },
      { id: -1 },
      { id: 1.5 },
      { id: "x" },
      { id: [job.id] },
    ];
    for (const body of [...bad, { id: "9007199254740992" }, { id: 2 ** 53 }, { id: true }]) {
      const reply = await remove(job, token, body);
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
      expect(reply.body.message).toMatch(/^id must be (a job's id: a whole|between 1 and|at most)/);
      expect(reply.body.error.details[0].field).toBe("id");
    }
    const unknown = await remove(job, token, { id: "9007199254740991" });
    expectError(expect, unknown, 404, "RESOURCE_NOT_FOUND");
    expect((await remove(job, token, { id: Number(job.id) })).status).toBe(200);
  });
});

describe("If-Match", () => {
  const ways = [
    [
      "DELETE /jobs/delete",
      (job: TestJob, tag: string, token = job.owner.token) =>
        call("DELETE", "/jobs/delete", {
          token,
          body: { id: job.id },
          headers: { "if-match": tag },
        }),
    ],
    [
      "DELETE /jobs/{job_id}",
      (job: TestJob, tag: string, token = job.owner.token) =>
        call("DELETE", `/jobs/${job.id}`, { token, headers: { "if-match": tag } }),
    ],
  ] as const;
  const tagOf = async (job: TestJob) => (await detail(job)).headers.get("etag") ?? "";
  const asked = async () => {
    const job = await createJob();
    await poll(job);
    await flushed(job);
    return job;
  };
  const ended = async () => {
    const job = await completedJob();
    await reported(job);
    return job;
  };
  const kinds = [createJob, asked, ended];

  test.for(ways)("%s: only the version that it names", async ([, removeAs], { expect }) => {
    for (const make of kinds) {
      const job = await make();
      const tag = await tagOf(job);
      for (const other of [
        '"other"',
        "nonsense",
        `"other", W/${tag.replace(/\.\d+\./, ".999.")}`,
      ]) {
        const message = "The job has changed since the version you name; read it again";
        expectError(expect, await removeAs(job, other), 412, "PRECONDITION_FAILED", message);
      }
      expect(await tagOf(job)).toBe(tag);
      expect(await auditOf(job.id)).toEqual([]);
      const deleted = await removeAs(job, `"other", W/${tag}`);
      expect(deleted.body).toMatchObject({ message: "Job deleted successfully" });
      expectError(expect, await removeAs(job, tag), 404, "RESOURCE_NOT_FOUND");
      expect(await auditOf(job.id)).toHaveLength(1);
      expect((await removeAs(await make(), "*")).status).toBe(200);
    }
  });

  test.for(ways)("%s: after who may, before the job's state", async ([, removeAs], { expect }) => {
    const job = await createJob({ node_count: 2 });
    const before = await tagOf(job);
    await join(job);
    expectError(expect, await removeAs(job, before), 412, "PRECONDITION_FAILED");
    expectError(expect, await removeAs(job, await tagOf(job)), 400, "JOB_STATE_INVALID");
    const staff = await createPerson({ role: "staff" });
    expectError(expect, await removeAs(job, before, staff.token), 403, "PERMISSION_DENIED");
    const stranger = await createPerson();
    expectError(expect, await removeAs(job, before, stranger.token), 404, "RESOURCE_NOT_FOUND");
  });

  test("a job that changes between the test and the deletion is not deleted", async ({
    expect,
  }) => {
    const changes: [() => Promise<TestJob>, (job: TestJob) => Promise<unknown>][] = [
      [createJob, abort],
      [createJob, join],
      [asked, abort],
    ];
    for (const [at, [make, change]] of changes.entries()) {
      const job = await make();
      const tag = await tagOf(job);
      const app = await createApp(appDeps({ d1: beforeDeleting(() => change(job)) }));
      const reply = await app.request(`${API}/jobs/${job.id}`, {
        method: "DELETE",
        headers: { authorization: `Bearer ${job.owner.token}`, "if-match": tag },
      });
      expect(reply.status, `change ${at}: ${await reply.text()}`).toBe(412);
      expect((await detail(job)).status).toBe(200);
      expect(await auditOf(job.id)).toEqual([]);
    }
  });

  test("costs what the detail costs, more", async ({ expect }) => {
    const created = await createJob();
    const tag = await tagOf(created);
    expect(await costOf(() => ways[1][1](created, tag))).toMatchObject({
      route: "/api/silicon-mark/v1/jobs/:job_id",
      status: 200,
      d1_round_trips: 2,
      object_hops: 0,
    });
    const contacted = await asked();
    const live = await tagOf(contacted);
    expect(await costOf(() => ways[0][1](contacted, live))).toMatchObject({
      status: 200,
      d1_round_trips: 3,
      object_hops: 2,
    });
    const settled = await ended();
    const last = await tagOf(settled);
    expect(await costOf(() => ways[0][1](settled, last))).toMatchObject({
      status: 200,
      d1_round_trips: 3,
      object_hops: 1,
    });
    const kept = await createJob();
    expect(await costOf(() => ways[0][1](kept, "*"))).toMatchObject({ d1_round_trips: 1 });
  });
});

describe("races", () => {
  test("deletion and the first join: exactly one wins", async ({ expect }) => {
    const won = { deletion: 0, join: 0 };
    for (let round = 0; round < 20; round++) {
      const job = await createJob();
      const calls = [removeOwn(job), join(job)] as const;
      const [deleted, joined] = await Promise.all(calls);
      const deletion = deleted.status === 200;
      expect([deleted.status, joined.status]).toEqual(deletion ? [200, 409] : [400, 201]);
      won[deletion ? "deletion" : "join"]++;
      expect((await detail(job)).status).toBe(deletion ? 404 : 200);
    }
    expect(won.deletion + won.join).toBe(20);
  });

  test("two deletions: one succeeds, the other finds nothing; one trace", async ({ expect }) => {
    for (const make of [createJob, completedJob]) {
      const job = await make();
      const replies = await Promise.all([removeOwn(job), removeOwn(job)]);
      expect(replies.map(({ status }) => status).sort()).toEqual([200, 404]);
      expect(await auditOf(job.id)).toHaveLength(1);
    }
  });

  test("an answer that got lost: the object is asked again, and D1 follows", async ({ expect }) => {
    const job = await createJob();
    await poll(job);
    expect(await coordinatorOf(job).prepareDeletion(Number(job.id))).toEqual({
      ok: true,
      requiresAgentStop: false,
    });
    expect((await removeOwn(job)).status).toBe(200);
    expect(await total(job.owner.token)).toBe(0);
  });
});

test("costs: one round trip where D1 owns the job, else two and one hop", async ({ expect }) => {
  const job = await createJob();
  await detail(job);
  expect(await costOf(() => removeOwn(job))).toMatchObject({
    route: "/api/silicon-mark/v1/jobs/delete",
    status: 200,
    d1_round_trips: 1,
    object_hops: 0,
  });
  const ended = await completedJob();
  await detail(ended);
  expect(await costOf(() => removeOwn(ended))).toMatchObject({
    status: 200,
    d1_round_trips: 2,
    object_hops: 1,
  });
  const missing = await costOf(() => removeOwn(ended));
  expect(missing).toMatchObject({ status: 404, d1_round_trips: 1, object_hops: 0 });
});
