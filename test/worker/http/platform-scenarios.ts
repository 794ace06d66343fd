/** By operation: a request that changes something, and how often it has taken effect. */
import { env } from "cloudflare:workers";
import { and, eq, inArray, isNull, like, ne, type SQL } from "drizzle-orm";
import type { SQLiteColumn, SQLiteTable } from "drizzle-orm/sqlite-core";
import { reports } from "../../../src/db/schema/reports.ts";
import { baselines } from "../../../src/db/schema/scoreboard.ts";
import { jobShares } from "../../../src/db/schema/shares.ts";
import {
  apiTokens,
  auditEvents,
  customers,
  jobs,
  jobTags,
  runnerSpecs,
  runners,
  sessions,
  specs,
  users,
} from "../../../src/db/schema.ts";
import { hashPassword } from "../../../src/identity/password-hash.ts";
import type { AuditAction } from "../../../src/lib/enums.ts";
import { LEASE_MS } from "../../../src/reports/attempt.ts";
import {
  API,
  call,
  join,
  machineUuid,
  QUICK_MARK_RESULTS,
  resultBody,
  V0,
} from "../harness/client.ts";
import {
  createCustomer,
  createJob,
  createPerson,
  createRunner,
  createSpec,
  HARDWARE,
} from "../harness/factories.ts";
import { travel } from "../harness/instruments.ts";
import { countOf, customerUuid, db } from "../harness/rows.ts";
import { apiToken, PASSWORD, userKey } from "../identity/access-principals.ts";

export interface Request {
  method: string;
  url: string;
  token?: string | undefined;
  body?: unknown;
  form?: Record<string, string> | undefined;
}

/** One request, made anew for every failure, and how often it has taken effect. */
export interface Case extends Request {
  effects: () => Promise<number>;
}

export interface Scenario {
  /** The part that breaks: the D1 statements that write, or the calls of the job's object. */
  breaks: "d1" | "object";
  make: () => Promise<Case>;
}

export const root = await createPerson({ role: "root_admin" });
export const customerId = await createCustomer();
const customer = await customerUuid(customerId);
export const passwordHash = await hashPassword(PASSWORD);
const named = () => `made-${crypto.randomUUID()}`;
const rows = (table: SQLiteTable, condition?: SQL) => () => countOf(table, condition);
const audited = (subject: string, action: AuditAction) =>
  rows(auditEvents, and(eq(auditEvents.subject, subject), eq(auditEvents.action, action)));
const passwords = (uuid: string) =>
  rows(users, and(eq(users.uuid, uuid), ne(users.passwordHash, passwordHash)));
const person = (role: "user" | "root_admin" = "user") =>
  createPerson({ role, customerId, passwordHash });

const renamed = (path: string, table: SQLiteTable & { name: SQLiteColumn }) => {
  const name = named();
  const request = { method: "PATCH", url: `${V0}${path}`, token: root.token, body: { name } };
  return { ...request, effects: rows(table, eq(table.name, name)) };
};

