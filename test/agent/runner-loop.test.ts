/** The agent as a runner: claims, runs, claims again, and leaves as it is told. */
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { AGENT_VERSION } from "../../agent/src/version.ts";
import { type FakeServer, startFakeServer } from "./fake-server.ts";
import { fastClock, RUNNER_KEY, startRunner, until } from "./helpers.ts";

const UUID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
let server: FakeServer;
const running: ReturnType<typeof startRunner>[] = [];

beforeEach(async () => {
  server = await startFakeServer();
});
afterEach(async () => {
  for (const { leave } of running) leave();
  await Promise.all(running.splice(0).map(({ done }) => done));
  await server.close();
});

function start(options: Parameters<typeof startRunner>[1] = {}) {
  const run = startRunner(server.url, options);
  running.push(run);
  return run;
}

const claims = () => server.requests.filter(({ url }) => url.startsWith("/v0/runners/"));

/** Answers the first claims as given, and null from then on. */
function onClaims(...answers: (() => ReturnType<FakeServer["onClaim"]>)[]): void {
  const idle = server.onClaim;
  server.onClaim = (request) => (answers.shift() ?? (() => idle(request)))();
}

describe("a server that does not answer", () => {
  test("from the beginning is given up after 10 minutes, with its address", async () => {
    await server.close();
    const run = start();
    const startedAt = run.clock.elapsed();
    expect(await run.done).toEqual({
      kind: "error",
      message: expect.stringMatching(/^gave up on the server: http:\/\/127\.0\.0\.1:\d+: connect/),
    });
    expect(run.clock.elapsed() - startedAt).toBeGreaterThan(560_000);
    expect(run.clock.elapsed() - startedAt).toBeLessThanOrEqual(600_000);
    await server.comeBack();
  });

  test("after it has answered once is waited for without end", async () => {
    const run = start();
    await until(() => claims().length > 0, "the first claim");
    server.intercept = () => ({ status: 503 });
    const lostAt = run.clock.elapsed();
    await until(() => run.clock.elapsed() - lostAt > 3_600_000, "an hour of outage");
    expect(run.logs.at(-1)).toMatch(/claim failed/);
    run.leave();
    expect(await run.done).toMatchObject({ message: expect.stringMatching(/^stopped/) });
  });
});

describe("a job", () => {
  test("is claimed with the machine's facts, run as its node, and followed by the next claim", async () => {
    onClaims(() => server.admit(UUID));
    const run = start();
    await until(() => run.ends.length >= 1 && claims().length > 1, "the second claim");
    const [claim] = claims();
    expect(claim).toMatchObject({ method: "POST", url: "/v0/runners/rack-7/jobs" });
    expect(claim?.headers.authorization).toBe(`Bearer ${RUNNER_KEY}`);
    expect(claim?.body).toEqual({
      machine_ip: "192.0.2.1",
      cluster_address: "127.0.0.1:7117",
      cluster_addresses: ["127.0.0.1:7117"],
      gpu_model: "NVIDIA H100 NVL",
      gpu_count: 1,
      inventory: {
        gpu: { count: 1 },
        network: { machine_ip: "192.0.2.1" },
        agent_version: AGENT_VERSION,
      },
    });
    expect(run.ends[0]).toMatchObject({ kind: "stopped", task: { state: "completed" } });
    expect(server.tasks, "claiming was joining").toHaveLength(1);
    expect(server.requests.filter(({ path }) => path === "/tasks")).toHaveLength(0);
    expect(server.tasks[0]?.results.size).toBe(1);
  });

  test("that the runner had before is told apart in the log", async () => {
    onClaims(
      () => ({ ...(server.admit(UUID) as object), headers: { "claim-repeated": "true" } }) as never,
    );
    const run = start();
    await until(() => run.ends.length >= 1, "the end");
    expect(run.logs.join("\n")).toMatch(
      /already had the task.*another agent is using the same key/,
    );
  });

  test("whose token is dead ends, and the runner goes on claiming", async () => {
    onClaims(() => server.admit(UUID));
    server.intercept = ({ url }) =>
      url.startsWith("/v0/") ? undefined : server.error(401, "CLIENT_TOKEN_INVALID");
    const run = start();
    await until(() => claims().length > 1, "the next claim");
    expect(run.ends).toHaveLength(1);
    expect(run.clock.slept, "it would be the same job again").toContain(10_000);
  });

  test("that has ended for it is followed by the next claim without a pause", async () => {
    onClaims(() => server.admit(UUID));
    const run = start();
    await until(() => claims().length > 1, "the next claim");
    expect(run.clock.slept).not.toContain(10_000);
  });
});

