/** Runners that wait for jobs: who gets a socket, who is woken, what D1 knows, and how it ends. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, test, vi } from "vitest";
import { systemClock } from "../../../src/lib/clock.ts";
import { lobbyOf } from "../../../src/lobbies/protocol.ts";
import { WaitingRoom } from "../../../src/lobbies/waiting-room.ts";
import { runTick } from "../../../src/maintenance/tick.ts";
import { askFor, holdOpen, type TestSocket } from "../harness/channel.ts";
import { appDeps, call, claim, expectError, V0 } from "../harness/client.ts";
import {
  createPerson,
  createRunner,
  createSpec,
  type TestRunner,
  type TestSpec,
} from "../harness/factories.ts";
import { costOf, farAhead, rowsReadBy, travel } from "../harness/instruments.ts";
import { eventually } from "../harness/time.ts";
import { admin, jobFor, one, patch, shop } from "./shop.ts";

const MINUTE = 60_000;
const RENEW_MS = 15 * MINUTE;
const WORK = { type: "work" };

const pathOf = ({ uuid }: { uuid: string }) => `${V0}/runners/${uuid}/channel`;
const ask = (runner: TestRunner) => askFor(pathOf(runner), { token: runner.key });

async function wait(runner: TestRunner): Promise<TestSocket> {
  return holdOpen(await ask(runner));
}

const lobbyFor = (...specs: TestSpec[]) =>
  env.LOBBY.get(env.LOBBY.idFromName(lobbyOf(specs.map(({ uuid }) => uuid).sort())));

const rowOf = (runner: TestRunner) =>
  env.DB.prepare("SELECT lobby_id, last_heartbeat_at FROM runners WHERE uuid = ?")
    .bind(runner.uuid)
    .first<{ lobby_id: number | null; last_heartbeat_at: number | null }>();

const lobbyRows = async (spec: TestSpec) => {
  const { results } = await env.DB.prepare("SELECT * FROM lobby_specs WHERE spec_uuid = ?")
    .bind(spec.uuid)
    .all();
  return results.length;
};

/** No message until the next one of any kind: pings are answered in order. */
async function silentUntilPong(socket: TestSocket): Promise<unknown[]> {
  const before = socket.heard.length;
  socket.send("ping");
  return (await socket.hear(before + 1)).slice(before, -1).filter((each) => each !== "pong");
}

describe("opening", () => {
  test("101 with the key, in a header or a subprotocol", async ({ expect }) => {
    const { runner } = await one();
    expect((await ask(runner)).status).toBe(101);
    const byProtocol = await askFor(pathOf(runner), {
      protocols: `assay.v1, bearer.${runner.key}`,
    });
    expect(byProtocol.status).toBe(101);
    expect(byProtocol.headers.get("sec-websocket-protocol")).toBe("assay.v1");
    holdOpen(byProtocol);
  });

  test("426 without an upgrade; 401 for a wrong key, of another runner, and an unknown runner", async ({
    expect,
  }) => {
    const { runners } = await shop(2);
    const [runner, other] = runners as [TestRunner, TestRunner];
    const plain = await call("GET", pathOf(runner), { token: runner.key });
    expectError(expect, plain, 426, "UPGRADE_REQUIRED");
    expect((await askFor(pathOf(runner), {})).status).toBe(401);
    expect((await askFor(pathOf(runner), { token: other.key })).status).toBe(401);
    expect(
      (await askFor(pathOf({ uuid: crypto.randomUUID() }), { token: runner.key })).status,
    ).toBe(401);
    expect((await rowOf(runner))?.lobby_id).toBeNull();
  });

  test("costs one round trip for the key and one hop; the lobby writes one row", async ({
    expect,
  }) => {
    const { runners } = await shop(2);
    const [first, second] = runners as [TestRunner, TestRunner];
    await wait(first);
    const batch = vi.spyOn(env.DB, "batch");
    const cost = await costOf(async () => {
      await wait(second);
      return { status: 0, headers: new Headers(), body: null, text: "" };
    });
    const results = await Promise.all(batch.mock.results.map(({ value }) => value));
    batch.mockRestore();
    expect(cost).toMatchObject({ status: 101, d1_round_trips: 1, object_hops: 1, r2_calls: 0 });
    const written = results.flat().map(({ meta }) => meta.rows_written);
    expect(written.reduce((sum, rows) => sum + rows, 0)).toBe(1);
  });

  test("a second socket of the runner replaces the first, and D1 still has it", async ({
    expect,
  }) => {
    const { runner } = await one();
    const first = await wait(runner);
    const second = await wait(runner);
    expect((await first.end()).code).toBe(4001);
    expect(await silentUntilPong(second)).toEqual([]);
    expect((await rowOf(runner))?.lobby_id).not.toBeNull();
  });

  test("with offers that this isolate does not know yet: the lobby of the present ones", async ({
    expect,
  }) => {
    const { runner, spec } = await one();
    const more = await createSpec({}, admin);
    await claim(runner);
    // As another isolate would do it.
    await env.DB.prepare(
      "INSERT INTO runner_specs (runner_id, spec_uuid) SELECT id, ? FROM runners WHERE uuid = ?",
    )
      .bind(more.uuid, runner.uuid)
      .run();
    const socket = await wait(runner);
    expect(await lobbyFor(spec, more).wake(9, [])).toBe(1);
    expect(await socket.hear(1)).toEqual([WORK]);
  });

  test("with a key that is replaced meanwhile: 401", async ({ expect }) => {
    const { runner } = await one();
    await claim(runner);
    await env.DB.prepare("UPDATE runners SET key_hash = 'another' WHERE uuid = ?")
      .bind(runner.uuid)
      .run();
    expect((await ask(runner)).status).toBe(401);
    expect((await rowOf(runner))?.lobby_id).toBeNull();
  });
});