/** By operation id; several where D1 and the object each have a part. */
export const SCENARIOS: Record<string, Scenario[]> = {
  createToken: [{ breaks: "d1", make: () => signIn(`https://assay.test/token`) }],
  login: [{ breaks: "d1", make: () => signIn("https://assay.test/api/user/login") }],
  revokeToken: [
    {
      breaks: "d1",
      make: async () => {
        const { form, ...request } = await signIn("https://assay.test/token");
        const made = await call("POST", request.url, {
          body: new URLSearchParams(form).toString(),
          headers: { "content-type": "application/x-www-form-urlencoded" },
        });
        const { refresh_token: token } = made.body;
        const url = "https://assay.test/token/revoke";
        const effects = async () => 1 - Math.min(1, await request.effects());
        return { ...request, url, form: { token }, effects };
      },
    },
  ],
  createJob: [
    {
      breaks: "d1",
      make: async () => {
        const name = named();
        const body = { name, benchmarks: [], tags: [name] };
        const ofName = db.select({ id: jobs.id }).from(jobs).where(eq(jobs.name, name));
        const effects = rows(jobTags, and(eq(jobTags.tag, name), inArray(jobTags.jobId, ofName)));
        return { method: "POST", url: `${API}/jobs`, token: root.token, body, effects };
      },
    },
  ],
  createAnonymousJob: [
    {
      breaks: "d1",
      make: async () => {
        const tag = named();
        const request = { method: "POST", url: `${API}/jobs/anonymous`, body: { tags: [tag] } };
        const tagged = rows(jobTags, eq(jobTags.tag, tag));
        // There is no caller to know again: a repeat may make one more, which nobody has a token for.
        return { ...request, effects: async () => Math.min(1, await tagged()) };
      },
    },
  ],
  deleteJob: [
    { breaks: "d1", make: () => deletion(false) },
    { breaks: "d1", make: () => deletion(true) },
    { breaks: "object", make: () => deletion(true) },
  ],
  deleteJobById: [
    { breaks: "d1", make: () => deletionByPath(false) },
    { breaks: "d1", make: () => deletionByPath(true) },
    { breaks: "object", make: () => deletionByPath(true) },
  ],
  abortJob: [
    { breaks: "d1", make: () => abortion(false) },
    { breaks: "object", make: () => abortion(true) },
  ],
  createJobShare: [
    {
      breaks: "d1",
      make: async () => {
        const { id, owner } = await createJob();
        return {
          method: "POST",
          url: `${API}/jobs/${id}/shares`,
          token: owner.token,
          body: { ttl: 3_600 },
          effects: rows(jobShares, eq(jobShares.jobId, Number(id))),
        };
      },
    },
  ],
  deleteJobShare: [
    {
      breaks: "d1",
      make: async () => {
        const { id, owner } = await createJob();
        const { token } = owner;
        const { body } = await call("POST", `/jobs/${id}/shares`, { token });
        const left = rows(jobShares, eq(jobShares.jobId, Number(id)));
        return {
          method: "DELETE",
          url: `${API}/jobs/${id}/shares/${body.uuid}`,
          token,
          effects: async () => 1 - (await left()),
        };
      },
    },
  ],
  createSpec: [
    {
      breaks: "d1",
      make: async () => {
        const name = named();
        const request = { method: "POST", url: `${V0}/specs`, token: root.token };
        return {
          ...request,
          body: { name, ...HARDWARE },
          effects: rows(specs, eq(specs.name, name)),
        };
      },
    },
  ],
  updateSpec: [
    { breaks: "d1", make: async () => renamed(`/specs/${(await createSpec()).uuid}`, specs) },
  ],
  deleteSpec: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid } = await createSpec();
        return gone(`/specs/${uuid}`, rows(specs, eq(specs.uuid, uuid)));
      },
    },
  ],
  createCustomer: [
    {
      breaks: "d1",
      make: async () => {
        const name = named();
        const request = { method: "POST", url: `${V0}/customers`, token: root.token };
        return { ...request, body: { name }, effects: rows(customers, eq(customers.name, name)) };
      },
    },
  ],
  updateCustomer: [
    {
      breaks: "d1",
      make: async () =>
        renamed(`/customers/${await customerUuid(await createCustomer())}`, customers),
    },
  ],
  createUser: [
    {
      breaks: "d1",
      make: async () => {
        const email = `${named()}@example.com`;
        const request = { method: "POST", url: `${V0}/users`, token: root.token };
        const body = { email, name: "Made", password: PASSWORD, customer };
        return { ...request, body, effects: rows(users, eq(users.email, email)) };
      },
    },
  ],
  updateUser: [
    { breaks: "d1", make: async () => renamed(`/users/${(await person()).uuid}`, users) },
  ],
  deleteUser: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid } = await person();
        return gone(
          `/users/${uuid}`,
          rows(users, and(eq(users.uuid, uuid), isNull(users.deletedAt))),
        );
      },
    },
  ],
  changeOwnPassword: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid, token } = await person();
        const body = { old_password: PASSWORD, password: `another ${PASSWORD}` };
        const effects = passwords(uuid);
        return { method: "POST", url: `${V0}/users/me/password`, token, body, effects };
      },
    },
  ],
  createPasswordLink: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid } = await person();
        const url = `${V0}/users/${uuid}/password-link`;
        const effects = audited(uuid, "password_link_created");
        return { method: "POST", url, token: root.token, effects };
      },
    },
  ],
  setPassword: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid } = await person();
        const url = `${V0}/users/${uuid}/password-link`;
        const link = await call("POST", url, { token: root.token });
        const [, token] = String(link.body.url).split("#");
        const effects = passwords(uuid);
        const body = { token, password: `another ${PASSWORD}` };
        return { method: "POST", url: "https://assay.test/password", body, effects };
      },
    },
  ],
  createApiToken: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid, id, token } = await person();
        const url = `${V0}/users/${uuid}/tokens`;
        const effects = rows(apiTokens, eq(apiTokens.userId, id));
        return { method: "POST", url, token, body: { name: "nightly" }, effects };
      },
    },
  ],
  revokeApiToken: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid, id } = await person();
        await apiToken({ id, uuid });
        const isTheirs = eq(apiTokens.userId, id);
        const [token] = await db.select().from(apiTokens).where(isTheirs);
        const live = rows(apiTokens, and(isTheirs, isNull(apiTokens.revokedAt)));
        return gone(`/users/${uuid}/tokens/${token?.uuid}`, live);
      },
    },
  ],
  updateApiToken: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid, id } = await person();
        await apiToken({ id, uuid });
        const [token] = await db.select().from(apiTokens).where(eq(apiTokens.userId, id));
        return renaming(`/users/${uuid}/tokens/${token?.uuid}`, token?.uuid ?? "");
      },
    },
  ],
  createUserKey: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid, id, token } = await person();
        const url = `${V0}/users/${uuid}/keys`;
        const effects = rows(apiTokens, eq(apiTokens.userId, id));
        return { method: "POST", url, token, body: { name: "nightly" }, effects };
      },
    },
  ],
  updateUserKey: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid, id } = await person();
        const key = await userKey({ id });
        return renaming(`/users/${uuid}/keys/${key.uuid}`, key.uuid);
      },
    },
  ],
  revokeUserKey: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid, id } = await person();
        const key = await userKey({ id });
        const isTheirs = eq(apiTokens.userId, id);
        const live = rows(apiTokens, and(isTheirs, isNull(apiTokens.revokedAt)));
        return gone(`/users/${uuid}/keys/${key.uuid}`, live);
      },
    },
  ],
  createRunner: [
    {
      breaks: "d1",
      make: async () => {
        const slug = named();
        const request = { method: "POST", url: `${V0}/runners`, token: root.token };
        return {
          ...request,
          body: { name: "Rack", slug },
          effects: rows(runners, eq(runners.slug, slug)),
        };
      },
    },
  ],
  updateRunner: [
    {
      breaks: "d1",
      make: async () => renamed(`/runners/${(await createRunner()).uuid}`, runners),
    },
  ],
  rotateRunnerKey: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid } = await createRunner();
        const url = `${V0}/runners/${uuid}/key`;
        const effects = audited(uuid, "runner_key_rotated");
        return { method: "POST", url, token: root.token, effects };
      },
    },
  ],
  pinBaseline: [{ breaks: "d1", make: () => pinning("PUT") }],
  unpinBaseline: [{ breaks: "d1", make: () => pinning("DELETE") }],
  makeJobReport: [{ breaks: "d1", make: () => reporting("report") }],
  generateReport: [{ breaks: "d1", make: () => reporting("generate-report") }],
  offerRunnerSpec: [
    {
      breaks: "d1",
      make: async () => {
        const [{ uuid }, spec] = [await createRunner(), await createSpec()];
        const url = `${V0}/runners/${uuid}/specs`;
        const effects = rows(runnerSpecs, eq(runnerSpecs.specUuid, spec.uuid));
        return { method: "POST", url, token: root.token, body: { spec: spec.uuid }, effects };
      },
    },
  ],
  withdrawRunnerSpec: [
    {
      breaks: "d1",
      make: async () => {
        const spec = await createSpec();
        const { uuid } = await createRunner([spec]);
        const offers = rows(runnerSpecs, eq(runnerSpecs.specUuid, spec.uuid));
        return gone(`/runners/${uuid}/specs/${spec.uuid}`, offers);
      },
    },
  ],
  claimJob: [
    { breaks: "d1", make: claiming },
    { breaks: "object", make: claiming },
  ],
  joinCurrentJob: [
    {
      breaks: "object",
      make: async () => {
        const job = await createJob({ node_count: 2 });
        const url = `${API}/jobs/current/tasks`;
        const request = { method: "POST", url, token: job.token };
        const effects = async () => (await nodesOf(job.id)).length;
        return { ...request, body: { machine_uuid: machineUuid() }, effects };
      },
    },
  ],
  updateCurrentTask: [
    {
      breaks: "object",
      make: async () => {
        const job = await createJob();
        const taskId = (await join(job)).body.id;
        const url = `${API}/jobs/current/tasks/${taskId}`;
        const effects = async () =>
          (await nodesOf(job.id)).filter(({ progress }) => progress === 0.5).length;
        return { method: "PATCH", url, token: job.token, body: { progress: 0.5 }, effects };
      },
    },
  ],
  putStepResult: [
    {
      breaks: "object",
      make: async () => {
        const job = await createJob();
        const taskId = (await join(job)).body.id;
        const url = `${API}/jobs/current/tasks/${taskId}/results/0`;
        const body = resultBody(QUICK_MARK_RESULTS);
        const effects = async () => {
          const live = await objectOf(job.id).detail(Number(job.id));
          return live.ok ? live.tasks.reduce((sum, { bodies }) => sum + bodies.length, 0) : 0;
        };
        return { method: "PUT", url, token: job.token, body, effects };
      },
    },
  ],
};

