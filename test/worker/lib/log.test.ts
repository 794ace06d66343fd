/** Every line of the log has one shape: what happened is the value of `event`, so that a query can ask for it. */

import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { onTestFinished, test, vi } from "vitest";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { DAY_MS, systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { runTick } from "../../../src/maintenance/tick.ts";
import { rerate } from "../../../src/scoreboard/upkeep.ts";
import { appDeps, call, join, putResult } from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import { coordinatorOf, flushed, ownD1, reported } from "../harness/instruments.ts";
import { eventually } from "../harness/time.ts";

const METHODS = { log: "info", warn: "warn", error: "error" } as const;

function tick(at: number, d1 = env.DB) {
  const { bucket, assets, coordinators, lobbies } = appDeps();
  const config = { ...readConfig(env), databaseWarningBytes: 1 };
  return runTick({
    ...{ d1, bucket, assets, coordinators, lobbies, config },
    clock: { now: () => at },
  });
}

test("failing paths write lines of one shape", async ({ expect }) => {
  const lines: { method: keyof typeof METHODS; text: string }[] = [];
  for (const method of ["log", "warn", "error"] as const) {
    vi.spyOn(console, method).mockImplementation((text: string) => {
      lines.push({ method, text });
    });
  }
  onTestFinished(() => void vi.restoreAllMocks());

  // D1 takes nothing in: a flush fails, then the alarm's.
  const job = await createJob();
  const taskId = (await join(job)).body.id;
  await flushed(job);
  const down = vi.spyOn(env.DB, "batch").mockRejectedValue(new Error("D1_ERROR: no"));
  await putResult(job, taskId, 0);
  await runDurableObjectAlarm(coordinatorOf(job));
  down.mockRestore();
  // A request that only D1 can answer.
  vi.spyOn(env.DB, "withSession").mockImplementationOnce(() => {
    throw new Error("D1_ERROR: no");
  });
  await call("GET", "/jobs", { token: job.owner.token });
  await runDurableObjectAlarm(coordinatorOf(job));
  await reported(job);
  // R2 takes nothing in, a step of cron fails, and one job cannot be rated.
  const away = vi.spyOn(env.BUCKET, "put").mockRejectedValue(new Error("put: (10001)"));
  const other = await createJob();
  await putResult(other, (await join(other)).body.id, 0);
  await eventually(() => expect(JSON.stringify(lines)).toContain("followup_failed"));
  away.mockRestore();
  await tick(systemClock.now());
  const d1 = ownD1();
  vi.spyOn(d1, "batch").mockRejectedValueOnce(new Error("D1_ERROR: no"));
  await tick(systemClock.now(), d1);
  const db = openDatabase(env.DB, createMeter());
  await env.DB.prepare("UPDATE jobs SET rated_at = NULL WHERE id = ?").bind(Number(job.id)).run();
  await env.DB.prepare("UPDATE tasks SET figures = '[' WHERE id = ?").bind(Number(taskId)).run();
  await rerate(db, systemClock.now() + DAY_MS, 100, readConfig(env).rating);

  const events = new Set<string>();
  for (const { method, text } of lines) {
    const line = JSON.parse(text);
    expect(Object.keys(line).slice(0, 2), text).toEqual(["level", "event"]);
    expect(line.level, text).toBe(METHODS[method]);
    expect(line.event, text).toMatch(/^[a-z]+(_[a-z0-9]+)+$|^request$/);
    for (const name of Object.keys(line)) expect(name, text).toMatch(/^[a-z0-9]+(_[a-z0-9]+)*$/);
    if (line.level === "error") expect(line.causes, text).toEqual(expect.any(Array));
    events.add(line.event);
  }
  for (const event of [
    "request",
    "request_failed",
    "flush_failed",
    "followup_failed",
    "cron_tick",
    "cron_step_failed",
    "database_large",
    "rerate_failed",
  ]) {
    expect([...events], event).toContain(event);
  }
});