describe("a machine that has changed", () => {
  const seven = { gpuModel: "NVIDIA H100 NVL", gpuCount: 7, gpuModels: [], inventory: {} };

  test("is read again after each job, before the next claim", async () => {
    onClaims(() => server.admit(UUID));
    const run = start({ readFacts: async () => seven });
    await until(() => claims().length > 1, "the second claim");
    expect(run.ends).toHaveLength(1);
    const [first, second] = claims();
    expect([first?.body, second?.body]).toMatchObject([{ gpu_count: 1 }, { gpu_count: 7 }]);
  });

  test("is read again every ten minutes while there is no job", async () => {
    let read = 0;
    const run = start({ readFacts: async () => ({ ...seven, gpuCount: 8 - ++read }) });
    const startedAt = run.clock.elapsed();
    await until(() => run.clock.elapsed() - startedAt > 1_300_000, "21 minutes");
    expect(read).toBe(2);
    expect(claims().at(-1)?.body).toMatchObject({ gpu_count: 6 });
  });

  test("is not waited for by a runner that leaves", async () => {
    onClaims(() => server.admit(UUID));
    const asked: AbortSignal[] = [];
    const run = start({
      readFacts: (drain) =>
        new Promise((_, reject) => {
          asked.push(drain);
          drain.addEventListener("abort", () => reject(drain.reason));
        }),
    });
    await until(() => asked.length >= 1, "the question");
    run.leave();
    expect(await run.done).toEqual({ kind: "stopped", message: "stopped" });
  });
});

describe("waiting", () => {
  test("without a job it waits as long as the server says, and logs that once", async () => {
    const run = start({ clock: fastClock(1_000) });
    await until(() => claims().length > 3, "claims");
    expect(new Set(run.clock.slept)).toEqual(new Set([5_000]));
    run.leave();
    expect(await run.done).toEqual({ kind: "stopped", message: "stopped" });
    expect(run.logs.filter((line) => line.includes("no job"))).toHaveLength(1);
  });

  test("while its job's other runners are called it asks every 2 s, and joins with them", async () => {
    const meeting = () => ({ status: 200, body: null, headers: { "retry-after": "2" } });
    onClaims(meeting, meeting, () => server.admit(UUID));
    const run = start();
    await until(() => run.ends.length >= 1, "the end");
    expect(run.clock.slept.slice(0, 2)).toEqual([2_000, 2_000]);
  });

  test.each([
    ["503", { status: 503, body: {}, headers: { "retry-after": "7" } }],
    ["a cut connection", "drop"],
    ["429", { status: 429, body: {}, headers: { "retry-after": "7" } }],
  ] as const)("after %s it tries again, with backoff", async (_name, canned) => {
    onClaims(
      () => canned,
      () => canned,
      () => server.admit(UUID),
    );
    const run = start();
    await until(() => run.ends.length >= 1, "the job");
    const floor = canned === "drop" ? 0 : 7_000;
    // Half of 0.5 s and of 1 s, on top of what the server asked for.
    expect(run.clock.slept.slice(0, 2)).toEqual([floor + 250, floor + 500]);
  });

  test("a reply without an interval is no reason to hurry", async () => {
    server.onClaim = () => ({ status: 200, body: null });
    const run = start();
    await until(() => claims().length > 2, "claims");
    expect(run.clock.slept[0]).toBe(10_000);
  });
});