async function signIn(url: string): Promise<Case> {
  const email = `${named()}@example.com`;
  const { id } = await createPerson({ email, passwordHash });
  const form = { grant_type: "password", username: email, password: PASSWORD };
  const sent = url.endsWith("/login") ? { body: { email, password: PASSWORD } } : { form };
  const inSession = rows(sessions, eq(sessions.userId, id));
  // Its person has one from the harness; each further sign-in is one more, and none too many.
  const effects = async () => Math.min(1, (await inSession()) - 1);
  return { method: "POST", url, ...sent, effects };
}

/** A new name of a token or key: a repeat sets it again. */
function renaming(path: string, uuid: string): Case {
  const request = { method: "PATCH", url: `${V0}${path}`, token: root.token };
  const isRenamed = and(eq(apiTokens.uuid, uuid), eq(apiTokens.name, "other"));
  return { ...request, body: { name: "other" }, effects: rows(apiTokens, isRenamed) };
}

async function gone(path: string, left: () => Promise<number>): Promise<Case> {
  const request = { method: "DELETE", url: `${V0}${path}`, token: root.token };
  return { ...request, effects: async () => 1 - (await left()) };
}

async function deletionByPath(isEnded: boolean): Promise<Case> {
  const { body: job, ...made } = await deletion(isEnded);
  const { id } = job as { id: string }; // as `deletion` makes it
  return { ...made, url: `${API}/jobs/${id}` };
}