describe("messages", () => {
  test.for([
    ["a hello", { type: "hello" }, 1008],
    ["work", WORK, 1008],
    ["no JSON", "pong", 1008],
    ["binary", new ArrayBuffer(8), 1003],
  ] as const)("%s is answered with an error, then the end", async ([, sent, code], { expect }) => {
    const { runner } = await one();
    const socket = await wait(runner);
    socket.send(sent);
    expect((await socket.end()).code).toBe(code);
    expect(socket.heard).toMatchObject([{ type: "error", message: expect.any(String) }]);
    await eventually(async () => expect((await rowOf(runner))?.lobby_id).toBeNull());
  });

  test("pings wake nobody", async ({ expect }) => {
    const { runner, spec } = await one();
    const socket = await wait(runner);
    await evictDurableObject(lobbyFor(spec));
    const opened = vi.spyOn(env.DB, "prepare");
    expect(await silentUntilPong(socket)).toEqual([]);
    expect(opened).not.toHaveBeenCalled();
    opened.mockRestore();
  });
});

describe("waking", () => {
  test("a new job wakes as many as it wants and two, the longest not told first", async ({
    expect,
  }) => {
    const { spec, runners } = await shop(5);
    const sockets: TestSocket[] = [];
    for (const runner of runners) sockets.push(await wait(runner));
    const told = () => sockets.map(({ heard }) => heard.filter((each) => each !== "pong").length);
    await jobFor(spec);
    await eventually(() => expect(told()).toEqual([1, 1, 1, 0, 0]));
    await evictDurableObject(lobbyFor(spec));
    await jobFor(spec);
    await eventually(() => expect(told().slice(3)).toEqual([1, 1]));
    for (const socket of sockets) await silentUntilPong(socket);
    expect(told().reduce((sum, each) => sum + each, 0)).toBe(6);
    expect(sockets[0]?.heard).toContainEqual(WORK);
  });

  test("the job is claimed by HTTP, once", async ({ expect }) => {
    const { spec, runners } = await shop(3);
    const sockets = await Promise.all(runners.map(wait));
    const job = await jobFor(spec);
    await Promise.all(sockets.map((socket) => socket.hear(1)));
    const claims = await Promise.all(runners.map((runner) => claim(runner)));
    expect(claims.filter(({ body }) => body !== null).map(({ body }) => body.job_id)).toEqual([
      job.id,
    ]);
  });

  test("costs the creator nothing: one read of D1 and one hop come after the reply", async ({
    expect,
  }) => {
    const { spec, runner } = await one();
    const socket = await wait(runner);
    const get = vi.spyOn(env.LOBBY, "get");
    const prepare = vi.spyOn(env.DB, "prepare");
    const { token } = admin;
    const create = () =>
      call("POST", "/jobs", { token, body: { spec: spec.uuid, benchmarks: [] } });
    expect(await costOf(create)).toMatchObject({ status: 201, d1_round_trips: 1, object_hops: 0 });
    await socket.hear(1);
    expect(get).toHaveBeenCalledOnce();
    const ofLobbies = prepare.mock.calls.filter(([query]) => query.includes("lobby_specs"));
    expect(ofLobbies).toHaveLength(1);
    get.mockRestore();
    prepare.mockRestore();
  });

  test("a job for another spec, and one without, wakes nobody; a repeat neither", async ({
    expect,
  }) => {
    const { runner } = await one();
    const other = await one();
    const socket = await wait(runner);
    await jobFor(other.spec);
    expect(await silentUntilPong(socket)).toEqual([]);
  });

  test("lobbies of several sets are woken one after the other, until enough are told", async ({
    expect,
  }) => {
    const { spec, runners } = await shop(2);
    const more = await createSpec({}, admin);
    const both = await Promise.all([1, 2].map(() => createRunner([spec, more], admin)));
    const sockets = await Promise.all([...runners, ...both].map(wait));
    await jobFor(spec);
    const told = () => sockets.filter(({ heard }) => heard.some((each) => each !== "pong")).length;
    await eventually(() => expect(told()).toBe(3));
    for (const socket of sockets) await silentUntilPong(socket);
    expect(told()).toBe(3);
  });

  test("the members of a gang are woken by name, when it is reserved", async ({ expect }) => {
    const { spec, runners } = await shop(3);
    const [asks, waits, also] = runners as [TestRunner, TestRunner, TestRunner];
    const sockets = await Promise.all([wait(waits), wait(also)]);
    await jobFor(spec, { node_count: 3, benchmarks: ["cluster_network"] });
    for (const socket of sockets) await socket.hear(1);
    const asked = await eventually(async () => {
      const reply = await claim(asks);
      expect(reply.headers.get("retry-after")).toBe("2");
      return reply;
    });
    expect(asked.body).toBeNull();
    for (const socket of sockets) expect(await socket.hear(2)).toEqual([WORK, WORK]);
  });

  test("cron wakes again while the job is open, and not for a full one", async ({ expect }) => {
    const { spec, runner } = await one();
    const job = await jobFor(spec);
    const socket = await wait(runner);
    expect(await silentUntilPong(socket)).toEqual([]);
    const { wakeRunners } = await runTick(appDeps());
    expect(wakeRunners).toMatchObject({ told: expect.any(Number) });
    await socket.hear(2);
    expect(socket.heard.at(-1)).toEqual(WORK);
    expect((await claim(runner)).body.job_id).toBe(job.id);
    await eventually(async () => {
      const row = await env.DB.prepare("SELECT current_nodes AS n FROM jobs WHERE id = ?")
        .bind(Number(job.id))
        .first<{ n: number }>();
      expect(row?.n).toBe(1);
    });
    await runTick(appDeps());
    expect(await silentUntilPong(socket)).toEqual([]);
    expect(socket.heard.filter((each) => each !== "pong")).toEqual([WORK]);
  });

  test("with the lobbies away, a job is created all the same", async ({ expect }) => {
    const { spec, runner } = await one();
    await wait(runner);
    const wake = vi.spyOn(env.LOBBY, "get").mockImplementation(() => {
      throw new Error("the lobby is away");
    });
    const job = await jobFor(spec);
    await eventually(() => expect(wake).toHaveBeenCalled());
    wake.mockRestore();
    expect((await claim(runner)).body.job_id).toBe(job.id);
  });
});

