/**
 * Every documented failure of D1 and of objects × before and after commit, and hanging × every mutating
 * operation: the answer is a 2xx or a 503 with `Retry-After`, and a client that repeats its request has
 * had exactly one effect.
 */
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, onTestFinished, test, vi } from "vitest";
import { createApp } from "../../src/app.ts";
import { hashPassword } from "../../src/identity/password.ts";
import { platformFailure, TimeoutError } from "../../src/lib/platform-failure.ts";
import { apiToken, PASSWORD } from "./access-principals.ts";
import { operationsOf } from "./api-promises.ts";
import {
  API,
  appDeps,
  call,
  createCustomer,
  createJob,
  createPerson,
  createRunner,
  createSpec,
  HARDWARE,
  join,
  machineUuid,
  QUICK_MARK_RESULTS,
  resultBody,
  V0,
} from "./harness.ts";
import {
  Breaker,
  breakingD1,
  breakingObjects,
  D1_ERRORS,
  type Fault,
  OBJECT_ERRORS,
  objectError,
  shortTimeouts,
} from "./platform-faults.ts";

interface Request {
  method: string;
  url: string;
  token?: string | undefined;
  body?: unknown;
  form?: Record<string, string> | undefined;
}

/** One request, made anew for every failure, and how often it has taken effect. */
interface Case extends Request {
  effects: () => Promise<number>;
}

interface Scenario {
  /** What breaks: the D1 statements that write, or the calls of the job's object. */
  breaks: "d1" | "object";
  /** Costs a password's hash: it meets every failure in one phase, not in both. */
  isSlow?: boolean;
  make: () => Promise<Case>;
}

const root = await createPerson({ role: "root_admin" });
const customerId = await createCustomer();
const customer = await uuidOfCustomer(customerId);
const passwordHash = await hashPassword(PASSWORD);
const named = () => `made-${crypto.randomUUID()}`;
const rows =
  (sql: string, ...values: (string | number)[]) =>
  async () =>
    (
      await env.DB.prepare(`SELECT count(*) AS n FROM ${sql}`)
        .bind(...values)
        .first<{ n: number }>()
    )?.n ?? 0;
const person = (role: "user" | "root_admin" = "user") =>
  createPerson({ role, customerId, passwordHash });

const renamed = (path: string, table: string) => {
  const name = named();
  const request = { method: "PATCH", url: `${V0}${path}`, token: root.token, body: { name } };
  return { ...request, effects: rows(`${table} WHERE name = ?`, name) };
};

