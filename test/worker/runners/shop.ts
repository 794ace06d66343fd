/** Runners, specs and jobs as the tests of claims need them. */
import { vi } from "vitest";
import { toMachine } from "../../../src/coordinator/wire/machine.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { call, machineUuid, V0 } from "../harness/client.ts";
import {
  createJob,
  createPerson,
  createRunner,
  createSpec,
  type TestRunner,
  type TestSpec,
} from "../harness/factories.ts";
import { coordinatorOf } from "../harness/instruments.ts";

export const admin = await createPerson({ role: "root_admin" });

export async function shop(runners = 1): Promise<{ spec: TestSpec; runners: TestRunner[] }> {
  const spec = await createSpec({}, admin);
  const all = Array.from({ length: runners }, () => createRunner([spec], admin));
  return { spec, runners: await Promise.all(all) };
}

export async function one(): Promise<{ spec: TestSpec; runner: TestRunner }> {
  const { spec, runners } = await shop();
  return { spec, runner: runners[0] as TestRunner };
}

export const jobFor = (spec: TestSpec, body: Record<string, unknown> = {}) =>
  createJob({ spec: spec.uuid, ...body }, admin);

/** Takes a place in a job for runners, as the claim of a runner that has reserved nothing in D1. */
export async function takePlace(job: { id: string }, uuid = machineUuid()) {
  const machine = toMachine(uuid, {});
  const reply = await coordinatorOf(job).join(Number(job.id), machine, { isClaim: true });
  if (!reply.ok) return null;
  const { id }: { id: string } = JSON.parse(reply.task);
  return id;
}

export const patch = (runner: TestRunner, body: Record<string, unknown>) =>
  call("PATCH", `${V0}/runners/${runner.uuid}`, { token: admin.token, body });

export const view = async (runner: TestRunner) =>
  (await call("GET", `${V0}/runners/${runner.uuid}`, { token: admin.token })).body;

/** Runs later: isolate-wide caches of candidates are old then. */
export async function later<T>(ms: number, run: () => Promise<T>): Promise<T> {
  const clock = vi.spyOn(systemClock, "now").mockImplementation(() => Date.now() + ms);
  try {
    return await run();
  } finally {
    clock.mockRestore();
  }
}