describe("what D1 knows", () => {
  test("a runner with a socket is online, however old its last claim; without one, for a lease", async ({
    expect,
  }) => {
    const start = farAhead();
    const { spec, runner } = await one();
    const time = travel();
    time.to(start);
    const { token } = await createPerson({ role: "root_admin" });
    const socket = await wait(runner);
    time.to(start + 10 * MINUTE);
    const state = async () =>
      (await call("GET", `${V0}/runners/${runner.uuid}`, { token })).body.state;
    expect(await state()).toBe("online");
    const catalogue = async () => {
      const { body } = await call("GET", `/specs?search=${spec.slug}`, { token });
      return body.results.find(({ uuid }: { uuid: string }) => uuid === spec.uuid).runners_online;
    };
    expect(await catalogue()).toBe(1);
    socket.close();
    await eventually(async () => expect((await rowOf(runner))?.lobby_id).toBeNull());
    expect(await state()).toBe("online");
    time.to(start + 10 * MINUTE + 149_000);
    expect(await state()).toBe("online");
    time.to(start + 10 * MINUTE + 151_000);
    expect(await state()).toBe("offline");
    expect(await catalogue()).toBe(0);
  });

  test("every 15 minutes the lobby renews one row, with one statement batch", async ({
    expect,
  }) => {
    const real = Date.now();
    const time = travel();
    time.to(real - 14 * MINUTE);
    const { spec, runners } = await shop(3);
    const sockets = await Promise.all(runners.map(wait));
    for (const socket of sockets) await silentUntilPong(socket);
    await evictDurableObject(lobbyFor(spec));
    time.to(real + MINUTE);
    const batch = vi.spyOn(env.DB, "batch");
    expect(await runDurableObjectAlarm(lobbyFor(spec))).toBe(true);
    const results = (await Promise.all(batch.mock.results.map(({ value }) => value))).flat();
    expect(batch).toHaveBeenCalledOnce();
    batch.mockRestore();
    const written = results.reduce((sum, { meta }) => sum + meta.rows_written, 0);
    expect(written).toBe(1);
    const next = await runInDurableObject(lobbyFor(spec), (_lobby, { storage }) =>
      storage.getAlarm(),
    );
    expect(next).toBe(real + MINUTE + RENEW_MS);
    expect(sockets.map(({ ended }) => ended)).toEqual([null, null, null]);
  });

  test("a silent socket is closed, and its runner has gone when it was last heard", async ({
    expect,
  }) => {
    const start = farAhead();
    const { spec, runner } = await one();
    const time = travel();
    time.to(start);
    const socket = await wait(runner);
    time.to(start + RENEW_MS);
    await runDurableObjectAlarm(lobbyFor(spec));
    expect((await socket.end()).code).toBe(4008);
    expect(await rowOf(runner)).toEqual({ lobby_id: null, last_heartbeat_at: start });
    expect(await lobbyRows(spec), "nobody waits").toBe(0);
    const next = await runInDurableObject(lobbyFor(spec), (_lobby, { storage }) =>
      storage.getAlarm(),
    );
    expect(next).toBeNull();
  });

  test("with a lease shorter than the time between two pings, a runner that pings stays", async ({
    expect,
  }) => {
    const real = Date.now();
    const { spec, runner } = await one();
    const time = travel();
    time.to(real - RENEW_MS);
    const socket = await wait(runner);
    socket.send("ping");
    await socket.hear(1);
    time.to(real + MINUTE);
    const hasLeft = await runInDurableObject(lobbyFor(spec), async (_lobby, ctx) => {
      const short = { ...env, NODE_TIMEOUT_SECONDS: "10" };
      await new WaitingRoom(ctx, short, systemClock).look();
      return ctx.getWebSockets().some(({ readyState }) => readyState !== WebSocket.OPEN);
    });
    expect(hasLeft).toBe(false);
    expect(socket.ended).toBeNull();
  });

  test("a deployment closes all sockets, and tells nobody: who does not come back is gone at the next look", async ({
    expect,
  }) => {
    const real = Date.now();
    const time = travel();
    time.to(real - 14 * MINUTE);
    const { spec, runners } = await shop(2);
    const [back, lost] = runners as [TestRunner, TestRunner];
    await Promise.all(runners.map(wait));
    await evictDurableObject(lobbyFor(spec), { webSockets: "close" });
    const again = await wait(back);
    await silentUntilPong(again);
    time.to(real + MINUTE);
    await runDurableObjectAlarm(lobbyFor(spec));
    expect((await rowOf(back))?.lobby_id).not.toBeNull();
    expect((await rowOf(lost))?.lobby_id).toBeNull();
    expect(again.ended).toBeNull();
  });

  test("an alarm without D1 is tried again after a minute", async ({ expect }) => {
    const start = farAhead();
    const { spec, runner } = await one();
    const time = travel();
    time.to(start);
    await wait(runner);
    time.to(start + RENEW_MS);
    const batch = vi.spyOn(env.DB, "batch").mockRejectedValue(new Error("D1 is away"));
    await runDurableObjectAlarm(lobbyFor(spec));
    batch.mockRestore();
    const next = await runInDurableObject(lobbyFor(spec), (_lobby, { storage }) =>
      storage.getAlarm(),
    );
    expect(next).toBe(start + RENEW_MS + MINUTE);
    time.to(start + RENEW_MS + MINUTE);
    await runDurableObjectAlarm(lobbyFor(spec));
    expect((await rowOf(runner))?.lobby_id).toBeNull();
  });
});