/** By operation id; several where D1 and the object each have a part. */
const SCENARIOS: Record<string, Scenario[]> = {
  createToken: [{ breaks: "d1", isSlow: true, make: () => signIn(`https://assay.test/token`) }],
  login: [{ breaks: "d1", isSlow: true, make: () => signIn("https://assay.test/api/user/login") }],
  revokeToken: [
    {
      breaks: "d1",
      isSlow: true,
      make: async () => {
        const { form, ...request } = await signIn("https://assay.test/token");
        const made = await send(app, { ...request, form });
        const { refresh_token: token } = (await made.json()) as { refresh_token: string };
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
        const effects = rows("jobs j JOIN job_tags t ON t.job_id = j.id WHERE j.name = ?", name);
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
        const jobs = rows("job_tags WHERE tag = ?", tag);
        // There is no caller to know again: a repeat may make one more, which nobody has a token for.
        return { ...request, effects: async () => Math.min(1, await jobs()) };
      },
    },
  ],
  deleteJob: [
    { breaks: "d1", make: () => deletion(false) },
    { breaks: "d1", make: () => deletion(true) },
    { breaks: "object", make: () => deletion(true) },
  ],
  abortJob: [
    { breaks: "d1", make: () => abortion(false) },
    { breaks: "object", make: () => abortion(true) },
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
          effects: rows("specs WHERE name = ?", name),
        };
      },
    },
  ],
  updateSpec: [
    { breaks: "d1", make: async () => renamed(`/specs/${(await createSpec()).uuid}`, "specs") },
  ],
  deleteSpec: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid } = await createSpec();
        return gone(`/specs/${uuid}`, rows("specs WHERE uuid = ?", uuid));
      },
    },
  ],
  createCustomer: [
    {
      breaks: "d1",
      make: async () => {
        const name = named();
        const request = { method: "POST", url: `${V0}/customers`, token: root.token };
        return { ...request, body: { name }, effects: rows("customers WHERE name = ?", name) };
      },
    },
  ],
  updateCustomer: [
    {
      breaks: "d1",
      make: async () =>
        renamed(`/customers/${await uuidOfCustomer(await createCustomer())}`, "customers"),
    },
  ],
  createUser: [
    {
      breaks: "d1",
      isSlow: true,
      make: async () => {
        const email = `${named()}@example.com`;
        const request = { method: "POST", url: `${V0}/users`, token: root.token };
        const body = { email, name: "Made", password: PASSWORD, customer };
        return { ...request, body, effects: rows("users WHERE email = ?", email) };
      },
    },
  ],
  updateUser: [
    { breaks: "d1", make: async () => renamed(`/users/${(await person()).uuid}`, "users") },
  ],
  deleteUser: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid } = await person();
        return gone(`/users/${uuid}`, rows("users WHERE uuid = ? AND deleted_at IS NULL", uuid));
      },
    },
  ],
  changeOwnPassword: [
    {
      breaks: "d1",
      isSlow: true,
      make: async () => {
        const { uuid, token } = await person();
        const body = { old_password: PASSWORD, password: `another ${PASSWORD}` };
        const effects = rows("users WHERE uuid = ? AND password_hash <> ?", uuid, passwordHash);
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
        const effects = rows(
          "audit_events WHERE subject = ? AND action = 'password_link_created'",
          uuid,
        );
        return { method: "POST", url, token: root.token, effects };
      },
    },
  ],
  setPassword: [
    {
      breaks: "d1",
      isSlow: true,
      make: async () => {
        const { uuid } = await person();
        const url = `${V0}/users/${uuid}/password-link`;
        const link = await call("POST", url, { token: root.token });
        const [, token] = String(link.body.url).split("#");
        const effects = rows("users WHERE uuid = ? AND password_hash <> ?", uuid, passwordHash);
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
        const effects = rows("api_tokens WHERE user_id = ?", id);
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
        const [token] = (
          await env.DB.prepare("SELECT uuid FROM api_tokens WHERE user_id = ?")
            .bind(id)
            .all<{ uuid: string }>()
        ).results;
        const live = rows("api_tokens WHERE user_id = ? AND revoked_at IS NULL", id);
        return gone(`/users/${uuid}/tokens/${token?.uuid}`, live);
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
          effects: rows("runners WHERE slug = ?", slug),
        };
      },
    },
  ],
  updateRunner: [
    {
      breaks: "d1",
      make: async () => renamed(`/runners/${(await createRunner()).uuid}`, "runners"),
    },
  ],
  rotateRunnerKey: [
    {
      breaks: "d1",
      make: async () => {
        const { uuid } = await createRunner();
        const url = `${V0}/runners/${uuid}/key`;
        const effects = rows(
          "audit_events WHERE subject = ? AND action = 'runner_key_rotated'",
          uuid,
        );
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
        const effects = rows("runner_specs WHERE spec_uuid = ?", spec.uuid);
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
        const offers = rows("runner_specs WHERE spec_uuid = ?", spec.uuid);
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
          return live.ok ? live.results.length : 0;
        };
        return { method: "PUT", url, token: job.token, body, effects };
      },
    },
  ],
};

async function uuidOfCustomer(id: number): Promise<string> {
  const row = await env.DB.prepare("SELECT uuid FROM customers WHERE id = ?")
    .bind(id)
    .first<{ uuid: string }>();
  return row?.uuid ?? "";
}

