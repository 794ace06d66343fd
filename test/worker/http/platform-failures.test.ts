/**
 * Every documented failure of D1 and of objects × before and after commit, and hanging × every mutating
 * operation: the answer is a 2xx or a 503 with `Retry-After`, and a client that repeats its request has
 * had exactly one effect.
 */
import { afterAll, beforeAll, describe, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { platformFailure, TimeoutError } from "../../../src/lib/platform-failure.ts";
import { operationsOf, RELEASED } from "../api/api-promises.ts";
import { API, appDeps, machineUuid } from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import { holdTimeouts } from "../harness/time.ts";
import {
  Breaker,
  breakingD1,
  breakingObjects,
  D1_ERRORS,
  type Fault,
  OBJECT_ERRORS,
  objectError,
} from "./platform-faults.ts";
import { nodesOf, type Request, SCENARIOS, type Scenario } from "./platform-scenarios.ts";

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

/** Sends a request again, and comes back while the isolate makes the reports of other tests' jobs. */
async function repeat(request: Request, key: string): Promise<Response> {
  for (;;) {
    const reply = await send(app, request, key);
    const isBusy =
      reply.status === 503 &&
      /^Other reports/.test((await reply.clone().json<{ message: string }>()).message);
    if (!isBusy) return reply;
    await scheduler.wait(20);
  }
}

const mutating = operationsOf(RELEASED)
  .filter(({ name }) => !name.startsWith("get "))
  .map(({ operation }) => operation.operationId)
  // It needs a deployment without an administrator: test/worker/identity/setup.test.ts has its failures.
  .filter((id) => id !== "setUp");

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

function faultsOf({ breaks }: Scenario): { name: string; fault: Fault }[] {
  const errors: [string, () => Error][] =
    breaks === "d1"
      ? D1_ERRORS.map((message) => [message, () => new Error(message)])
      : OBJECT_ERRORS.map((error) => [error[0], objectError(error)]);
  const phases = ["before", "after"] as const;
  return [
    ...errors.flatMap(([name, error]) =>
      phases.map((phase) => ({ name: `${phase}: ${name}`, fault: { phase, error } })),
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
    own.onHang = holdTimeouts().end;
    own.arm(fault);
    const first = await send(app, request, key);
    await own.disarm();
    expect(own.broken, "the fault was met").toBeGreaterThan(0);
    expect(first.status, await first.text()).toBe(503);
    expect(Number(first.headers.get("retry-after"))).toBeGreaterThan(0);
    const again = await repeat(request, key);
    const text = await again.text();
    // A repeat of a deletion or change says that it is done; a repeat of a creation gets the first reply.
    const isCreation = id.startsWith("create") || ["POST", "PUT"].includes(request.method);
    const answers =
      isCreation && !USES_UP.has(id) ? [200, 201, 202, 204] : [200, 201, 204, 400, 401, 403, 404];
    expect(answers, `${again.status} ${text}`).toContain(again.status);
    expect(await effects(), text).toBe(1);
  });
});

/** Requests that use up what they need, once they have taken effect: the old password, the link. */
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
