import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { defaultBounds } from "../../agent/src/cluster-network/bounds.ts";
import type { RunStep } from "../../agent/src/step-context.ts";
import { AGENT_VERSION } from "../../agent/src/version.ts";
import { patient } from "../patience.ts";
import { type Canned, type FakeServer, type Recorded, startFakeServer } from "./fake-server.ts";
import { fastClock, freePorts, startAgent, steppingClock, until } from "./helpers.ts";
import { linksOf } from "./peers.ts";

let server: FakeServer;
afterEach(() => server.close());

/** Answers the first matching requests with the given replies, one after the other. */
function answerFirst(method: string, ...replies: Canned[]): void {
  const left = [...replies];
  server.intercept = (request) => (request.method === method ? left.shift() : undefined);
}

/** A step runner that counts how often each step starts. */
function countingSteps(): { starts: number[]; runStep: RunStep } {
  const starts: number[] = [];
  return {
    starts,
    runStep: async (step) => {
      starts.push(step.position);
      return { state: "completed", results: { step: step.position } };
    },
  };
}

const puts = (): Recorded[] => server.of("PUT");

describe("a one-node job", () => {
  beforeEach(async () => {
    server = await startFakeServer();
  });

  test("is joined, run and completed", async () => {
    const end = await startAgent(server.url).end;
    expect(end).toMatchObject({ kind: "stopped", task: { state: "completed", rank: 0 } });
    expect(server.tasks[0]?.joined).toEqual({
      machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
      machine_ip: "192.0.2.1",
      cluster_address: "127.0.0.1:7117",
      cluster_addresses: ["127.0.0.1:7117"],
      gpu_model: "NVIDIA H100 80GB HBM3",
      gpu_count: 8,
      inventory: {
        gpu: { count: 8 },
        network: { machine_ip: "192.0.2.1" },
        agent_version: AGENT_VERSION,
      },
    });
    expect(puts()).toHaveLength(1);
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    expect(puts()[0]?.body).toMatchObject({
      state: "completed",
      started_at: time,
      ended_at: time,
      results: { replayed: true },
    });
    const { started_at: started, ended_at: ended } = puts()[0]?.body ?? {};
    expect(Date.parse(String(ended))).toBeGreaterThan(Date.parse(String(started)));
  });

  test("gets heartbeats with rising progress while the step runs", async () => {
    // A step that goes on until its third heartbeat has arrived.
    const runStep: RunStep = async (_step, { report }) => {
      for (let share = 0; server.beats().length < 3; share += (1 - share) / 10) {
        report(share, "measuring");
        await delay(1);
      }
      return { state: "completed", results: {} };
    };
    await startAgent(server.url, { runStep }).end;
    const progress = server.beats().map((beat) => Number(beat.progress));
    expect(progress.length).toBeGreaterThan(1);
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.every((value) => value >= 0 && value <= 1)).toBe(true);
  });

  test("a step without a way to run it is reported as failed, and the task fails", async () => {
    const end = await startAgent(server.url, { replay: null }).end;
    expect(puts()[0]?.body).toMatchObject({
      state: "failed",
      error_message: expect.stringContaining("the measuring process"),
    });
    expect(puts()[0]?.body).not.toHaveProperty("results");
    expect(end.task?.state).toBe("failed");
  });

  test("a failed heartbeat does not fail the step", async () => {
    server.intercept = (request) =>
      request.method === "PATCH" ? server.error(500, "INTERNAL_ERROR") : undefined;
    const agent = startAgent(server.url);
    expect((await agent.end).task?.state).toBe("completed");
    expect(server.of("PATCH").length).toBeGreaterThan(0);
  });

  test("a heartbeat that hangs does not hold up the result", async () => {
    server.intercept = (request) => (request.method === "PATCH" ? "hang" : undefined);
    const end = await startAgent(server.url, { timeoutMs: patient(60_000) }).end;
    expect(end.task?.state).toBe("completed");
  });
});