async function signIn(url: string): Promise<Case> {
  const email = `${named()}@example.com`;
  const { id } = await createPerson({ email, passwordHash });
  const form = { grant_type: "password", username: email, password: PASSWORD };
  const sent = url.endsWith("/login") ? { body: { email, password: PASSWORD } } : { form };
  const sessions = rows("sessions WHERE user_id = ?", id);
  // Its person has one from the harness; each further sign-in is one more, and none too many.
  const effects = async () => Math.min(1, (await sessions()) - 1);
  return { method: "POST", url, ...sent, effects };
}

async function gone(path: string, left: () => Promise<number>): Promise<Case> {
  const request = { method: "DELETE", url: `${V0}${path}`, token: root.token };
  return { ...request, effects: async () => 1 - (await left()) };
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
  const effects = rows("audit_events WHERE subject = ? AND action = 'job_deleted'", job.id);
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
  const pinned = rows("baselines WHERE model LIKE ? AND pinned_value = 100", `%${model.slice(6)}%`);
  if (method === "PUT") return { ...pin, effects: pinned };
  await call(pin.method, url, pin);
  return { method, url, token: root.token, effects: async () => 1 - (await pinned()) };
}

/** Of a job that nobody has joined: nothing else makes its report. */
async function reporting(path: "report" | "generate-report"): Promise<Case> {
  const job = await createJob();
  await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
  const token = path === "report" ? job.owner.token : job.token;
  const effects = rows("reports WHERE job_id = ?", Number(job.id));
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

async function nodesOf(jobId: string) {
  const live = await objectOf(jobId).detail(Number(jobId));
  return live.ok ? live.tasks : [];
}

const breaker = new Breaker();
const objectBreaker = new Breaker();
const config = { ...appDeps().config, rateLimitScale: 1_000_000 };
const app = await createApp(
  appDeps({
    d1: breakingD1(breaker, "writes"),
    coordinators: breakingObjects(objectBreaker),
    config,
  }),
);

async function send(
  to: Awaited<ReturnType<typeof createApp>>,
  { method, url, token, body, form }: Request,
  key?: string,
): Promise<Response> {
  const headers = new Headers({ "cf-connecting-ip": "10.1.1.1" });
  if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  if (key !== undefined) headers.set("idempotency-key", key);
  const init: RequestInit = { method, headers };
  if (form !== undefined) {
    headers.set("content-type", "application/x-www-form-urlencoded");
    init.body = new URLSearchParams(form).toString();
  } else if (body !== undefined) {
    headers.set("content-type", "application/json");
    init.body = JSON.stringify(body);
  }
  return to.request(url, init);
}

const document = (await call("GET", "https://assay.test/openapi.json")).body;
const mutating = operationsOf(document)
  .filter(({ name }) => !name.startsWith("get "))
  .map(({ operation }) => operation.operationId);

let requests = 0;
beforeAll(() => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  vi.spyOn(console, "warn").mockImplementation(() => {});
});
afterAll(() => {
  vi.restoreAllMocks();
  console.info(`${mutating.length} operations met ${requests} failures`);
});

test("every mutating operation of the document is here, and nothing else", ({ expect }) => {
  expect(Object.keys(SCENARIOS).sort()).toEqual([...mutating].sort());
});

function faultsOf({ breaks, isSlow = false }: Scenario): { name: string; fault: Fault }[] {
  const errors: [string, () => Error][] =
    breaks === "d1"
      ? D1_ERRORS.map((message) => [message, () => new Error(message)])
      : OBJECT_ERRORS.map((error) => [error[0], objectError(error)]);
  const phases = ["before", "after"] as const;
  return [
    ...errors.flatMap(([name, error], at) =>
      phases
        .filter((_phase, nth) => !isSlow || at % 2 === nth)
        .map((phase) => ({ name: `${phase}: ${name}`, fault: { phase, error } })),
    ),
    ...phases.map((phase) => ({
      name: `${phase}: hangs`,
      fault: { phase, error: "hang" as const },
    })),
  ];
}

