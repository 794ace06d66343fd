/** How long a node with a socket counts as there, and what its silence costs. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, onTestFinished, test, vi } from "vitest";
import { SECOND_MS } from "../../../src/lib/clock.ts";
import { patient } from "../../patience.ts";
import { joinChannel, openChannel, type TestSocket } from "../harness/channel.ts";
import {
  detail,
  expectError,
  heartbeat,
  join,
  joinSecret,
  machineUuid,
  poll,
} from "../harness/client.ts";
import { createJob, type TestJob } from "../harness/factories.ts";
import { coordinatorOf, farAhead, flushed, travel } from "../harness/instruments.ts";
import { eventually } from "../harness/time.ts";

const LEASE_MS = 150_000;
const LOOK_MS = 15 * 60_000;

async function joined(nodeCount = 2, machine: Record<string, unknown> = {}) {
  const benchmarks = nodeCount === 1 ? [] : ["cluster_network"];
  const job = await createJob({ node_count: nodeCount, benchmarks });
  const { body: task } = await join(job, { join_secret: joinSecret(), ...machine });
  return { job: { ...job, taskToken: task.task_token as string }, taskId: task.id as string };
}

const alarmOf = (job: TestJob) =>
  runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.getAlarm());
const wake = (job: TestJob) => runDurableObjectAlarm(coordinatorOf(job));
const taskOf = async (job: TestJob) => (await detail(job)).body.tasks[0];

/** A node with a socket whose job is in D1, so that nothing but the lease is left to wait for. */
async function atRest(start: number, time: { to: (ms: number) => void }) {
  time.to(start);
  const { job, taskId } = await joined();
  await flushed(job);
  await wake(job);
  const socket = await joinChannel(job, taskId);
  return { job, taskId, socket };
}

