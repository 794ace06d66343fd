/** Claims: what a runner gets, who may claim, and what a claim says of the runner. */
import { eq } from "drizzle-orm";
import { describe, test, vi } from "vitest";
import { jobs as jobsTable, runnerSpecs } from "../../../src/db/schema.ts";
import { DAY_MS, HOUR_MS, systemClock } from "../../../src/lib/clock.ts";
import { claimRoute } from "../../../src/runners/claim-contract.ts";
import {
  call,
  claim,
  claimedBy,
  detail,
  expectContract,
  expectError,
  poll,
  putResult,
  V0,
} from "../harness/client.ts";
import {
  createJob,
  createRunner,
  createSpec,
  type TestRunner,
  type TestSpec,
} from "../harness/factories.ts";
import { costOf, flushed } from "../harness/instruments.ts";
import {
  db,
  insertRows,
  jobValues,
  runnerRow,
  setRunner,
  setTask,
  times,
} from "../harness/rows.ts";
import { admin, jobFor, later, one, patch, shop, takePlace, view } from "./shop.ts";

describe("a claim", () => {
  test("makes the runner a node of the job, with the job's own token", async ({ expect }) => {
    const { spec, runner } = await one();
    const job = await jobFor(spec, { node_count: 2 });
    const machine = {
      machine_ip: "10.0.0.4",
      cluster_address: "10.0.0.4:7117",
      cluster_addresses: ["10.0.0.4:7117", "[fd00::4]:7117"],
      gpu_model: "NVIDIA H100 NVL",
      gpu_count: 2,
      inventory: { rack: 7 },
    };
    const reply = await claim(runner, machine);
    expectContract(expect, reply, claimRoute, 200);
    expect(reply.body).toMatchObject({ job_id: job.id, token: job.token });
    expect(reply.headers.get("claim-repeated")).toBeNull();
    const { task } = reply.body;
    expect(task).toMatchObject({
      job_id: job.id,
      rank: 0,
      machine_uuid: runner.uuid,
      machine_ip: "10.0.0.4",
      gpu_model: "NVIDIA H100 NVL",
      gpu_count: 2,
    });
    expect((await poll(claimedBy(reply), task.id)).body.directive).toBe("run");
    expect((await detail(job)).body).toMatchObject({ state: "starting", current_nodes: 1 });
  });

  test("without a job: null, and when to ask again, with jitter", async ({ expect }) => {
    const { runner } = await one();
    const waits = new Set<number>();
    for (let n = 0; n < 30; n++) {
      const reply = await claim(runner);
      expectContract(expect, reply, claimRoute, 200);
      expect(reply.text).toBe("null");
      waits.add(Number(reply.headers.get("retry-after")));
    }
    expect(waits.size).toBeGreaterThan(2);
    for (const wait of waits) {
      expect(wait).toBeGreaterThanOrEqual(5);
      expect(wait).toBeLessThanOrEqual(10);
    }
  });

  test("a runner that offers nothing gets nothing, at no cost in D1", async ({ expect }) => {
    const runner = await createRunner([], admin);
    await claim(runner);
    const cost = await costOf(() => claim(runner));
    expect(cost).toMatchObject({ status: 200, d1_round_trips: 0, object_hops: 0 });
  });

  test("the oldest job first, of whichever spec; others only once it is full", async ({
    expect,
  }) => {
    const [first, second] = [await createSpec({}, admin), await createSpec({}, admin)];
    const oldest = await jobFor(second, { node_count: 2 });
    const middle = await jobFor(first);
    const newest = await jobFor(second);
    const claimed = [];
    for (let n = 0; n < 5; n++) {
      const runner = await createRunner([first, second], admin);
      claimed.push((await claim(runner)).body?.job_id ?? null);
    }
    expect(claimed).toEqual([oldest.id, oldest.id, middle.id, newest.id, null]);
  });

  test("jobs of other specs, without a spec, ended or deleted are not for it", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    await createJob({}, admin);
    await jobFor(await createSpec({}, admin));
    const aborted = await jobFor(spec);
    await call("POST", `/jobs/${aborted.id}/abort`, { token: admin.token });
    const full = await jobFor(spec);
    await takePlace(full);
    expect((await claim(runner)).text).toBe("null");
  });

  test("jobs whose time is over hide none, however many nobody has settled", async ({ expect }) => {
    const { spec, runner } = await one();
    const anHourAgo = Date.now() - HOUR_MS;
    const over = times(150, (number) =>
      jobValues(admin, {
        id: -1 - number,
        createdAt: anHourAgo - DAY_MS - number,
        expiresAt: anHourAgo - number,
        specUuid: spec.uuid,
      }),
    );
    await insertRows(jobsTable, over);
    const job = await jobFor(spec);
    expect((await claim(runner)).body.job_id).toBe(job.id);
  });

  test("a bad body is refused, an empty one is none", async ({ expect }) => {
    const { runner } = await one();
    const path = `${V0}/runners/${runner.uuid}/jobs`;
    const send = (options: object) => call("POST", path, { token: runner.key, ...options });
    expectError(expect, await send({ body: { gpu_count: -1 } }), 400, "PARAMETER_INCORRECT_VALUE");
    expectError(expect, await send({ body: "{" }), 400, "PARAMETER_INCORRECT_VALUE");
    const text = { body: "x", headers: { "content-type": "text/plain" } };
    expectError(expect, await send(text), 415, "UNSUPPORTED_MEDIA_TYPE");
    const long = { body: { inventory: { x: "y".repeat(300_000) } } };
    expectError(expect, await send(long), 413, "REQUEST_TOO_LARGE");
    for (const headers of [{}, { "content-type": "application/json" }, { "content-type": "x/y" }]) {
      expect((await send({ headers })).status).toBe(200);
    }
    expect((await send({ body: {} })).status).toBe(200);
  });
});