describe.for(
  Object.entries(SCENARIOS).flatMap(([id, all]) => all.map((scenario) => ({ id, ...scenario }))),
)("$id, when its calls of $breaks fail", ({ id, ...scenario }) => {
  test.for(faultsOf(scenario))("$name", async ({ fault }, { expect }) => {
    const { effects, ...request } = await scenario.make();
    const own = scenario.breaks === "d1" ? breaker : objectBreaker;
    const key = crypto.randomUUID();
    requests++;
    shortTimeouts();
    onTestFinished(() => void vi.mocked(globalThis.setTimeout).mockRestore());
    own.arm(fault);
    const first = await send(app, request, key);
    await own.disarm();
    expect(own.broken, "the fault was met").toBeGreaterThan(0);
    expect(first.status, await first.text()).toBe(503);
    expect(Number(first.headers.get("retry-after"))).toBeGreaterThan(0);
    const again = await send(app, request, key);
    const text = await again.text();
    // What is gone, used up or changed already says so; what was created is answered as it was.
    const isCreation = id.startsWith("create") || ["POST", "PUT"].includes(request.method);
    const answers =
      isCreation && !USES_UP.has(id) ? [200, 201, 202, 204] : [200, 201, 204, 400, 401, 403, 404];
    expect(answers, `${again.status} ${text}`).toContain(again.status);
    expect(await effects(), text).toBe(1);
  });
});

/** What a request of these needs is gone once it has taken effect: the password that was, the link. */
const USES_UP = new Set(["changeOwnPassword", "setPassword"]);

describe("a single failure", () => {
  test.for(OBJECT_ERRORS.filter(([message]) => !/overloaded|limit|no list/.test(message)))(
    "of an object is not even seen: %s",
    async (error, { expect }) => {
      for (const phase of ["before", "after"] as const) {
        const job = await createJob({ node_count: 2 });
        objectBreaker.arm({ phase, error: objectError(error) }, 1);
        const body = { machine_uuid: machineUuid() };
        const url = `${API}/jobs/current/tasks`;
        const reply = await send(app, { method: "POST", url, token: job.token, body });
        await objectBreaker.disarm();
        expect(reply.ok, await reply.text()).toBe(true);
        expect(await nodesOf(job.id)).toHaveLength(1);
      }
    },
  );

  test("of a read is not even seen; of an overloaded database it is passed on", async ({
    expect,
  }) => {
    const reads = new Breaker();
    const reading = await createApp(appDeps({ d1: breakingD1(reads, "reads"), config }));
    for (const message of D1_ERRORS) {
      const job = await createJob();
      reads.arm({ phase: "before", error: () => new Error(message) }, 1);
      const url = `${API}/jobs/${job.id}`;
      const reply = await send(reading, { method: "GET", url, token: job.owner.token });
      await reads.disarm();
      expect(reads.broken).toBe(1);
      const passedOn = /overloaded|limit|maximum|no list/.test(message);
      expect(reply.status, message).toBe(passedOn ? 503 : 200);
    }
  });
});

describe("what is a failure of the platform", () => {
  test("faults of ours and answers of the database are none", ({ expect }) => {
    for (const message of [
      "boom",
      "D1_ERROR: no such table: gone: SQLITE_ERROR",
      "D1_ERROR: UNIQUE constraint failed: jobs.name: SQLITE_CONSTRAINT",
      "D1_TYPE_ERROR: Type 'undefined' not supported",
      "Failed query: select ?\nparams: Network connection lost.",
    ]) {
      expect(platformFailure(new Error(message)), message).toBeNull();
    }
    expect(platformFailure("Network connection lost.")).toBeNull();
  });

  test("its cause may be wrapped; how long to wait depends on the kind", ({ expect }) => {
    const wrapped = new Error("Failed query: x", { cause: new TimeoutError("too long") });
    expect(platformFailure(wrapped)).toEqual({
      kind: "hang",
      retryable: false,
      retryAfterSeconds: 5,
    });
    const kinds = D1_ERRORS.map((message) => platformFailure(new Error(message))?.kind);
    expect(kinds).toEqual([
      ...["lost", "lost", "lost", "reset", "reset", "reset", "reset", "lost", "lost"],
      ...["overloaded", "overloaded", "exhausted", "exhausted", "full", "unknown"],
    ]);
  });
});