describe("leases", () => {
  test("while its socket is open, a node is looked for every 15 minutes", async ({ expect }) => {
    const start = farAhead();
    const time = travel();
    const { job, socket } = await atRest(start, time);
    expect(await alarmOf(job)).toBe(start + LOOK_MS);
    time.to(start + LOOK_MS - 1);
    expect((await taskOf(job)).state, "silent, but nobody has looked").toBe("running");
    time.to(start + LOOK_MS);
    await wake(job);
    expect(await taskOf(job)).toMatchObject({
      state: "failed",
      failed_message: "no contact for 150 s",
    });
    expect((await socket.end()).code).toBe(4008);
  });

  test("pings count as contact, by the platform's time", async ({ expect }) => {
    const real = Date.now();
    const time = travel();
    const { job, socket } = await atRest(real - 14 * 60_000, time);
    socket.send("ping");
    await socket.hear(2);
    await evictDurableObject(coordinatorOf(job));
    time.to(real + 60_000);
    await wake(job);
    expect((await taskOf(job)).state).toBe("running");
    const at = (await alarmOf(job)) ?? 0;
    expect(at).toBeGreaterThanOrEqual(real + LOOK_MS);
    expect(at).toBeLessThan(real + LOOK_MS + 60_000);
    expect(socket.ended).toBeNull();
  });

  test("a socket that closes begins the ordinary lease at once", async ({ expect }) => {
    const start = farAhead();
    const time = travel();
    const { job, socket } = await atRest(start, time);
    time.to(start + 400_000);
    socket.close();
    await socket.end();
    await expect.poll(() => alarmOf(job)).toBe(start + 400_000 + LEASE_MS);
    time.to(start + 400_000 + LEASE_MS - 1);
    await wake(job);
    expect((await taskOf(job)).state).toBe("running");
    time.to(start + 400_000 + LEASE_MS);
    await wake(job);
    expect((await taskOf(job)).failed_message).toBe("no contact for 150 s");
  });

  test("a socket that closes while the object sleeps begins it, too", async ({ expect }) => {
    const start = farAhead();
    const time = travel();
    const { job, socket } = await atRest(start, time);
    await evictDurableObject(coordinatorOf(job));
    time.to(start + 400_000);
    socket.close();
    await socket.end();
    await expect.poll(() => alarmOf(job)).toBe(start + 400_000 + LEASE_MS);
  });

  test("a deployment closes the socket: the lease begins when the object wakes, once", async ({
    expect,
  }) => {
    const start = farAhead();
    const time = travel();
    const { job } = await atRest(start, time);
    await evictDurableObject(coordinatorOf(job), { webSockets: "close" });
    time.to(start + 500_000);
    expect((await taskOf(job)).state).toBe("running");
    await evictDurableObject(coordinatorOf(job));
    time.to(start + 500_000 + LEASE_MS - 1);
    await wake(job);
    expect((await taskOf(job)).state).toBe("running");
    await evictDurableObject(coordinatorOf(job));
    time.to(start + 500_000 + LEASE_MS * 1.5);
    await wake(job);
    expect((await taskOf(job)).failed_message).toBe("no contact for 150 s");
  });

  test("a node whose socket was closed with the object is looked for after the ordinary lease", async ({
    expect,
  }) => {
    const start = farAhead();
    const time = travel();
    time.to(start);
    const { job, taskId } = await joined();
    const { body: other } = await join(job, { join_secret: joinSecret() });
    await flushed(job);
    await joinChannel(job, taskId);
    await joinChannel({ ...job, taskToken: other.task_token }, other.id);
    await wake(job);
    expect(await alarmOf(job)).toBe(start + LOOK_MS);
    await evictDurableObject(coordinatorOf(job), { webSockets: "close" });
    time.to(start + 60_000);
    // Any call wakes the object; this one comes from the other node, without a socket.
    expect((await poll({ ...job, taskToken: other.task_token }, other.id)).status).toBe(200);
    await expect.poll(() => alarmOf(job)).toBe(start + 60_000 + LEASE_MS);
    time.to(start + 60_000 + LEASE_MS);
    await wake(job);
    expect((await taskOf(job)).failed_message).toBe("no contact for 150 s");
  });

  test("sleep without the loss of a socket changes no alarm", async ({ expect }) => {
    const start = farAhead();
    const time = travel();
    const { job } = await atRest(start, time);
    await evictDurableObject(coordinatorOf(job));
    time.to(start + 60_000);
    expect((await taskOf(job)).state).toBe("running");
    expect(await alarmOf(job)).toBe(start + LOOK_MS);
  });

  test("a lost node comes back by its hello", async ({ expect }) => {
    const start = farAhead();
    const time = travel();
    const { job, taskId } = await atRest(start, time);
    time.to(start + LOOK_MS);
    await wake(job);
    const again = await joinChannel(job, taskId);
    expect(again.heard).toHaveLength(1);
    expect(again.heard[0]).toMatchObject({
      nonce: expect.any(String),
      view: { directive: "wait" },
    });
    expect((await taskOf(job)).state).toBe("running");
  });

  test("another agent gets the node of a silent socket after its lease, and that is closed", async ({
    expect,
  }) => {
    const start = farAhead();
    const time = travel();
    time.to(start);
    const machine = { machine_uuid: machineUuid() };
    const { job, taskId } = await joined(2, machine);
    const socket = await joinChannel(job, taskId);
    // A node that has ended is not lost.
    const leave = { state: "failed", failed_message: "no more" };
    await heartbeat(job, taskId, leave);
    const other = () => join(job, { ...machine, join_secret: joinSecret() });
    time.to(start + LEASE_MS - 1_000);
    const refused = await other();
    expectError(expect, refused, 409, "MACHINE_IN_USE");
    time.to(start + LEASE_MS + 1_000);
    const taken = await other();
    expect(taken.status).toBe(200);
    expect((await socket.end()).code).toBe(4003);
    expect(socket.heard.at(-1).view.directive).toBe("stop");
    const mine = await poll({ ...job, taskToken: taken.body.task_token }, taskId);
    expect(mine.status).toBe(200);
  });
});

describe("one socket a task", () => {
  test("the older one is closed with 4001; its end does not end the newer one's lease", async ({
    expect,
  }) => {
    const start = farAhead();
    const time = travel();
    const { job, taskId, socket } = await atRest(start, time);
    const newer = await joinChannel(job, taskId);
    expect((await socket.end()).code).toBe(4001);
    expect(await alarmOf(job)).toBe(start + LOOK_MS);
    newer.send({ type: "progress", progress: 0.5 });
    await expect.poll(async () => (await taskOf(job)).progress).toBe(0.5);
  });
});

