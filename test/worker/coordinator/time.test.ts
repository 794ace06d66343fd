/** Time in the object: expiry, contact and its loss, alarms, and an abort that ends all of it. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { describe, test } from "vitest";
import {
  call,
  detail,
  expectError,
  join,
  machineUuid,
  poll,
  putResult,
  type Reply,
} from "../harness/client.ts";
import { createJob, createPerson, type TestJob } from "../harness/factories.ts";
import { coordinatorOf, farAhead, flushed, travel } from "../harness/instruments.ts";
import { jobRow } from "../harness/rows.ts";
import { eventually } from "../harness/time.ts";

function abort(job: TestJob, token = job.owner.token): Promise<Reply<Record<string, unknown>>> {
  return call("POST", `/jobs/${job.id}/abort`, { token });
}

describe("abort", () => {
  test("a running job: it has ended for everyone; aborting again is the same", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    const reply = await abort(job);
    expect(reply.status, reply.text).toBe(200);
    expect((await abort(job)).text).toBe(reply.text);
    await flushed(job);
    expect((await abort(job)).text).toBe(reply.text);
    expect((await detail(job)).body).toMatchObject({
      state: "aborted",
      tasks: [{ state: "aborted" }],
    });
    expect((await poll(job, taskId)).body.directive).toBe("stop");
  });

  test("a completed job: JOB_STATE_INVALID, also before D1 has heard of its end", async ({
    expect,
  }) => {
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    await putResult(job, taskId, 0);
    const message = "The job has already ended and cannot be aborted";
    expectError(expect, await abort(job), 400, "JOB_STATE_INVALID", message);
    await flushed(job);
    expectError(expect, await abort(job), 400, "JOB_STATE_INVALID", message);
  });

  test("who may: the customer's people who see it; staff see it, but 403; strangers 404", async ({
    expect,
  }) => {
    const job = await createJob();
    const staff = await createPerson({ role: "staff" });
    const stranger = await createPerson();
    const colleague = await createPerson({ customerId: job.owner.customerId });
    const admin = await createPerson({ customerId: job.owner.customerId, role: "customer_admin" });
    expectError(expect, await abort(job, staff.token), 403, "PERMISSION_DENIED");
    expectError(expect, await abort(job, stranger.token), 404, "RESOURCE_NOT_FOUND");
    expectError(expect, await abort(job, colleague.token), 404, "RESOURCE_NOT_FOUND");
    expect((await detail(job)).body.state).toBe("created");
    expect((await abort(job, admin.token)).status).toBe(200);
  });
});

describe("time", () => {
  test("a node out of contact for 150 s is lost; it comes back and takes its next step", async ({
    expect,
  }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const [one, two] = [(await join(job)).body.id, (await join(job)).body.id];
    time.to(start + 100_000);
    await poll(job, two);
    time.to(start + 149_999);
    await runDurableObjectAlarm(coordinatorOf(job));
    expect((await detail(job)).body.tasks[0].state).toBe("running");
    time.to(start + 150_000);
    await runDurableObjectAlarm(coordinatorOf(job));
    const seen = (await detail(job)).body;
    expect(seen.tasks[0]).toMatchObject({
      state: "failed",
      failed_message: "no contact for 150 s",
    });
    expect(seen.tasks[1]).toMatchObject({ state: "running", failed_message: null });
    const back = await poll(job, one);
    expect(back.body).toMatchObject({
      directive: "wait",
      task: { state: "running", failed_message: null },
    });
    const kinds = (await detail(job)).body.events.map((event: { kind: string }) => event.kind);
    expect(kinds).toEqual(["joined", "step_started", "joined", "step_started", "lost", "returned"]);
  });

  test("an expired job settles by its alarm, and D1 hears of it", async ({ expect }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    await putResult(job, taskId, 0);
    time.to(start + 24 * 3_600_000);
    expect(await runDurableObjectAlarm(coordinatorOf(job))).toBe(true);
    expect(await jobRow(job)).toMatchObject({
      state: "completed_with_warnings",
      endedAt: start + 24 * 3_600_000,
    });
  });

  test("after expiry the owner sees the end even before the alarm", async ({ expect }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    await join(job);
    await flushed(job);
    time.to(start + 24 * 3_600_000);
    const live = await coordinatorOf(job).detail(Number(job.id));
    expect(live).toMatchObject({ ok: true, job: { state: "aborted" } });
  });

  test("a live job always has an alarm; a settled, flushed and rated one only to be forgotten", async ({
    expect,
  }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob();
    const alarm = () =>
      runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.getAlarm());
    const taskId = (await join(job)).body.id;
    expect(await alarm()).toBeLessThanOrEqual(start + 150_000);
    await putResult(job, taskId, 0);
    // An isolate makes one report at a time: this one may have to wait for those of other tests.
    let tries = 0;
    await eventually(async () => {
      time.to(start + ++tries * 10_000);
      await runDurableObjectAlarm(coordinatorOf(job));
      expect((await jobRow(job)).reportHash).not.toBeNull();
    });
    await runDurableObjectAlarm(coordinatorOf(job));
    const { expiresAt } = await jobRow(job);
    expect(await alarm()).toBe(Number(expiresAt) + 24 * 3_600_000);
  });

  test("lost alarms do no harm: any later call finds what is due", async ({ expect }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    await join(job, { machine_uuid: machineUuid() });
    await runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.deleteAlarm());
    time.to(start + 24 * 3_600_000);
    const live = await coordinatorOf(job).abort(Number(job.id));
    expect(live, "it had expired, which is aborted already").toMatchObject({
      ok: true,
      job: { state: "aborted" },
    });
  });

  test("a lost alarm is set again by the next call: of an object that starts anew, or a minute late", async ({
    expect,
  }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    await join(job);
    await flushed(job);
    const alarm = () =>
      runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.getAlarm());
    const loseAlarm = () =>
      runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.deleteAlarm());
    await loseAlarm();
    await evictDurableObject(coordinatorOf(job));
    await poll(job);
    await eventually(async () => expect(await alarm()).toBe(start + 150_000));
    await loseAlarm();
    time.to(start + 150_000 + 59_999);
    await poll(job);
    expect(await alarm(), "it may be late").toBeNull();
    time.to(start + 150_000 + 60_000);
    await poll(job);
    expect(await alarm()).toBe(start + 150_000);
  });

  test("joining again and sending a result again are signs of life", async ({ expect }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const machine_uuid = machineUuid();
    const taskId = (await join(job, { machine_uuid })).body.id;
    const state = async () => (await detail(job)).body.tasks[0].state;
    time.to(start + 210_000);
    await join(job, { machine_uuid });
    await runDurableObjectAlarm(coordinatorOf(job));
    expect(await state(), "by joining").toBe("running");
    await putResult(job, taskId, 0);
    time.to(start + 420_000);
    await putResult(job, taskId, 0);
    await runDurableObjectAlarm(coordinatorOf(job));
    expect(await state(), "by its result").toBe("running");
  });

  test("a lost node that joins again stays", async ({ expect }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const machine_uuid = machineUuid();
    await join(job, { machine_uuid });
    time.to(start + 210_000);
    await runDurableObjectAlarm(coordinatorOf(job));
    await join(job, { machine_uuid });
    await runDurableObjectAlarm(coordinatorOf(job));
    const { tasks, events } = (await detail(job)).body;
    expect(tasks[0]).toMatchObject({ state: "running", failed_message: null });
    const kinds = events.map((event: { kind: string }) => event.kind);
    expect(kinds).toEqual(["joined", "step_started", "lost", "returned"]);
  });

  test("a lost node that gives up is answered, also when that ends the job", async ({ expect }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    time.to(start + 210_000);
    await runDurableObjectAlarm(coordinatorOf(job));
    const body = { state: "failed", failed_message: "out of memory" };
    const path = `/jobs/current/tasks/${taskId}`;
    const reply = await call("PATCH", path, { token: job.token, body });
    expect(reply.status, reply.text).toBe(200);
    expect((await detail(job)).body.state).toBe("failed");
    expectError(expect, await call("PATCH", path, { token: job.token, body }), 409, "JOB_ENDED");
  });
});
