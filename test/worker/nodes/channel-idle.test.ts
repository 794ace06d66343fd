/** What an idle channel costs: nothing. Alone in its file, since objects of other tests' jobs ask D1, too. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { onTestFinished, test, vi } from "vitest";
import { JobCoordinator } from "../../../src/coordinator/job-coordinator.ts";
import { CoordinatorStorage } from "../../../src/coordinator/storage/storage.ts";
import { MINUTE_MS } from "../../../src/lib/clock.ts";
import { joinChannel } from "../harness/channel.ts";
import { join, joinSecret } from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import { coordinatorOf, flushed } from "../harness/instruments.ts";

/** Of two nodes in 25 minutes and more: agents ping every 30 to 60 s. */
const PINGS = 50;
const IDLE_MS = 10 * MINUTE_MS;

/** The time of the object's alarm, and all rows that a contact could change. */
function stored(job: { id: string }) {
  return runInDurableObject(coordinatorOf(job), async (_object, { storage }) => ({
    alarm: await storage.getAlarm(),
    contacts: storage.sql.exec("SELECT * FROM contact ORDER BY rank").toArray(),
    nodes: storage.sql.exec("SELECT * FROM node ORDER BY rank").toArray(),
    jobs: storage.sql.exec("SELECT * FROM job").toArray(),
    events: storage.sql.exec("SELECT * FROM event ORDER BY seq").toArray(),
  }));
}

test("pings wake nobody, write nothing, and ask D1 for nothing", async ({ expect }) => {
  const job = await createJob({ node_count: 3 });
  const nodes = [];
  for (let n = 0; n < 2; n++) {
    const { body: task } = await join(job, { join_secret: joinSecret() });
    nodes.push({ id: task.id, as: { ...job, taskToken: task.task_token } });
  }
  await flushed(job);
  const sockets = [];
  for (const { id, as } of nodes) sockets.push(await joinChannel(as, id));
  const before = await stored(job);
  expect(before.alarm, "no alarm wakes it for 10 minutes").toBeGreaterThan(Date.now() + IDLE_MS);
  await evictDurableObject(coordinatorOf(job));
  const load = vi.spyOn(CoordinatorStorage.prototype, "load");
  const message = vi.spyOn(JobCoordinator.prototype, "webSocketMessage");
  const spies = [
    load,
    message,
    vi.spyOn(JobCoordinator.prototype, "alarm"),
    vi.spyOn(JobCoordinator.prototype, "fetch"),
    vi.spyOn(JobCoordinator.prototype, "poll"),
    vi.spyOn(env.DB, "prepare"),
    vi.spyOn(env.DB, "batch"),
    vi.spyOn(env.DB, "withSession"),
  ];
  onTestFinished(() => {
    for (const spy of spies) spy.mockRestore();
  });
  for (let n = 1; n <= PINGS; n++) {
    for (const socket of sockets) {
      socket.send("ping");
      await socket.hear(1 + n);
    }
  }
  for (const spy of spies) expect(spy).not.toHaveBeenCalled();
  expect(await stored(job), "not a row was written").toEqual(before);
  expect(load, "this test has woken it").toHaveBeenCalledOnce();
  await evictDurableObject(coordinatorOf(job));
  load.mockClear();
  sockets[0]?.send({ type: "progress", progress: 0.5 });
  await expect.poll(() => load.mock.calls.length).toBe(1);
  expect(message, "what wakes is seen here").toHaveBeenCalledOnce();
});