describe("polling", () => {
  test("an unchanged view costs a 304, whose Retry-After is the interval", async () => {
    server = await startFakeServer({
      nodeCount: 2,
      sequence: [{ benchmark_id: "cluster_network" }],
      pollAfterSeconds: 3,
    });
    // An agent whose channel opens early would never poll a third time.
    server.channel.onUpgrade = (_request, connection) => {
      connection.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
      return true;
    };
    server.intercept = (request) =>
      request.headers["if-none-match"] === undefined
        ? undefined
        : { status: 304, headers: { "retry-after": "9" } };
    const agent = startAgent(server.url);
    await until(() => agent.clock.slept.includes(9_000), "a sleep of 9 s");
    agent.abort();
    await expect(agent.end).rejects.toThrow();
    const [first, joined, unchanged] = server.of("GET");
    expect(first?.headers["if-none-match"]).toBeUndefined();
    // Another view than the one before joining, so its tag must not be sent.
    expect(joined?.headers["if-none-match"]).toBeUndefined();
    expect(unchanged?.headers["if-none-match"]).toMatch(/^"[0-9a-f]{64}"$/);
    expect(agent.clock.slept.slice(0, 2)).toEqual([3_000, 9_000]);
  });

  test("a 304 after a finished step does not start the step again", async () => {
    server = await startFakeServer();
    const steps = countingSteps();
    let stale = 2;
    server.intercept = (request) =>
      request.headers["if-none-match"] !== undefined && stale-- > 0 ? { status: 304 } : undefined;
    await startAgent(server.url, steps).end;
    expect(steps.starts).toEqual([0]);
    expect(new Set(puts().map((request) => request.text)).size).toBe(1);
  });

  test("a directive this agent does not know is met by waiting", async () => {
    server = await startFakeServer({ pollAfterSeconds: 4 });
    let unknown = 1;
    server.intercept = (request) =>
      request.method === "GET" && unknown-- > 0
        ? { status: 200, body: { id: "1", directive: "dance" } }
        : undefined;
    const agent = startAgent(server.url);
    expect((await agent.end).task?.state).toBe("completed");
    expect(agent.clock.slept[0]).toBe(20_000);
  });
});