describe("leaving", () => {
  test.each([
    [401, "CLIENT_TOKEN_INVALID", /refused the key .*rotated, or the runner is archived/],
    [400, "PARAMETER_INCORRECT_VALUE", /refused/],
  ] as const)("%i ends it with a plain message", async (status, code, message) => {
    server.onClaim = () => server.error(status, code);
    const run = start();
    expect(await run.done).toEqual({ kind: "error", message: expect.stringMatching(message) });
  });

  test("told so while idle: at once", async () => {
    const run = start({ clock: fastClock(1) });
    await until(() => claims().length >= 1, "a claim");
    await delay(20);
    run.leave();
    expect(await run.done).toMatchObject({ kind: "stopped" });
  });

  test("told so during a step: the step ends and is sent, then it leaves", async () => {
    onClaims(() => server.admit(UUID));
    let release = () => {};
    const run = start({
      clock: fastClock(1),
      runStep: async () => {
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        return { state: "completed", results: {} };
      },
    });
    await until(() => run.logs.some((line) => line.includes("starts")), "the step");
    run.leave();
    await delay(50);
    expect(server.tasks[0]?.results.size).toBe(0);
    release();
    expect(await run.done).toMatchObject({ kind: "stopped" });
    expect(server.tasks[0]?.results.size).toBe(1);
    expect(server.of("PATCH").some(({ body }) => body.state === "failed")).toBe(false);
    expect(claims()).toHaveLength(1);
  });

  test("with more steps to come: those are given up", async () => {
    await server.close();
    server = await startFakeServer({
      sequence: [{ benchmark_id: "quick_mark" }, { benchmark_id: "quick_mark" }],
    });
    onClaims(() => server.admit(UUID));
    const run = start({
      clock: fastClock(1),
      runStep: async () => {
        run.leave();
        return { state: "completed", results: {} };
      },
    });
    expect(await run.done).toMatchObject({ kind: "stopped" });
    expect(server.tasks[0]?.results.size).toBe(1);
    expect(server.of("PATCH").at(-1)?.body).toEqual({
      state: "failed",
      failed_message: "the agent on this machine was stopped",
    });
  });

  test("a step that takes too long is given up", async () => {
    onClaims(() => server.admit(UUID));
    const run = start({
      clock: fastClock(1),
      drainMs: 50,
      runStep: (_step, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        }),
    });
    await until(() => run.logs.some((line) => line.includes("starts")), "the step");
    run.leave();
    expect(await run.done).toMatchObject({ kind: "stopped" });
    expect(server.of("PATCH").at(-1)?.body.state).toBe("failed");
    expect(run.ends).toHaveLength(1);
  });

  test("while it waits for other nodes: it gives up its place's work at once", async () => {
    await server.close();
    server = await startFakeServer({
      sequence: [{ benchmark_id: "cluster_network" }],
      nodeCount: 2,
      pollAfterSeconds: 60,
    });
    onClaims(() => server.admit(UUID));
    const run = start({ clock: fastClock(1) });
    await until(() => server.of("GET").length >= 1, "a poll");
    await delay(20);
    run.leave();
    expect(await run.done).toMatchObject({ kind: "stopped" });
    expect(server.of("PATCH").at(-1)?.body.state).toBe("failed");
  });

  test("without a server: what it has measured cannot be sent, and it leaves all the same", async () => {
    onClaims(() => server.admit(UUID));
    const run = start({
      clock: fastClock(100),
      drainMs: 1_000,
      runStep: async () => {
        server.intercept = () => "drop";
        run.leave();
        return { state: "completed", results: {} };
      },
    });
    expect(await run.done).toEqual({
      kind: "error",
      message: expect.stringMatching(/without an answer/),
    });
  });

  test("without a server: it does not say that it gave up", async () => {
    onClaims(() => server.admit(UUID));
    const run = start({
      clock: fastClock(100),
      drainMs: 1_000,
      runStep: (_step, { signal }) =>
        new Promise((_resolve, reject) => {
          server.intercept = () => "drop";
          run.leave();
          signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        }),
    });
    await run.done;
    expect(run.ends).toMatchObject([
      { kind: "error", message: expect.stringMatching(/^could not give up/) },
    ]);
  });

  test("a claim under way is not cut off: what it brings is given up", async () => {
    server.onClaim = () => {
      run.leave();
      return server.admit(UUID);
    };
    const run = start({ clock: fastClock(1) });
    expect(await run.done).toMatchObject({ kind: "stopped" });
    expect(server.of("PATCH").at(-1)?.body.state).toBe("failed");
  });
});
