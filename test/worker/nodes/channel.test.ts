/** The node channel: who gets a socket, what it tells, and how it ends. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import type { JobCoordinator } from "../../../src/coordinator/job-coordinator.ts";
import { Flusher } from "../../../src/coordinator/projection/flusher.ts";
import { DAY_MS } from "../../../src/lib/clock.ts";
import { askFor, CHANNEL, holdOpen, joinChannel, openChannel } from "../harness/channel.ts";
import {
  call,
  expectError,
  heartbeat,
  join,
  joinSecret,
  poll,
  putResult,
} from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import { coordinatorOf, costOf, farAhead, travel } from "../harness/instruments.ts";

async function joined(body: Record<string, unknown> = {}, machine: Record<string, unknown> = {}) {
  const job = await createJob(body);
  const { body: task } = await join(job, { join_secret: joinSecret(), ...machine });
  return { job: { ...job, taskToken: task.task_token as string }, taskId: task.id as string };
}

describe("opening", () => {
  test("101 with the job's token, in a header or a subprotocol; assay.v1 is answered", async ({
    expect,
  }) => {
    const { job } = await joined();
    const byHeader = await askFor(CHANNEL, { token: job.token });
    expect(byHeader.status).toBe(101);
    expect(byHeader.headers.get("sec-websocket-protocol")).toBeNull();
    holdOpen(byHeader);
    const byProtocol = await askFor(CHANNEL, { protocols: `assay.v1, bearer.${job.token}` });
    expect(byProtocol.status).toBe(101);
    expect(byProtocol.headers.get("sec-websocket-protocol")).toBe("assay.v1");
    expect(byProtocol.headers.get("x-request-id")).toMatch(/./);
    holdOpen(byProtocol);
  });

  test("401 without a token, 426 without an upgrade, 409 after the job's end", async ({
    expect,
  }) => {
    const { job, taskId } = await joined();
    expect((await askFor(CHANNEL, {})).status).toBe(401);
    expect((await askFor(CHANNEL, { token: "x" })).status).toBe(401);
    expect((await askFor(CHANNEL, { token: job.owner.token })).status).toBe(401);
    const plain = await call("GET", "/jobs/current/channel", { token: job.token });
    expectError(expect, plain, 426, "UPGRADE_REQUIRED");
    expect(plain.headers.get("upgrade")).toBe("websocket");
    expect((await putResult(job, taskId, 0)).status).toBe(200);
    const late = await askFor(CHANNEL, { token: job.token });
    expect(late.status).toBe(409);
    expect(await late.json()).toMatchObject({ error: { code: "JOB_ENDED" }, directive: "stop" });
  });

  test("counts against the same rate limit as polls, and is refused by it", async ({ expect }) => {
    const { job, taskId } = await joined({ node_count: 1 });
    const limit = vi.spyOn(env.LIMIT_NODE_2, "limit");
    onTestFinished(() => limit.mockRestore());
    for (let n = 0; n < 10; n++) {
      expect((await poll(job, taskId)).status).toBe(200);
      holdOpen(await askFor(CHANNEL, { token: job.token })).close();
    }
    // Joining and the first four calls are far below the limit, and counted in the isolate alone.
    const keys = limit.mock.calls.map(([{ key }]) => key).filter((key) => key === job.id);
    expect(keys).toHaveLength(16);
    limit.mockResolvedValue({ success: false });
    const refused = await askFor(CHANNEL, { token: job.token });
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("10");
    await refused.body?.cancel();
  });

  test("costs one hop and no D1", async ({ expect }) => {
    const { job } = await joined();
    const cost = await costOf(async () => {
      holdOpen(await askFor(CHANNEL, { token: job.token }));
      return { status: 0, headers: new Headers(), body: null, text: "" };
    });
    expect(cost).toMatchObject({ status: 101, d1_round_trips: 0, object_hops: 1 });
  });
});

describe("hello", () => {
  test("gets the view of a poll with its validator, and the nonce", async ({ expect }) => {
    const { job, taskId } = await joined();
    const { body, headers } = await poll(job, taskId);
    const nonce = "abcdefghijklmnopqrstuv";
    const socket = await joinChannel(job, taskId, { nonce });
    const [first] = socket.heard;
    expect(first).toMatchObject({ type: "view", etag: headers.get("etag"), nonce });
    const { poll_after_seconds: _wait, ...view } = first.view;
    // A poll has the verdict of a settled job, too.
    const { poll_after_seconds: _, performance, findings, spec_check, ...polled } = body;
    expect([performance, findings, spec_check]).toEqual([null, null, null]);
    expect(view).toEqual(polled);
  });

  test("with the validator of the present view: no view, and nothing at all without a nonce", async ({
    expect,
  }) => {
    const { job, taskId } = await joined();
    const known = (await poll(job, taskId)).headers.get("etag");
    const socket = await joinChannel(job, taskId, { known_etag: known });
    expect(socket.heard[0]).toMatchObject({ type: "view", etag: known, view: null });
    const quiet = await openChannel(job);
    quiet.send({ type: "hello", task_id: taskId, task_token: job.taskToken, known_etag: known });
    expect((await socket.end()).code).toBe(4001);
    quiet.send("ping");
    expect(await quiet.hear(1)).toEqual(["pong"]);
  });

  test.for([
    ["another task's token", { task_token: "x.y.z" }, 4003, /^task_token is not that of this task/],
    ["no token", { task_token: null }, 4003, /^task_token is not that of this task/],
    ["an unknown task", { task_id: "512" }, 1008, /^no task 512$/],
    ["no task", { task_id: "abc" }, 1008, /^task_id must be an id: decimal digits$/],
    ["a number for a task", { task_id: 512 }, 1008, /^task_id must be a string$/],
    ["an unknown type", { type: "hallo" }, 1008, /^type must be hello or progress$/],
    ["a bad nonce", { nonce: "x" }, 1008, /^nonce must be 22 characters of /],
  ] as const)("%s: an error, then the end", async ([, wrong, code, words], { expect }) => {
    const { job, taskId } = await joined();
    const socket = await openChannel(job);
    socket.send({ type: "hello", task_id: taskId, task_token: job.taskToken, ...wrong });
    expect((await socket.end()).code).toBe(code);
    expect(socket.heard).toEqual([{ type: "error", message: expect.stringMatching(words) }]);
  });

  test("an agent without a secret needs no token", async ({ expect }) => {
    const job = await createJob();
    const { body: task } = await join(job);
    const socket = await joinChannel(job, task.id);
    expect(socket.heard[0].view.task.id).toBe(task.id);
  });
});

describe("views", () => {
  test("come when what the node sees changes, and not for the news of others", async ({
    expect,
  }) => {
    const { job, taskId } = await joined({ node_count: 3, benchmarks: ["cluster_network"] });
    const socket = await joinChannel(job, taskId);
    const two = await join(job);
    await putResult(job, taskId, 0);
    await socket.hear(2);
    expect(socket.heard[1].view).toMatchObject({ directive: "wait", current_nodes: 2 });
    const { token } = job;
    await putResult({ token }, two.body.id, 0);
    const three = await join(job);
    await socket.hear(3);
    expect(socket.heard[2].view).toMatchObject({ directive: "wait", state: "running" });
    await putResult({ token }, three.body.id, 0);
    await socket.hear(4);
    expect(socket.heard[3].view).toMatchObject({ directive: "run", step: { position: 1 } });
    expect(socket.heard[3].view.nodes).toHaveLength(3);
    const polled = await poll(job, taskId);
    expect(socket.heard[3].etag).toBe(polled.headers.get("etag"));
  });

  test("the job's end: stop, then 1000", async ({ expect }) => {
    const { job, taskId } = await joined({ node_count: 2 });
    const socket = await joinChannel(job, taskId);
    const stranger = await openChannel(job);
    await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
    expect(await socket.end()).toEqual({ code: 1000, reason: "the job has ended" });
    expect(await stranger.end(), "one without a hello, too").toMatchObject({ code: 1000 });
    expect(socket.heard[1].view).toMatchObject({ directive: "stop", state: "aborted" });
  });

  test("come before anything is made for D1", async ({ expect }) => {
    const { job, taskId } = await joined({ node_count: 2 });
    const socket = await joinChannel(job, taskId);
    const flush = vi.spyOn(Flusher.prototype, "flush");
    onTestFinished(() => flush.mockRestore());
    const begun = () => flush.mock.calls.filter(([live]) => String(live.identity.jobId) === job.id);
    await runInDurableObject(coordinatorOf(job), async (object: JobCoordinator) => {
      await object.abort(Number(job.id));
      // All that can happen within this turn of the event loop.
      for (let at = 0; at < 1_000; at++) await Promise.resolve();
      expect(begun()).toEqual([]);
    });
    await socket.end();
    await expect.poll(() => begun().length).toBe(1);
  });

  test("the job's expiry, after which its token is valid no more: stop, then 1000", async ({
    expect,
  }) => {
    const start = farAhead();
    const time = travel();
    time.to(start);
    const { job, taskId } = await joined({ node_count: 2 });
    const socket = await joinChannel(job, taskId);
    time.to(start + DAY_MS);
    await runDurableObjectAlarm(coordinatorOf(job));
    expect((await socket.end()).code).toBe(1000);
    expect(socket.heard[1].view.directive).toBe("stop");
  });

  test("reach a socket whose object has slept", async ({ expect }) => {
    const { job, taskId } = await joined({ node_count: 2 });
    const socket = await joinChannel(job, taskId);
    await evictDurableObject(coordinatorOf(job));
    await putResult(job, taskId, 0);
    await socket.hear(2);
    expect(socket.heard[1].view).toMatchObject({ directive: "stop", state: "starting" });
    await evictDurableObject(coordinatorOf(job));
    await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
    expect((await socket.end()).code).toBe(1000);
  });
});

describe("progress", () => {
  test("is shown to the owner, kept over sleep, and not echoed", async ({ expect }) => {
    const { job, taskId } = await joined({ node_count: 2 });
    const socket = await joinChannel(job, taskId);
    socket.send({ type: "progress", progress: 0.25, message: "a quarter" });
    const shown = async () => (await poll(job, taskId)).body.task;
    await expect.poll(shown).toMatchObject({ progress: 0.25, message: "a quarter" });
    await evictDurableObject(coordinatorOf(job));
    expect(await shown()).toMatchObject({ progress: 0.25, message: "a quarter" });
    await join(job);
    await socket.hear(2);
    expect(socket.heard[1].view).toMatchObject({ state: "running", task: { progress: 0.25 } });
    expect(socket.heard).toHaveLength(2);
    socket.close();
    await socket.end();
    await evictDurableObject(coordinatorOf(job));
    expect(await shown()).toMatchObject({ progress: 0.25, message: "a quarter" });
  });

  test("written late, it does not come back after the step's result", async ({ expect }) => {
    const { job, taskId } = await joined({ node_count: 2, benchmarks: ["cluster_network"] });
    const socket = await joinChannel(job, taskId);
    socket.send({ type: "progress", progress: 0.9 });
    await expect.poll(async () => (await poll(job, taskId)).body.task.progress).toBe(0.9);
    await putResult(job, taskId, 0);
    await evictDurableObject(coordinatorOf(job));
    expect((await poll(job, taskId)).body.task.progress).toBe(0);
  });

  test("more often than every 5 s: the end", async ({ expect }) => {
    const { job, taskId } = await joined();
    const socket = await joinChannel(job, taskId);
    for (let n = 0; n < 8; n++) socket.send({ type: "progress", progress: n / 10 });
    expect((await socket.end()).code).toBe(1008);
    expect((await heartbeat(job, taskId)).status).toBe(200);
  });
});