describe("one key, one task", () => {
  test("a second process gets the same task, and is told so", async ({ expect }) => {
    const { spec, runner } = await one();
    const job = await jobFor(spec, { node_count: 4 });
    const first = await claim(runner);
    const second = await claim(runner);
    expect(second.body).toMatchObject({ job_id: job.id, task: { id: first.body.task.id } });
    expect(second.headers.get("claim-repeated")).toBe("true");
    expect((await detail(job)).body.current_nodes).toBe(1);
  });

  test("ten processes at once hold one task together, however many jobs there are", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    for (let n = 0; n < 3; n++) await jobFor(spec, { node_count: 4 });
    const replies = await Promise.all(Array.from({ length: 10 }, () => claim(runner)));
    expect(new Set(replies.map(({ body }) => body.task.id)).size).toBe(1);
    const news = replies.filter(({ headers }) => headers.get("claim-repeated") === null);
    expect(news).toHaveLength(1);
  });

  test("when its task has ended it gets the next job, also while the first one goes on", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    const [wide, next] = [await jobFor(spec, { node_count: 3 }), await jobFor(spec)];
    const own = claimedBy(await claim(runner));
    await poll(own, own.task.id);
    await putResult(own, own.task.id, 0);
    expect((await claim(runner)).body.job_id).toBe(next.id);
    await flushed(wide);
    expect((await detail(wide)).body).toMatchObject({ state: "starting", current_nodes: 1 });
  });

  test("a job that it has ended its part of is not tried again at every poll", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    await jobFor(spec, { node_count: 3 });
    const own = claimedBy(await claim(runner));
    await putResult(own, own.task.id, 0);
    expect((await claim(runner)).text).toBe("null");
    const cost = await costOf(() => claim(runner));
    expect(cost).toMatchObject({ d1_round_trips: 0, object_hops: 0 });
    expect(await runnerRow(runner)).toMatchObject({ jobId: null, taskId: null });
  });

  test("once the job is aborted it is free for the next", async ({ expect }) => {
    const { spec, runner } = await one();
    const [first, next] = [await jobFor(spec), await jobFor(spec)];
    await claim(runner);
    await call("POST", `/jobs/${first.id}/abort`, { token: admin.token });
    expect((await claim(runner)).body.job_id).toBe(next.id);
  });
});