describe("hostile clients", () => {
  test("1,000 sockets for one task: each is closed by the next, one is left, and no node is lost", {
    timeout: patient(240_000),
  }, async ({ expect }) => {
    // Of so many nodes that the rate limit lets a thousand requests pass.
    const { job, taskId } = await joined(256);
    const hello = { type: "hello", task_id: taskId, task_token: job.taskToken };
    const sockets: TestSocket[] = [];
    while (sockets.length < 1_000) {
      const opened = Array.from({ length: 50 }, async () => {
        const socket = await openChannel(job);
        socket.send(hello);
        return socket;
      });
      sockets.push(...(await Promise.all(opened)));
    }
    const left = await eventually(() => {
      const [one, ...more] = sockets.filter(({ ended }) => ended === null);
      if (one === undefined || more.length > 0) throw new Error(`${1 + more.length} are open`);
      return one;
    });
    const codes = sockets.flatMap(({ ended }) => ended?.code ?? []);
    expect(codes).toHaveLength(999);
    // Those whose hello had not been read when too many had come are closed as busy.
    expect(codes.filter((code) => code !== 4001 && code !== 1013)).toEqual([]);
    expect(codes).toContain(4001);
    left.send("ping");
    expect((await left.hear(2))[1]).toBe("pong");
    const open = await runInDurableObject(coordinatorOf(job), (_object, ctx) =>
      ctx.getWebSockets().filter(({ readyState }) => readyState === WebSocket.OPEN),
    );
    expect(open).toHaveLength(1);
    expect((await taskOf(job)).state).toBe("running");
  });

  test.for([
    ["a long message", "x".repeat(2 ** 20), 1009],
    ["binary", new ArrayBuffer(8), 1003],
    ["no JSON", "{", 1008],
    ["progress before hello", { type: "progress", progress: 0.5 }, 1008],
  ] as const)("%s: the end, and nobody else notices", async ([, sent, code], { expect }) => {
    const { job, taskId } = await joined();
    const other = await joinChannel(job, taskId);
    const socket = await openChannel(job);
    socket.send(sent);
    expect((await socket.end()).code).toBe(code);
    other.send("ping");
    expect((await other.hear(2))[1]).toBe("pong");
  });

  test("two hellos at once, for two tasks: refused, and neither node is held by it", async ({
    expect,
  }) => {
    const start = farAhead();
    const time = travel();
    time.to(start);
    const { job, taskId } = await joined();
    const { body: other } = await join(job, { join_secret: joinSecret() });
    await flushed(job);
    await wake(job);
    const socket = await openChannel(job);
    socket.send({ type: "hello", task_id: taskId, task_token: job.taskToken });
    socket.send({ type: "hello", task_id: other.id, task_token: other.task_token });
    expect(await socket.end()).toEqual({ code: 1008, reason: "hello comes once" });
    // The ordinary leases count again.
    await expect.poll(() => alarmOf(job)).toBe(start + LEASE_MS);
  });

  test("a second hello, and a message after that", async ({ expect }) => {
    const { job, taskId } = await joined();
    const socket = await joinChannel(job, taskId);
    const hello = { type: "hello", task_id: taskId, task_token: job.taskToken };
    socket.send(hello);
    socket.send(hello);
    expect((await socket.end()).code).toBe(1008);
    expect((await poll(job, taskId)).status).toBe(200);
  });

  test("sockets without a hello: few at once, and each only for 10 s", async ({ expect }) => {
    const { job, taskId } = await joined(1);
    const node = await joinChannel(job, taskId);
    const timers = vi.spyOn(globalThis, "setTimeout");
    onTestFinished(() => timers.mockRestore());
    const strangers = [];
    for (let n = 0; n < 20; n++) strangers.push(await openChannel(job));
    const [first, second, third, fourth] = await Promise.all(
      strangers.slice(0, 3).map((stranger) => stranger.end()),
    );
    expect([first, second, third].map((end) => end?.code)).toEqual([1013, 1013, 1013]);
    expect(fourth).toBeUndefined();
    expect(strangers.slice(3).every(({ ended }) => ended === null)).toBe(true);
    const waits = timers.mock.calls.filter(([, ms]) => ms === 10 * SECOND_MS);
    expect(waits.length).toBe(20);
    const travelled = travel();
    travelled.to(Date.now() + 11 * SECOND_MS);
    const late = await openChannel(job);
    expect((await strangers[19]?.end())?.code, "those that an earlier instance left").toBe(1008);
    late.close();
    node.send("ping");
    expect((await node.hear(2))[1]).toBe("pong");
  });
});
