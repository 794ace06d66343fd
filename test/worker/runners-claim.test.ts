/** Claims: what a runner gets, who may claim, races, and what becomes of a claim that broke off. */
import { env } from "cloudflare:workers";
import { describe, test, vi } from "vitest";
import { systemClock } from "../../src/lib/clock.ts";
import { claimRoute } from "../../src/runners/contract.ts";
import {
  call,
  claim,
  costOf,
  createJob,
  createPerson,
  createRunner,
  createSpec,
  detail,
  expectContract,
  expectError,
  flushed,
  join,
  poll,
  putResult,
  type TestJob,
  type TestRunner,
  type TestSpec,
  V0,
} from "./harness.ts";

const admin = await createPerson({ role: "root_admin" });

async function shop(runners = 1): Promise<{ spec: TestSpec; runners: TestRunner[] }> {
  const spec = await createSpec({}, admin);
  const all = Array.from({ length: runners }, () => createRunner([spec], admin));
  return { spec, runners: await Promise.all(all) };
}

async function one(): Promise<{ spec: TestSpec; runner: TestRunner }> {
  const { spec, runners } = await shop();
  return { spec, runner: runners[0] as TestRunner };
}

const jobFor = (spec: TestSpec, body: Record<string, unknown> = {}) =>
  createJob({ spec: spec.uuid, ...body }, admin);

const patch = (runner: TestRunner, body: Record<string, unknown>) =>
  call("PATCH", `${V0}/runners/${runner.uuid}`, { token: admin.token, body });

const view = async (runner: TestRunner) =>
  (await call("GET", `${V0}/runners/${runner.uuid}`, { token: admin.token })).body;

async function rowOf({ uuid }: TestRunner) {
  const row = await env.DB.prepare("SELECT * FROM runners WHERE uuid = ?").bind(uuid).first();
  return row as { job_id: number | null; task_id: number | null; last_heartbeat_at: number | null };
}

/** Runs later: isolate-wide caches of candidates are old then. */
async function later<T>(ms: number, run: () => Promise<T>): Promise<T> {
  const clock = vi.spyOn(systemClock, "now").mockImplementation(() => Date.now() + ms);
  try {
    return await run();
  } finally {
    clock.mockRestore();
  }
}