describe("who may claim", () => {
  test("a wrong key, another runner's, one of no runner, and none: the same 401", async ({
    expect,
  }) => {
    const { spec, runners } = await shop(2);
    const [own, other] = runners as [TestRunner, TestRunner];
    await jobFor(spec, { node_count: 3 });
    const wrong = `assay_runner_${"x".repeat(30)}`;
    const attempts = [
      await claim({ uuid: own.uuid, key: wrong }),
      await claim({ uuid: own.uuid, key: other.key }),
      await claim({ uuid: "no-such-runner", key: own.key }),
      await claim({ uuid: crypto.randomUUID(), key: own.key }),
      await claim({ uuid: own.uuid, key: `${own.key}x` }),
      await claim({ uuid: own.uuid, key: own.key.slice(0, -1) }),
      await claim({ uuid: "not a slug", key: own.key }),
      await claim({ uuid: own.uuid, key: admin.token }),
    ];
    for (const reply of attempts) {
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID", "Invalid or expired runner key");
      expect(reply.headers.get("www-authenticate")).toBe("Bearer");
    }
    const none = await call("POST", `${V0}/runners/${own.uuid}/jobs`);
    expectError(expect, none, 401, "CLIENT_TOKEN_INVALID");
  });

  test("UUID in any spelling or slug, whichever the runner has", async ({ expect }) => {
    const { runner } = await one();
    for (const uuid of [runner.slug, runner.uuid.toUpperCase(), runner.uuid.replaceAll("-", "")]) {
      expect((await claim({ uuid, key: runner.key })).status).toBe(200);
    }
  });

  test("a runner's key opens nothing else", async ({ expect }) => {
    const { runner } = await one();
    for (const path of [`${V0}/runners`, `${V0}/runners/${runner.uuid}`, "/jobs", "/jobs/current"])
      expect((await call("GET", path, { token: runner.key })).status).toBe(401);
  });

  test("the old key after a rotation: never a job, and within 30 s nothing at all", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    await claim(runner);
    // Rotated elsewhere: this isolate has seen the old key and does not hear of it.
    await setRunner(runner, { keyHash: "x" });
    expect((await claim(runner)).status, "idle, it still believes").toBe(200);
    await later(4_000, async () => {
      await jobFor(spec);
      const reply = await claim(runner);
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID", "Invalid or expired runner key");
    });
    expect((await claim(runner)).status, "and remembers").toBe(401);
  });

  test("an idle runner's old key is dead 30 s later", async ({ expect }) => {
    const { runner } = await one();
    await claim(runner);
    await setRunner(runner, { keyHash: "x" });
    await later(29_000, async () => expect((await claim(runner)).status).toBe(200));
    await later(30_000, async () => expect((await claim(runner)).status).toBe(401));
  });

  test("rotation in this isolate: at once; the new key gets the task that the old one had", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    await jobFor(spec);
    const { task } = (await claim(runner)).body;
    const rotate = `${V0}/runners/${runner.uuid}/key`;
    const { key } = (await call("POST", rotate, { token: admin.token })).body;
    expect((await claim(runner)).status).toBe(401);
    expect((await claim({ ...runner, key })).body.task.id).toBe(task.id);
  });

  test("an archived runner's key is as unknown; brought back, it works again", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    await jobFor(spec);
    const own = claimedBy(await claim(runner));
    const { task } = own;
    await patch(runner, { archived: true });
    expectError(
      expect,
      await claim(runner),
      401,
      "CLIENT_TOKEN_INVALID",
      "Invalid or expired runner key",
    );
    expect((await poll(own, task.id)).status, "its task goes on").toBe(200);
    await patch(runner, { archived: false });
    expect((await claim(runner)).body.task.id).toBe(task.id);
  });

  test("archived elsewhere: no job is handed out", async ({ expect }) => {
    const { spec, runner } = await one();
    await claim(runner);
    await setRunner(runner, { archivedAt: 1 });
    await later(4_000, async () => {
      const job = await jobFor(spec);
      expect((await claim(runner)).status).toBe(401);
      expect((await poll(job)).body.current_nodes).toBe(0);
    });
  });
});