describe("failures on the way", () => {
  beforeEach(async () => {
    server = await startFakeServer();
  });

  test("Retry-After is honoured before the next try", async () => {
    answerFirst("GET", server.error(429, "TOO_MANY_REQUESTS", { "retry-after": "7" }));
    const agent = startAgent(server.url);
    expect((await agent.end).task?.state).toBe("completed");
    expect(agent.clock.slept[0]).toBe(7_250);
  });

  test.each([408, 500, 502, 503])("a %i is tried again with growing pauses", async (status) => {
    answerFirst(
      "POST",
      server.error(status, "X"),
      server.error(status, "X"),
      server.error(status, "X"),
    );
    const agent = startAgent(server.url);
    expect((await agent.end).task?.state).toBe("completed");
    expect(agent.clock.slept.slice(0, 3)).toEqual([250, 500, 1_000]);
    expect(new Set(server.of("POST").map((request) => request.text)).size).toBe(1);
  });

  test("a cut connection, a silent server and a page of HTML are tried again", async () => {
    answerFirst("GET", "drop", "hang", { status: 200, headers: { "content-type": "text/html" } });
    const agent = startAgent(server.url, { timeoutMs: patient(100) });
    expect((await agent.end).task?.state).toBe("completed");
    expect(agent.logs.join("\n")).toContain(`no answer within ${patient(100) / 1_000} s`);
  });

  test("every retry of a result sends the same bytes", async () => {
    answerFirst("PUT", "drop", server.error(503, "SERVICE_UNAVAILABLE"), "drop");
    expect((await startAgent(server.url).end).task?.state).toBe("completed");
    expect(puts()).toHaveLength(4);
    expect(new Set(puts().map((request) => request.text)).size).toBe(1);
  });

  test("the agent outlives a server that goes down and comes back", async () => {
    let agent: ReturnType<typeof startAgent> | null = null;
    const runStep: RunStep = async () => {
      await server.close();
      return { state: "completed", results: {} };
    };
    agent = startAgent(server.url, { runStep });
    await until(
      () => (agent?.logs.filter((line) => /PUT failed/.test(line)).length ?? 0) >= 3,
      "retries",
    );
    await server.comeBack();
    expect((await agent.end).task?.state).toBe("completed");
  });

  test("a server that is never reached is given up after ten minutes", async () => {
    server.intercept = () => "drop";
    const agent = startAgent(server.url);
    expect(await agent.end).toMatchObject({ kind: "error", task: null });
    const waited = agent.clock.slept.reduce((sum, ms) => sum + ms, 0);
    expect(waited).toBeGreaterThan(569_000);
    expect(waited).toBeLessThanOrEqual(600_000);
  });

  test("after the first contact it is the job's expiry that counts", async () => {
    await server.close();
    server = await startFakeServer({ expiresInMs: 20_000 });
    server.intercept = (request) => (request.method === "PUT" ? "drop" : undefined);
    const agent = startAgent(server.url, countingSteps());
    expect(await agent.end).toMatchObject({ kind: "error", task: { state: "running" } });
    // Pauses of 0.25, 0.5, 1, 2 and 4 s; the next would end after the expiry.
    expect(puts().length).toBeGreaterThan(3);
    expect(puts().length).toBeLessThanOrEqual(7);
  });

  test("a machine whose clock is a year ahead does not take the job for expired", async () => {
    const clock = steppingClock();
    const ahead = { ...clock, now: () => clock.now() + 365 * 86_400_000 };
    answerFirst("PUT", server.error(503, "SERVICE_UNAVAILABLE"));
    expect((await startAgent(server.url, { clock: ahead }).end).task?.state).toBe("completed");
  });
});