async function deletion(isEnded: boolean): Promise<Case> {
  const job = await createJob();
  if (isEnded) {
    const taskId = (await join(job)).body.id;
    await call("PUT", `/jobs/current/tasks/${taskId}/results/0`, {
      token: job.token,
      body: resultBody(),
    });
  }
  const request = { method: "DELETE", url: `${API}/jobs/delete`, token: job.owner.token };
  const effects = audited(job.id, "job_deleted");
  return { ...request, body: { id: job.id }, effects };
}

async function abortion(isJoined: boolean): Promise<Case> {
  const job = await createJob({ node_count: 2 });
  if (isJoined) await join(job);
  const request = { method: "POST", url: `${API}/jobs/${job.id}/abort`, token: job.owner.token };
  const effects = async () => {
    const reply = await call("GET", `/jobs/${job.id}`, { token: job.owner.token });
    const { state, events } = reply.body;
    const settled = events.filter(({ kind }: { kind: string }) => kind === "settled");
    return state === "aborted" ? settled.length : 0;
  };
  return { ...request, effects };
}

async function pinning(method: "PUT" | "DELETE"): Promise<Case> {
  const model = `Model ${crypto.randomUUID()}`;
  const url = `${API}/baselines/${encodeURIComponent(model)}/bf16_tflops`;
  const pin = { method: "PUT", url, token: root.token, body: { value: 100 } };
  const pinned = rows(
    baselines,
    and(like(baselines.model, `%${model.slice(6)}%`), eq(baselines.pinnedValue, 100)),
  );
  if (method === "PUT") return { ...pin, effects: pinned };
  await call(pin.method, url, pin);
  return { method, url, token: root.token, effects: async () => 1 - (await pinned()) };
}

/** Of a job that nobody has joined: nothing else makes its report. */
let reportings = 0;

async function reporting(path: "report" | "generate-report"): Promise<Case> {
  // An isolate makes one report at a time; the lease of an attempt that hangs, of an earlier test too, has run out.
  travel().to(Date.now() + ++reportings * 2 * LEASE_MS);
  const job = await createJob();
  await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
  const token = path === "report" ? job.owner.token : job.token;
  const effects = rows(reports, eq(reports.jobId, Number(job.id)));
  return { method: "POST", url: `${API}/jobs/${job.id}/${path}`, token, effects };
}

async function claiming(): Promise<Case> {
  const spec = await createSpec();
  const job = await createJob({ spec: spec.uuid, node_count: 2 });
  const { uuid, key } = await createRunner([spec]);
  const effects = async () => (await nodesOf(job.id)).length;
  return { method: "POST", url: `${V0}/runners/${uuid}/jobs`, token: key, effects };
}

const objectOf = (jobId: string) => env.COORDINATOR.get(env.COORDINATOR.idFromName(jobId));

export async function nodesOf(jobId: string) {
  const live = await objectOf(jobId).detail(Number(jobId));
  return live.ok ? live.tasks : [];
}
