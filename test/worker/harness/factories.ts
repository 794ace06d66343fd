/**
 * Factories of test data. Isolation is per file, so every test makes its own data and none relies on an
 * empty database.
 */

import { SESSION_LIFETIME_MS } from "../../../src/identity/lifetimes.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import type { Role } from "../../../src/lib/enums.ts";
import { call, join, machineUuid, putResult, resultBody, tokens, V0 } from "./client.ts";
import { rated } from "./instruments.ts";
import { insertCustomer, insertSession, insertUser } from "./rows.ts";

/** Inserts rows directly, as `createPerson` does: hashing a password for the API takes 150 ms. */
export async function createCustomer(): Promise<number> {
  const uuid = crypto.randomUUID();
  return insertCustomer({ uuid, name: `customer-${uuid}`, slug: `customer-${uuid}` });
}

export interface Person {
  id: number;
  uuid: string;
  customerId: number;
  token: string;
}

/** A well-formed hash that no password matches. */
const NO_PASSWORD = `$scrypt$ln=14,r=8,p=5$${"A".repeat(22)}$${"A".repeat(43)}`;

/** Creates a person with a valid token, in a new customer unless one is given. */
export async function createPerson(
  options: { role?: Role; customerId?: number; email?: string; passwordHash?: string } = {},
): Promise<Person> {
  const customerId = options.customerId ?? (await createCustomer());
  const uuid = crypto.randomUUID();
  const id = await insertUser({
    uuid,
    customerId,
    email: options.email ?? `${uuid}@example.com`,
    slug: `person-${uuid}`,
    role: options.role ?? "user",
    passwordHash: options.passwordHash ?? NO_PASSWORD,
  });
  return { id, uuid, customerId, token: await signedIn({ id, uuid }) };
}

/**
 * Creates a session and its token, without the cost of a password.
 *
 * @param options `at`: the time of its sign-in, ms; now by default
 */
export async function signedIn(
  { id, uuid }: { id: number; uuid: string },
  { at }: { at?: number } = {},
): Promise<string> {
  const sid = crypto.randomUUID();
  const now = systemClock.now();
  const expiresAt = now + SESSION_LIFETIME_MS;
  await insertSession({ uuid: sid, userId: id, createdAt: at ?? now, expiresAt });
  const lasting = { from: now, until: now + 60 * 60_000 };
  return (await tokens()).sign("user", { sub: uuid, sid }, lasting);
}

export interface TestJob {
  id: string;
  token: string;
  owner: Person;
}

export async function createJob(
  body: Record<string, unknown> = {},
  owner?: Person,
): Promise<TestJob> {
  const person = owner ?? (await createPerson());
  const reply = await call("POST", "/jobs", {
    token: person.token,
    body: { benchmarks: ["quick_mark"], ...body },
  });
  if (reply.status !== 201)
    throw new Error(`creating a job answered ${reply.status}: ${reply.text}`);
  return { id: reply.body.id, token: reply.body.token, owner: person };
}

export interface TestSpec {
  uuid: string;
  slug: string;
  name: string;
}

export const HARDWARE = { architecture: "x86_64", cpu: 26, memory: 2 ** 38, disk: 2 ** 40 };

/** Creates a spec as a new administrator unless one is given. */
export async function createSpec(
  body: Record<string, unknown> = {},
  admin?: Person,
): Promise<TestSpec> {
  const { token } = admin ?? (await createPerson({ role: "root_admin" }));
  const reply = await call("POST", `${V0}/specs`, {
    token,
    body: { name: "H100 node", ...HARDWARE, ...body },
  });
  if (reply.status !== 201)
    throw new Error(`creating a spec answered ${reply.status}: ${reply.text}`);
  return reply.body;
}

export interface TestRunner {
  uuid: string;
  slug: string;
  key: string;
}

/** Creates a runner that offers these specs, as a new administrator unless one is given. */
export async function createRunner(
  specs: readonly TestSpec[] = [],
  admin?: Person,
): Promise<TestRunner> {
  const { token } = admin ?? (await createPerson({ role: "root_admin" }));
  const slug = `runner-${crypto.randomUUID().slice(0, 18)}x`;
  const made = await call("POST", `${V0}/runners`, { token, body: { name: "Rack", slug } });
  if (made.status !== 201) throw new Error(`creating a runner: ${made.status} ${made.text}`);
  for (const { uuid } of specs) {
    const path = `${V0}/runners/${slug}/specs`;
    const offered = await call("POST", path, { token, body: { spec: uuid } });
    if (offered.status !== 201) throw new Error(`offering: ${offered.status} ${offered.text}`);
  }
  return { ...made.body, slug };
}

export interface Measured {
  gpu_model: string | null;
  gpu_count: number | null;
  gpu_models?: readonly { model: string; count: number }[];
  machine_uuid?: string;
  /** QuickMark results. */
  results: unknown;
}

/** Runs a job of QuickMark alone to its end on these machines, and waits for its rating. */
export async function measureJob(
  machines: readonly Measured[],
  owner?: Person,
  body: Record<string, unknown> = {},
): Promise<TestJob> {
  const job = await createJob({ node_count: machines.length, ...body }, owner);
  for (const { gpu_model, gpu_count, gpu_models, results, ...machine } of machines) {
    const { machine_uuid = machineUuid() } = machine;
    const joined = await join(job, { gpu_model, gpu_count, gpu_models, machine_uuid });
    const reply = await putResult(job, joined.body.id, 0, resultBody(results));
    if (reply.status !== 200) throw new Error(`a result answered ${reply.status}: ${reply.text}`);
  }
  await rated(job);
  return job;
}