describe("what is offered", () => {
  test("a spec withdrawn while its job runs: the job goes on, and no other is claimed", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    await jobFor(spec);
    const own = claimedBy(await claim(runner));
    const { task } = own;
    await jobFor(spec);
    const path = `${V0}/runners/${runner.uuid}/specs/${spec.slug}`;
    expect((await call("DELETE", path, { token: admin.token })).status).toBe(204);
    expect((await claim(runner)).body.task.id).toBe(task.id);
    expect((await putResult(own, task.id, 0)).status).toBe(200);
    expect((await claim(runner)).text).toBe("null");
  });

  test("withdrawn elsewhere a moment ago: the reservation is refused", async ({ expect }) => {
    const { spec, runner } = await one();
    await claim(runner);
    await db.delete(runnerSpecs).where(eq(runnerSpecs.specUuid, spec.uuid));
    await later(4_000, async () => {
      const job = await jobFor(spec);
      expect((await claim(runner)).text).toBe("null");
      expect((await poll(job)).body.current_nodes).toBe(0);
    });
  });

  test("jobs for a spec that was archived since are claimed by nobody", async ({ expect }) => {
    const { spec, runner } = await one();
    await jobFor(spec);
    const path = `${V0}/specs/${spec.uuid}`;
    await call("PATCH", path, { token: admin.token, body: { archived: true } });
    expect((await claim(runner)).text).toBe("null");
    await call("PATCH", path, { token: admin.token, body: { archived: false } });
    await later(31_000, async () => expect((await claim(runner)).body).not.toBeNull());
  });
});

describe("state", () => {
  test("offline, online, busy, and online again", async ({ expect }) => {
    const { spec, runner } = await one();
    expect(await view(runner)).toMatchObject({ state: "offline", last_heartbeat: null });
    await claim(runner);
    const online = await view(runner);
    expect(online.state).toBe("online");
    expect(Math.abs(Date.parse(online.last_heartbeat) - Date.now())).toBeLessThan(30_000);
    await later(4_000, async () => {
      const job = await jobFor(spec);
      const own = claimedBy(await claim(runner));
      await flushed(job);
      expect((await view(runner)).state).toBe("busy");
      await later(200_000, async () => {
        expect((await view(runner)).state, "as a node it is in contact").toBe("busy");
      });
      await putResult(own, own.task.id, 0);
      await flushed(job);
      expect((await view(runner)).state).toBe("online");
    });
  });

  test("out of contact for 150 s: offline, to the millisecond", async ({ expect }) => {
    const { runner } = await one();
    await claim(runner);
    const { lastHeartbeatAt: at } = await runnerRow(runner);
    const clock = vi.spyOn(systemClock, "now").mockReturnValue((at ?? 0) + 149_999);
    try {
      expect((await view(runner)).state).toBe("online");
      clock.mockReturnValue((at ?? 0) + 150_000);
      expect((await view(runner)).state).toBe("offline");
    } finally {
      clock.mockRestore();
    }
  });

  test("busy also when its reply was lost", async ({ expect }) => {
    const { spec, runner } = await one();
    const job = await jobFor(spec, { node_count: 2 });
    await takePlace(job, runner.uuid);
    await flushed(job);
    expect((await claim(runner)).headers.get("claim-repeated")).toBe("true");
    expect((await view(runner)).state).toBe("busy");
  });

  test("killed after claiming: its task is lost, the place stays its own", async ({ expect }) => {
    const { spec, runners } = await shop(2);
    const [killed, other] = runners as [TestRunner, TestRunner];
    const job = await jobFor(spec, { node_count: 2 });
    const { task } = (await claim(killed)).body;
    await claim(other);
    await flushed(job);
    await setTask(task.id, { state: "failed" });
    expect((await view(killed)).state, "lost").toBe("online");
    const back = await claim(killed);
    expect(back.body.task.id).toBe(task.id);
    expect(back.headers.get("claim-repeated")).toBe("true");
  });

  test("the catalogue counts who is in contact and offers the spec", async ({ expect }) => {
    const { spec, runners } = await shop(4);
    const [idle, busy, archived] = runners as [TestRunner, TestRunner, TestRunner];
    const count = async () => {
      const path = `/specs?search=${spec.slug}`;
      const { results } = (await call("GET", path, { token: admin.token })).body;
      return results.find(({ uuid }: TestSpec) => uuid === spec.uuid).runners_online;
    };
    expect(await count()).toBe(0);
    const job = await jobFor(spec);
    await claim(busy);
    await flushed(job);
    await claim(idle);
    await claim(archived);
    expect(await count()).toBe(3);
    await patch(archived, { archived: true });
    expect(await count()).toBe(2);
    await later(200_000, async () => expect(await count(), "the busy one").toBe(1));
    const cost = await costOf(() => call("GET", "/specs", { token: admin.token }));
    expect(cost.d1_round_trips).toBe(1);
  });
});