describe("a claim", () => {
  test("makes the runner a node of the job, with the job's own token", async ({ expect }) => {
    const { spec, runner } = await one();
    const job = await jobFor(spec, { node_count: 2 });
    const machine = {
      machine_ip: "10.0.0.4",
      cluster_address: "10.0.0.4:7117",
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
      ...{ job_id: job.id, rank: 0, machine_uuid: runner.uuid, machine_ip: "10.0.0.4" },
      ...{ gpu_model: "NVIDIA H100 NVL", gpu_count: 2 },
    });
    expect((await poll(job, task.id)).body.directive).toBe("run");
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
    await join(full);
    expect((await claim(runner)).text).toBe("null");
  });

  test("jobs whose time is over hide none, however many nobody has settled", async ({ expect }) => {
    const { spec, runner } = await one();
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
       INSERT INTO jobs (id, customer_id, user_id, name, node_count, sequence, tags, token_key_id, created_at, expires_at, state, flushed_at, spec_uuid)
       SELECT -i, ?1, ?2, 'over ' || i, 1, '[]', '[]', '', ?3 - 90000000 - i, ?3 - 3600000 - i, 'created', 0, ?4 FROM n`,
    )
      .bind(admin.customerId, admin.id, Date.now(), spec.uuid)
      .run();
    const job = await jobFor(spec);
    expect((await claim(runner)).body.job_id).toBe(job.id);
  });

  test("a bad body is refused, an empty one is none", async ({ expect }) => {
    const { runner } = await one();
    const path = `${V0}/runners/${runner.uuid}/jobs`;
    const send = (options: object) => call("POST", path, { token: runner.key, ...options });
    expectError(
      ...[expect, await send({ body: { gpu_count: -1 } }), 400, "PARAMETER_INCORRECT_VALUE"],
    );
    expectError(...[expect, await send({ body: "{" }), 400, "PARAMETER_INCORRECT_VALUE"]);
    const text = { body: "x", headers: { "content-type": "text/plain" } };
    expectError(...[expect, await send(text), 415, "UNSUPPORTED_MEDIA_TYPE"]);
    const long = { body: { inventory: { x: "y".repeat(300_000) } } };
    expectError(...[expect, await send(long), 413, "REQUEST_TOO_LARGE"]);
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
    const { task } = (await claim(runner)).body;
    await poll(wide, task.id);
    await putResult(wide, task.id, 0);
    expect((await claim(runner)).body.job_id).toBe(next.id);
    await flushed(wide);
    expect((await detail(wide)).body).toMatchObject({ state: "starting", current_nodes: 1 });
  });

  test("a job that it has ended its part of is not tried again at every poll", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    const wide = await jobFor(spec, { node_count: 3 });
    const { task } = (await claim(runner)).body;
    await putResult(wide, task.id, 0);
    expect((await claim(runner)).text).toBe("null");
    const cost = await costOf(() => claim(runner));
    expect(cost).toMatchObject({ d1_round_trips: 0, object_hops: 0 });
    expect(await rowOf(runner)).toMatchObject({ job_id: null, task_id: null });
  });

  test("once the job is aborted it is free for the next", async ({ expect }) => {
    const { spec, runner } = await one();
    const [first, next] = [await jobFor(spec), await jobFor(spec)];
    await claim(runner);
    await call("POST", `/jobs/${first.id}/abort`, { token: admin.token });
    expect((await claim(runner)).body.job_id).toBe(next.id);
  });
});

describe("too many joins of a job", () => {
  async function stormed() {
    const { spec, runners } = await shop(2);
    const job = await jobFor(spec, { node_count: 3 });
    const next = await jobFor(spec);
    const storm = async () => {
      const machine_uuid = crypto.randomUUID();
      for (let n = 0; n < 600; n++) await join(job, { machine_uuid });
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
    expect(await rowOf(runners[0])).toMatchObject({
      job_id: Number(job.id),
      task_id: Number(task.id),
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
    const held = await env.DB.prepare("SELECT count(*) AS n FROM runners WHERE job_id = ?")
      .bind(Number(job.id))
      .first<{ n: number }>();
    expect(held?.n, "nobody else holds a reservation").toBe(4);
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

  test("a place that machines with the job's token take is not there for runners", async ({
    expect,
  }) => {
    const { spec, runners } = await shop(10);
    const job = await jobFor(spec, { node_count: 3 });
    const [claims, joins] = await Promise.all([
      Promise.all(runners.map((runner) => claim(runner))),
      Promise.all(Array.from({ length: 10 }, () => join(job))),
    ]);
    const won =
      claims.filter(({ body }) => body !== null).length +
      joins.filter(({ status }) => status === 201).length;
    expect(won).toBe(3);
  });
});

describe("claims that broke off", () => {
  test("reserved, but not joined: the next claim joins", async ({ expect }) => {
    const { spec, runner } = await one();
    await jobFor(spec);
    const newer = await jobFor(spec);
    await env.DB.prepare("UPDATE runners SET job_id = ? WHERE uuid = ?")
      .bind(Number(newer.id), runner.uuid)
      .run();
    const reply = await claim(runner);
    expect(reply.body.job_id, "its own before older ones").toBe(newer.id);
    expect(reply.headers.get("claim-repeated")).toBeNull();
  });

  test("reserved, and the job has filled up meanwhile: it goes on to another", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    const [full, other] = [await jobFor(spec), await jobFor(spec)];
    await join(full);
    await env.DB.prepare("UPDATE runners SET job_id = ? WHERE uuid = ?")
      .bind(Number(full.id), runner.uuid)
      .run();
    expect((await claim(runner)).body.job_id).toBe(other.id);
  });

  test("joined, but the reply was lost: the same task again", async ({ expect }) => {
    const { spec, runner } = await one();
    const job = await jobFor(spec, { node_count: 2 });
    await env.DB.prepare("UPDATE runners SET job_id = ? WHERE uuid = ?")
      .bind(Number(job.id), runner.uuid)
      .run();
    const { id } = (await join(job, { machine_uuid: runner.uuid })).body;
    const reply = await claim(runner);
    expect(reply.body.task.id).toBe(id);
    expect(reply.headers.get("claim-repeated")).toBe("true");
    expect((await detail(job)).body.current_nodes).toBe(1);
  });

  test("refused, but not let go: the next claim lets go", async ({ expect }) => {
    const { spec, runner } = await one();
    const full = await jobFor(spec);
    await join(full);
    await env.DB.prepare("UPDATE runners SET job_id = ? WHERE uuid = ?")
      .bind(Number(full.id), runner.uuid)
      .run();
    expect((await claim(runner)).text).toBe("null");
    expect((await rowOf(runner)).job_id).toBeNull();
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
      await env.DB.prepare("UPDATE runners SET job_id = ?, claimed_at = ? WHERE uuid = ?")
        .bind(Number(job.id), Date.now() - 30_000, runner.uuid)
        .run();
      await call(method, V0 + pathOf(runner, spec), { token: admin.token, ...(body && { body }) });
      expect((await claim(runner)).text).toBe("null");
      expect((await rowOf(runner)).job_id).toBeNull();
      expect((await poll(job)).body.current_nodes).toBe(0);
    }
  });

  test("a task that D1 has not heard of yet is not let go with its spec", async ({ expect }) => {
    const { spec, runner } = await one();
    await jobFor(spec);
    const { task } = (await claim(runner)).body;
    await vi.waitFor(async () => expect((await rowOf(runner)).task_id).toBe(Number(task.id)));
    await env.DB.prepare("UPDATE runners SET task_id = NULL WHERE uuid = ?")
      .bind(runner.uuid)
      .run();
    const path = `${V0}/runners/${runner.uuid}/specs/${spec.uuid}`;
    await call("DELETE", path, { token: admin.token });
    expect((await claim(runner)).body.task.id).toBe(task.id);
  });

  test("a job that is gone from D1 holds nobody", async ({ expect }) => {
    const { spec, runner } = await one();
    await env.DB.prepare("UPDATE runners SET job_id = 512 WHERE uuid = ?").bind(runner.uuid).run();
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
      expectError(...[expect, await claim(runner), 503, "SERVICE_UNAVAILABLE"]);
    } finally {
      get.mockRestore();
    }
    expect((await rowOf(runner)).job_id).toBe(Number(job.id));
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
      expectError(...[expect, await claim(runner), 503, "SERVICE_UNAVAILABLE"]);
      expect((await claim(other)).body.job_id).toBe(open.id);
      expectError(...[expect, await claim(runner), 503, "SERVICE_UNAVAILABLE"]);
      await later(5 * 60_000, async () => {
        expect((await claim(runner)).body.job_id).toBe(open.id);
      });
    } finally {
      get.mockRestore();
    }
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
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID", "Invalid or expired token");
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
    const other = await env.DB.prepare("UPDATE runners SET key_hash = 'x' WHERE uuid = ?")
      .bind(runner.uuid)
      .run();
    expect(other.success).toBe(true);
    expect((await claim(runner)).status, "idle, it still believes").toBe(200);
    await later(4_000, async () => {
      await jobFor(spec);
      const reply = await claim(runner);
      expectError(expect, reply, 401, "CLIENT_TOKEN_INVALID", "Invalid or expired token");
    });
    expect((await claim(runner)).status, "and remembers").toBe(401);
  });

  test("an idle runner's old key is dead 30 s later", async ({ expect }) => {
    const { runner } = await one();
    await claim(runner);
    await env.DB.prepare("UPDATE runners SET key_hash = 'x' WHERE uuid = ?")
      .bind(runner.uuid)
      .run();
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
    const job = await jobFor(spec);
    const { task } = (await claim(runner)).body;
    await patch(runner, { archived: true });
    expectError(
      ...[expect, await claim(runner), 401, "CLIENT_TOKEN_INVALID", "Invalid or expired token"],
    );
    expect((await poll(job, task.id)).status, "its task goes on").toBe(200);
    await patch(runner, { archived: false });
    expect((await claim(runner)).body.task.id).toBe(task.id);
  });

  test("archived elsewhere: no job is handed out", async ({ expect }) => {
    const { spec, runner } = await one();
    await claim(runner);
    await env.DB.prepare("UPDATE runners SET archived_at = 1 WHERE uuid = ?")
      .bind(runner.uuid)
      .run();
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
    const job = await jobFor(spec);
    const { task } = (await claim(runner)).body;
    await jobFor(spec);
    const path = `${V0}/runners/${runner.uuid}/specs/${spec.slug}`;
    expect((await call("DELETE", path, { token: admin.token })).status).toBe(204);
    expect((await claim(runner)).body.task.id).toBe(task.id);
    expect((await putResult(job, task.id, 0)).status).toBe(200);
    expect((await claim(runner)).text).toBe("null");
  });

  test("withdrawn elsewhere a moment ago: the reservation is refused", async ({ expect }) => {
    const { spec, runner } = await one();
    await claim(runner);
    await env.DB.prepare("DELETE FROM runner_specs WHERE spec_uuid = ?").bind(spec.uuid).run();
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
      const { task } = (await claim(runner)).body;
      await flushed(job);
      expect((await view(runner)).state).toBe("busy");
      await later(200_000, async () => {
        expect((await view(runner)).state, "as a node it is in contact").toBe("busy");
      });
      await putResult(job, task.id, 0);
      await flushed(job);
      expect((await view(runner)).state).toBe("online");
    });
  });

  test("out of contact for 150 s: offline, to the millisecond", async ({ expect }) => {
    const { runner } = await one();
    await claim(runner);
    const { last_heartbeat_at: at } = await rowOf(runner);
    const clock = vi.spyOn(systemClock, "now").mockReturnValue((at ?? 0) + 149_999);
    try {
      expect((await view(runner)).state).toBe("online");
      clock.mockReturnValue((at ?? 0) + 150_000);
      expect((await view(runner)).state).toBe("offline");
    } finally {
      clock.mockRestore();
    }
  });

  test("busy also when its machine had joined with the job's token before", async ({ expect }) => {
    const { spec, runner } = await one();
    const job = await jobFor(spec, { node_count: 2 });
    await join(job, { machine_uuid: runner.uuid });
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
    await env.DB.prepare("UPDATE tasks SET state = 'failed' WHERE id = ?")
      .bind(Number(task.id))
      .run();
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