describe("changes of the runner close its socket with 4003", () => {
  const rotate = ({ uuid }: TestRunner) =>
    call("POST", `${V0}/runners/${uuid}/key`, { token: admin.token });

  test("a new key: one hop; the old key gets no socket any more", async ({ expect }) => {
    const { runner } = await one();
    const socket = await wait(runner);
    const cost = await costOf(() => rotate(runner));
    expect(cost).toMatchObject({ status: 201, d1_round_trips: 1, object_hops: 1 });
    expect((await socket.end()).code).toBe(4003);
    expect((await rowOf(runner))?.lobby_id).toBeNull();
    expect((await ask(runner)).status).toBe(401);
    expect(await costOf(() => rotate(runner)), "nobody waits").toMatchObject({ object_hops: 0 });
  });

  test("archiving", async ({ expect }) => {
    const { runner } = await one();
    const socket = await wait(runner);
    await patch(runner, { name: "Another name" });
    expect(await silentUntilPong(socket), "a name is no change").toEqual([]);
    await patch(runner, { archived: true });
    expect((await socket.end()).code).toBe(4003);
    expect((await ask(runner)).status).toBe(401);
  });

  test("an offer, and its withdrawal: the runner comes back to the lobby of what it offers", async ({
    expect,
  }) => {
    const { runner, spec } = await one();
    const more = await createSpec({}, admin);
    const socket = await wait(runner);
    const { token } = admin;
    const path = `${V0}/runners/${runner.uuid}/specs`;
    await call("POST", path, { token, body: { spec: more.uuid } });
    expect((await socket.end()).code).toBe(4003);
    const again = await wait(runner);
    await jobFor(more);
    expect(await again.hear(1)).toEqual([WORK]);
    await call("DELETE", `${path}/${more.uuid}`, { token });
    expect((await again.end()).code).toBe(4003);
    await wait(runner);
    expect(await lobbyFor(spec).wake(5, [])).toBe(1);
  });

  test("that come while the socket opens: no socket, or one that closes at once", async ({
    expect,
  }) => {
    const { runner } = await one();
    for (let turn = 0; turn < 5; turn++) {
      const [reply, rotated] = await Promise.all([ask(runner), rotate(runner)]);
      if (reply.status === 101) expect((await holdOpen(reply).end()).code).toBe(4003);
      else expect(reply.status).toBe(401);
      expect((await rowOf(runner))?.lobby_id).toBeNull();
      runner.key = rotated.body.key;
    }
  });

  test("an archived spec changes nothing: its runners wait on, and are woken once it is back", async ({
    expect,
  }) => {
    const { runner, spec } = await one();
    const socket = await wait(runner);
    const archive = (archived: boolean) =>
      call("PATCH", `${V0}/specs/${spec.uuid}`, { token: admin.token, body: { archived } });
    await archive(true);
    await archive(false);
    await jobFor(spec);
    expect(await socket.hear(1)).toEqual([WORK]);
  });
});

test("what cron asks for steps through indexes", async ({ expect }) => {
  const { plansOf } = await import("../harness/instruments.ts");
  const { openDatabase, createMeter } = await import("../../../src/db/client.ts");
  const { findWanted } = await import("../../../src/lobbies/store.ts");
  const traffic = await rowsReadBy(async () => {
    const session = env.DB.withSession();
    const db = openDatabase(session as unknown as D1Database, createMeter());
    return findWanted(db, { now: Date.now(), createdAfter: 0 });
  });
  const plan = (await plansOf(traffic)).join("\n");
  expect(plan).toContain("jobs USING INDEX jobs_open_by_spec");
  expect(plan).not.toMatch(/SCAN (?:jobs|runners|specs)\b/);
});