describe("refusals", () => {
  beforeEach(async () => {
    server = await startFakeServer();
  });

  test("a full job is an error in words", async () => {
    answerFirst("POST", server.error(409, "NODE_LIMIT_REACHED"));
    const end = await startAgent(server.url).end;
    expect(end).toMatchObject({ kind: "error", message: expect.stringMatching(/job is full/) });
  });

  test("401 on the first contact stops the agent without joining", async () => {
    const end = await startAgent(server.url, { token: "another" }).end;
    expect(end).toMatchObject({
      kind: "stopped",
      task: null,
      message: expect.stringMatching(/401/),
    });
    expect(server.of("POST")).toHaveLength(0);
  });

  test("401 on a result stops it", async () => {
    server.intercept = (request) =>
      request.method === "PUT" ? server.error(401, "CLIENT_TOKEN_INVALID") : undefined;
    const end = await startAgent(server.url).end;
    expect(end).toMatchObject({ kind: "stopped", task: { state: "running" } });
    expect(puts()).toHaveLength(1);
  });

  test("JOB_ENDED on a result stops it, with the task as it ended", async () => {
    server.intercept = (request) => {
      if (request.method === "PUT") server.abort();
      return undefined;
    };
    const end = await startAgent(server.url).end;
    expect(end).toMatchObject({ kind: "stopped", task: { state: "aborted" } });
    expect(server.requests.at(-1)).toMatchObject({ method: "GET", path: "?task_id=7554621441" });
  });

  test("JOB_ENDED on joining stops it", async () => {
    answerFirst("POST", server.error(409, "JOB_ENDED"));
    expect(await startAgent(server.url).end).toMatchObject({ kind: "stopped", task: null });
  });

  test("JOB_ENDED on a heartbeat aborts the running step", async () => {
    let aborted = false;
    const runStep: RunStep = (_, { signal }) => {
      server.abort();
      return new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          aborted = true;
          reject(signal.reason);
        });
      });
    };
    const end = await startAgent(server.url, { runStep }).end;
    expect(aborted).toBe(true);
    expect(end).toMatchObject({ kind: "stopped", task: { state: "aborted" } });
    expect(puts()).toHaveLength(0);
  });

  test("422: the slot holds a result, so the agent goes on", async () => {
    const steps = countingSteps();
    await server.close();
    server = await startFakeServer({
      sequence: [{ benchmark_id: "quick_mark" }, { benchmark_id: "quick_mark" }],
    });
    server.intercept = (request) => {
      const [task] = server.tasks;
      if (request.path.endsWith("/results/0")) task?.results.set(0, '{"state":"failed"}');
      return undefined;
    };
    const end = await startAgent(server.url, steps).end;
    expect(steps.starts).toEqual([0, 1]);
    expect(puts()).toHaveLength(2);
    expect(end.task?.state).toBe("failed");
  });

  test("STEP_NOT_READY: the same bytes are sent later, and the step is not run again", async () => {
    const steps = countingSteps();
    answerFirst("PUT", server.error(409, "STEP_NOT_READY"));
    const end = await startAgent(server.url, steps).end;
    expect(end.task?.state).toBe("completed");
    expect(steps.starts).toEqual([0]);
    expect(puts()).toHaveLength(2);
    expect(puts()[1]?.text).toBe(puts()[0]?.text);
  });

  test.each([400, 404, 413, 415])(
    "%i: a failed result that says why is sent instead",
    async (status) => {
      answerFirst("PUT", server.error(status, "X"));
      const end = await startAgent(server.url, countingSteps()).end;
      expect(puts()).toHaveLength(2);
      expect(puts()[1]?.body).toMatchObject({
        state: "failed",
        error_message: expect.stringContaining(String(status)),
      });
      expect(end.task?.state).toBe("failed");
    },
  );

  test("when that is refused too, the agent ends with an error", async () => {
    answerFirst("PUT", server.error(400, "X"), server.error(400, "X"));
    const end = await startAgent(server.url).end;
    expect(end).toMatchObject({ kind: "error", message: expect.stringMatching(/refused/) });
    expect(puts()).toHaveLength(2);
  });

  test("a benchmark this agent does not know is reported as failed", async () => {
    await server.close();
    server = await startFakeServer({ sequence: [{ benchmark_id: "tea_kettle" }] });
    await startAgent(server.url).end;
    expect(puts()[0]?.body).toMatchObject({
      state: "failed",
      error_message: expect.stringMatching(/agent \d+\.\d+\.\d+ does not support .*tea_kettle/),
    });
  });
});

describe("a cluster job", () => {
  test("three agents measure each other and complete", async () => {
    server = await startFakeServer({
      nodeCount: 3,
      sequence: [{ benchmark_id: "quick_mark" }, { benchmark_id: "cluster_network" }],
    });
    const ports = await freePorts(3);
    const ends = await Promise.all(
      ports.map(
        (port, i) =>
          startAgent(server.url, {
            machineUuid: `550e8400-e29b-41d4-a716-44665544000${i}`,
            clusterAddress: { host: "127.0.0.1", port },
            clock: fastClock(20),
            bounds: defaultBounds,
          }).end,
      ),
    );
    expect(ends.map((end) => end.task?.state)).toEqual(["completed", "completed", "completed"]);
    const results = puts().filter((request) => request.path.endsWith("/results/1"));
    const links = results.flatMap((request) => linksOf(request.body));
    expect(links.map((link) => `${link.source_rank}-${link.target_rank}`).sort()).toEqual([
      "0-1",
      "0-2",
      "1-0",
      "1-2",
      "2-0",
      "2-1",
    ]);
    for (const link of links) {
      expect(link.bandwidth_gbps).toBeGreaterThan(0);
      expect(link.latency_ms).toBeGreaterThan(0);
    }
  });
});
