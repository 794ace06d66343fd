/** The life of a job as a pure function: its promises over random sequences of events, then each rule. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { type Decision, decide, type Event } from "../../../src/coordinator/life/lifecycle.ts";
import {
  CUT_REASON,
  hasEnded,
  isSettled,
  type Job,
  MAX_EVENTS,
  MAX_REASONS,
  type Machine,
  newJob,
  nextDeadline,
  type StepPlan,
} from "../../../src/coordinator/life/model.ts";

const LEASE_MS = 150_000;
const EXPIRES_AT = 24 * 3_600_000;
const NODE: StepPlan = { key: "quick_mark", cluster: false };
const HOST: StepPlan = { key: "host_mark", cluster: false, measures: true };
const CLUSTER: StepPlan = { key: "cluster_network", cluster: true };

function machine(index: number): Machine {
  return {
    machineUuid: `machine-${index}`,
    machineIp: null,
    clusterAddresses: [],
    gpuModel: null,
    gpuCount: null,
    gpuModels: null,
    inventoryHash: null,
    bootId: null,
  };
}

function job(nodeCount: number, plan: StepPlan[] = [NODE]): Job {
  return newJob({ nodeCount, plan, expiresAt: EXPIRES_AT });
}

/** Plays events at given times; the job after the last. */
function play(start: Job, ...events: [now: number, event: Event][]): Job {
  return events.reduce((current, [now, event]) => decide(current, event, now).job, start);
}

const join = (index: number): Event => ({ type: "join", machine: machine(index) });
const result = (
  rank: number,
  position: number,
  state: "completed" | "failed" = "completed",
): Event => ({
  type: "result",
  rank,
  position,
  state,
  startedAt: 1,
  endedAt: 2,
  errorMessage: state === "failed" ? "it broke" : null,
});
const tick = (...lastContacts: number[]): Event => ({
  type: "tick",
  lastContacts,
  leaseMs: LEASE_MS,
});

describe("over any sequence of events", () => {
  const events = fc.oneof(
    { weight: 4, arbitrary: fc.nat(5).map((index): Event => join(index)) },
    {
      weight: 8,
      arbitrary: fc
        .tuple(fc.nat(4), fc.nat(3), fc.constantFrom("completed" as const, "failed" as const))
        .map(([rank, position, state]): Event => result(rank, position, state)),
    },
    { weight: 2, arbitrary: fc.nat(4).map((rank): Event => ({ type: "contact", rank })) },
    {
      weight: 1,
      arbitrary: fc.nat(4).map((rank): Event => ({ type: "give_up", rank, message: "done" })),
    },
    {
      weight: 3,
      arbitrary: fc.array(fc.nat(2_000_000), { maxLength: 5 }).map((at): Event => tick(...at)),
    },
    { weight: 1, arbitrary: fc.constant<Event>({ type: "abort" }) },
  );
  const runs = fc.record({
    nodeCount: fc.integer({ min: 1, max: 4 }),
    plan: fc
      // As the handover makes it, another quick_mark measures, too.
      .array(fc.constantFrom({ ...NODE, measures: true }, HOST, CLUSTER), { maxLength: 3 })
      .map((rest) => [NODE, ...rest]),
    steps: fc.array(fc.tuple(fc.nat(300_000), events), { maxLength: 60 }),
  });

  /** Calls `check` for each decision of a random run. */
  function forEachDecision(
    check: (before: Job, decision: Decision, event: Event, now: number) => void,
  ): void {
    fc.assert(
      fc.property(runs, ({ nodeCount, plan, steps }) => {
        let current = job(nodeCount, plan);
        let now = 0;
        for (const [elapsed, event] of steps) {
          now += elapsed;
          const decision = decide(current, event, now);
          check(current, decision, event, now);
          current = decision.job;
        }
      }),
      { numRuns: 1_000 },
    );
  }

  test("nodes never exceed the expected number, and ranks are 0..n-1 without gap", ({ expect }) => {
    forEachDecision((_before, { job: after }) => {
      expect(after.nodes.length).toBeLessThanOrEqual(after.nodeCount);
      expect(after.nodes.map((node) => node.rank)).toEqual([...after.nodes.keys()]);
      expect(new Set(after.nodes.map((node) => node.machine.machineUuid)).size).toBe(
        after.nodes.length,
      );
    });
  });

  test("the state follows from the steps of all nodes, however they came about", ({ expect }) => {
    forEachDecision((_before, { job: after }) => {
      if (!isSettled(after) || after.state === "aborted") return;
      const ends = after.nodes.flatMap(({ steps }) =>
        steps.map(({ state }, at) => ({ isCompleted: state === "completed", at })),
      );
      const isMeasured = ends.some(
        ({ isCompleted, at }) => isCompleted && after.plan[at]?.cluster === false,
      );
      const isWhole = ends.every(({ isCompleted }) => isCompleted);
      const rule = isWhole ? "completed" : isMeasured ? "completed_with_warnings" : "failed";
      expect(after.state).toBe(rule);
    });
  });

  test("a settled job never changes", ({ expect }) => {
    forEachDecision((before, { job: after }) => {
      if (isSettled(before)) expect(after).toBe(before);
    });
  });

  test("the version rises by one with each change, and only with a change", ({ expect }) => {
    forEachDecision((before, { job: after }) => {
      expect(after.version).toBe(after === before ? before.version : before.version + 1);
    });
  });

  test("the number of nodes, ended steps and events never falls, and events are bounded", ({
    expect,
  }) => {
    const ended = (state: Job) =>
      state.nodes.flatMap((node) => node.steps).filter((step) => step.endedAt !== null).length;
    forEachDecision((before, { job: after }) => {
      expect(after.nodes.length).toBeGreaterThanOrEqual(before.nodes.length);
      expect(ended(after)).toBeGreaterThanOrEqual(ended(before));
      expect(after.events.slice(0, before.events.length)).toEqual(before.events);
      expect(after.events.length).toBeLessThanOrEqual(MAX_EVENTS);
    });
  });

  test("an ended step never changes, and a result is taken only for a running one", ({
    expect,
  }) => {
    forEachDecision((before, { job: after, outcome }, event) => {
      for (const node of before.nodes) {
        for (const [position, step] of node.steps.entries()) {
          if (step.state === "created" || step.state === "running") continue;
          expect(after.nodes[node.rank]?.steps[position]).toEqual(step);
        }
      }
      if (event.type === "result" && outcome.ok) {
        expect(before.nodes[event.rank]?.steps[event.position]?.state).toBe("running");
      }
    });
  });

  test("a cluster step runs on all nodes or on none, and only when all are there", ({ expect }) => {
    forEachDecision((before, { job: after }) => {
      for (const [position, plan] of after.plan.entries()) {
        const started = after.nodes.filter(
          (node) =>
            node.steps[position]?.startedAt !== null &&
            before.nodes[node.rank]?.steps[position]?.startedAt === null,
        );
        if (!plan.cluster || started.length === 0) continue;
        expect(after.nodes).toHaveLength(after.nodeCount);
        const running = after.nodes.filter((node) => node.steps[position]?.state === "running");
        expect([0, after.nodeCount]).toContain(running.length);
      }
    });
  });

  test("a live job always has a deadline, and it is never later than expiry", ({ expect }) => {
    forEachDecision((_before, { job: after }) => {
      const deadline = nextDeadline(after, [], LEASE_MS);
      if (isSettled(after)) expect(deadline).toBeNull();
      else expect(deadline).toBeLessThanOrEqual(EXPIRES_AT);
    });
  });

  test("time alone settles every job, in bounded steps", ({ expect }) => {
    fc.assert(
      fc.property(runs, ({ nodeCount, plan, steps }) => {
        let now = 0;
        let current = job(nodeCount, plan);
        for (const [elapsed, event] of steps) {
          now += elapsed;
          current = decide(current, event, now).job;
        }
        for (let step = 0; step < 20; step++) {
          const deadline = nextDeadline(current, [], LEASE_MS);
          if (deadline === null) break;
          now = Math.max(now, deadline);
          current = decide(current, tick(), now).job;
        }
        expect(isSettled(current)).toBe(true);
        expect(current.nodes.every((node) => hasEnded(node) && node.endedAt !== null)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

describe("how a job ends", () => {
  const twoSteps = [NODE, CLUSTER];

  test("every node completed everything: completed", ({ expect }) => {
    const ended = play(
      job(2, twoSteps),
      [0, join(0)],
      [0, join(1)],
      [1, result(0, 0)],
      [2, result(1, 0)],
      [3, result(0, 1)],
      [4, result(1, 1)],
    );
    expect(ended).toMatchObject({ state: "completed", startedAt: 0, endedAt: 4 });
    expect(ended.nodes.map((node) => node.state)).toEqual(["completed", "completed"]);
    expect(ended.events.at(-1)).toEqual({
      at: 4,
      kind: "settled",
      rank: null,
      message: "job completed",
    });
  });

  test("a failed step does not end the node: the next one follows", ({ expect }) => {
    const plan = [NODE, { key: "other", cluster: false }];
    const failed = play(job(1, plan), [0, join(0)], [1, result(0, 0, "failed")]);
    expect(failed.nodes[0]?.steps.map((step) => step.state)).toEqual(["failed", "running"]);
    const ended = play(failed, [2, result(0, 1)]);
    expect(ended.state, "no node completed QuickMark").toBe("failed");
    expect(ended.nodes[0]).toMatchObject({ state: "failed", failedMessage: "it broke" });
  });

  test("QuickMark completed on one node and failed on another: completed_with_warnings", ({
    expect,
  }) => {
    const ended = play(
      job(2),
      [0, join(0)],
      [0, join(1)],
      [1, result(0, 0)],
      [2, result(1, 0, "failed")],
    );
    expect(ended.state).toBe("completed_with_warnings");
    expect(ended.nodes.map((node) => node.state)).toEqual(["completed", "failed"]);
  });

  test("HostMark completed and QuickMark failed, on one node or several: completed_with_warnings", ({
    expect,
  }) => {
    const hosts = [NODE, HOST];
    const one = play(job(1, hosts), [0, join(0)], [1, result(0, 0, "failed")], [2, result(0, 1)]);
    expect(one.state).toBe("completed_with_warnings");
    expect(one.nodes[0]).toMatchObject({
      state: "completed_with_warnings",
      failedMessage: "it broke",
    });
    const two = play(
      job(2, hosts),
      ...[0, 1].map((index): [number, Event] => [0, join(index)]),
      [1, result(0, 0, "failed")],
      [2, result(0, 1)],
      [3, result(1, 0, "failed")],
      [4, result(1, 1, "failed")],
    );
    expect(two.state).toBe("completed_with_warnings");
    expect(two.nodes.map(({ state }) => state)).toEqual(["completed_with_warnings", "failed"]);
  });

  test("neither completed: failed; so does a cluster step alone, whatever came of it", ({
    expect,
  }) => {
    const both = play(
      job(1, [NODE, HOST]),
      [0, join(0)],
      [1, result(0, 0, "failed")],
      [2, result(0, 1, "failed")],
    );
    expect(both.state).toBe("failed");
    const links = play(
      job(2, [NODE, CLUSTER]),
      ...[0, 1].map((index): [number, Event] => [0, join(index)]),
      ...[0, 1].map((rank): [number, Event] => [1, result(rank, 0, "failed")]),
      ...[0, 1].map((rank): [number, Event] => [2, result(rank, 1)]),
    );
    expect(links.steps[1]?.state).toBe("completed");
    expect(links.state).toBe("failed");
  });

  test("expired or lost after HostMark alone: completed_with_warnings", ({ expect }) => {
    const hosts = [NODE, HOST, { key: "other", cluster: false }];
    const measured = play(
      job(1, hosts),
      [0, join(0)],
      [1, result(0, 0, "failed")],
      [2, result(0, 1)],
    );
    expect(measured.state).toBe("running");
    const expired = play(measured, [EXPIRES_AT, tick(EXPIRES_AT)]);
    expect(expired.state).toBe("completed_with_warnings");
    const lost = play(measured, [LEASE_MS, tick(0)], [2 * LEASE_MS, tick(0)]);
    expect(lost.state).toBe("completed_with_warnings");
  });

  test("expired before any node completed QuickMark: aborted", ({ expect }) => {
    const ended = play(job(2), [0, join(0)], [EXPIRES_AT, tick(EXPIRES_AT)]);
    expect(ended).toMatchObject({ state: "aborted", endedAt: EXPIRES_AT });
    expect(ended.nodes[0]).toMatchObject({ state: "aborted", failedMessage: "the job expired" });
  });

  test("expired after a node completed QuickMark: completed_with_warnings", ({ expect }) => {
    const ended = play(job(2), [0, join(0)], [1, result(0, 0)], [EXPIRES_AT, tick(EXPIRES_AT)]);
    expect(ended.state).toBe("completed_with_warnings");
  });

  test("at expiry to the millisecond a result comes too late; one before it is taken", ({
    expect,
  }) => {
    const running = play(job(1), [0, join(0)]);
    const inTime = decide(running, result(0, 0), EXPIRES_AT - 1);
    expect(inTime).toMatchObject({ outcome: { ok: true }, job: { state: "completed" } });
    const late = decide(running, result(0, 0), EXPIRES_AT);
    expect(late).toMatchObject({
      outcome: { ok: false, reason: "ended" },
      job: { state: "aborted" },
    });
  });

  test("aborted by the user: what had ended stays as it was", ({ expect }) => {
    const ended = play(
      job(2),
      [0, join(0)],
      [0, join(1)],
      [1, result(0, 0)],
      [2, { type: "abort" }],
    );
    expect(ended.state).toBe("aborted");
    expect(ended.nodes.map((node) => node.state)).toEqual(["completed", "aborted"]);
    expect(decide(ended, { type: "abort" }, 3).outcome).toEqual({ ok: true, rank: null });
    const completed = play(job(1), [0, join(0)], [1, result(0, 0)]);
    expect(decide(completed, { type: "abort" }, 2).outcome).toEqual({
      ok: false,
      reason: "not_abortable",
    });
  });

  test("a node gives up: its steps end, and a cluster step that needs it fails", ({ expect }) => {
    const ended = play(
      job(2, twoSteps),
      [0, join(0)],
      [0, join(1)],
      [1, { type: "give_up", rank: 1, message: "out of memory" }],
      [2, result(0, 0)],
    );
    expect(ended.state).toBe("completed_with_warnings");
    expect(ended.nodes[1]).toMatchObject({ state: "failed", failedMessage: "out of memory" });
    expect(ended.steps[1]).toMatchObject({
      state: "failed",
      errorMessage: "node 1 is missing: out of memory",
    });
  });
});

describe("nodes that wait at a barrier", () => {
  const LIMIT_MS = 600_000;
  const plan = [NODE, CLUSTER];
  const limited = (nodeCount: number) =>
    newJob({ nodeCount, plan, expiresAt: EXPIRES_AT, barrierLimitMs: LIMIT_MS });
  /** Everybody is in contact. */
  const wait = (now: number, lastNews: readonly number[]): [number, Event] => [
    now,
    { type: "tick", lastContacts: lastNews.map(() => now), lastNews, leaseMs: LEASE_MS },
  ];
  const soon = EXPIRES_AT - 1;

  test("give up together 10 minutes after the latest news of any node, to the millisecond", ({
    expect,
  }) => {
    const waiting = play(
      limited(3),
      ...[0, 1, 2].map((index): [number, Event] => [0, join(index)]),
      [5, result(0, 0)],
      [9, result(1, 0)],
    );
    const news = [5, 9, 1_000];
    expect(nextDeadline(waiting, [soon, soon, soon], LEASE_MS, 0, news)).toBe(1_000 + LIMIT_MS);
    expect(play(waiting, wait(999 + LIMIT_MS, news))).toBe(waiting);
    const left = play(waiting, wait(1_000 + LIMIT_MS, news));
    const message = "waited at cluster_network for 10 minutes without progress of any other node";
    for (const rank of [0, 1])
      expect(left.nodes[rank]).toMatchObject({ state: "failed", failedMessage: message });
    expect(left.nodes[2]?.endedAt).toBeNull();
    // The last one arrives too late: it is told so at once.
    const settled = play(left, [2_000 + LIMIT_MS, result(2, 0)]);
    expect(settled.state).toBe("completed_with_warnings");
    expect(settled.steps[1]?.errorMessage).toBe(`node 0 is missing: ${message}`);
  });

  test("give up while a place is empty; whoever takes it later ends the job", ({ expect }) => {
    const waiting = play(limited(2), [0, join(0)], [5, result(0, 0)]);
    const left = play(waiting, wait(5 + LIMIT_MS, [5]));
    expect(left.nodes[0]?.failedMessage).toContain("for 10 minutes");
    expect(left.endedAt).toBeNull();
    const late = play(left, [LIMIT_MS + 10, join(1)], [LIMIT_MS + 20, result(1, 0)]);
    expect(late.state).toBe("completed_with_warnings");
  });

  test("news after an outage count from its end; nobody else waits by this clock", ({ expect }) => {
    const waiting = play(limited(2), [0, join(0)], [5, result(0, 0)]);
    expect(nextDeadline(waiting, [soon], LEASE_MS, 1_000, [5])).toBe(1_000 + LIMIT_MS);
    const running = play(limited(2), [0, join(0)]);
    expect(nextDeadline(running, [soon], LEASE_MS, 0, [0])).toBe(EXPIRES_AT);
    const unlimited = play(job(2, plan), [0, join(0)], [5, result(0, 0)]);
    expect(play(unlimited, wait(EXPIRES_AT - 1, [5]))).toBe(unlimited);
  });
});

describe("nodes that are lost", () => {
  test("out of contact for the lease: lost, its step fails; a moment before: not", ({ expect }) => {
    const running = play(job(2), [0, join(0)], [0, join(1)]);
    expect(nextDeadline(running, [0, 500], LEASE_MS)).toBe(LEASE_MS);
    expect(decide(running, tick(0, 500), LEASE_MS - 1).job).toBe(running);
    const lost = play(running, [LEASE_MS, tick(0, 500)]);
    expect(lost.nodes[0]).toMatchObject({
      state: "failed",
      failedMessage: "no contact for 150 s",
      lostAt: LEASE_MS,
    });
    expect(lost.nodes[0]?.steps[0]).toMatchObject({
      state: "failed",
      errorMessage: "no contact for 150 s",
    });
    expect(lost.nodes[1]?.lostAt).toBeNull();
    expect(lost.state).toBe("running");
  });

  test("it comes back before the job settles: it lives again and takes its next step", ({
    expect,
  }) => {
    const plan = [NODE, { key: "other", cluster: false }];
    const lost = play(job(1, plan), [0, join(0)], [LEASE_MS, tick(0)]);
    const back = play(lost, [LEASE_MS + 5, { type: "contact", rank: 0 }]);
    expect(back.nodes[0]).toMatchObject({ state: "running", lostAt: null, failedMessage: null });
    expect(back.nodes[0]?.steps.map((step) => step.state)).toEqual(["failed", "running"]);
    expect(back.events.map((event) => event.kind)).toContain("returned");
    expect(decide(back, result(0, 0), LEASE_MS + 6).outcome).toEqual({
      ok: false,
      reason: "not_ready",
    });
  });

  test("the last unfinished node is lost: settling waits one more lease", ({ expect }) => {
    const lost = play(
      job(2),
      [0, join(0)],
      [0, join(1)],
      [1, result(0, 0)],
      [LEASE_MS, tick(0, 0)],
    );
    expect(lost.state).toBe("running");
    expect(nextDeadline(lost, [0, 0], LEASE_MS)).toBe(2 * LEASE_MS);
    expect(play(lost, [2 * LEASE_MS - 1, tick(0, 0)]).state).toBe("running");
    const settled = play(lost, [2 * LEASE_MS, tick(0, 0)]);
    expect(settled.state).toBe("completed_with_warnings");
    expect(settled.nodes[1]).toMatchObject({
      state: "failed",
      failedMessage: "no contact for 150 s",
    });
  });

  test("a cluster step whose barrier misses a lost node fails for all, and they go on", ({
    expect,
  }) => {
    const plan = [NODE, CLUSTER, { key: "other", cluster: false }];
    const waiting = play(job(2, plan), [0, join(0)], [0, join(1)], [1, result(0, 0)]);
    expect(waiting.nodes[0]?.steps[1]?.state).toBe("created");
    const failed = play(waiting, [LEASE_MS, tick(LEASE_MS, 0)]);
    expect(failed.steps[1]).toMatchObject({
      state: "failed",
      errorMessage: "node 1 is missing: no contact for 150 s",
    });
    expect(failed.nodes[0]?.steps.map((step) => step.state)).toEqual([
      "completed",
      "failed",
      "running",
    ]);
  });

  test("a node lost during a cluster step fails it once the others have ended theirs", ({
    expect,
  }) => {
    const open = play(
      job(2, [NODE, CLUSTER]),
      [0, join(0)],
      [0, join(1)],
      [1, result(0, 0)],
      [2, result(1, 0)],
    );
    expect(open.steps[1]?.state).toBe("running");
    const lost = play(open, [LEASE_MS, tick(LEASE_MS, 0)]);
    expect(lost.steps[1]?.state).toBe("running");
    const ended = play(lost, [LEASE_MS + 1, result(0, 1)]);
    expect(ended.steps[1]).toMatchObject({
      state: "failed",
      errorMessage: "node 1: no contact for 150 s",
    });
  });

  test("all expected nodes gone while places are still free: the job waits for its expiry", ({
    expect,
  }) => {
    const lost = play(job(2), [0, join(0)], [LEASE_MS, tick(0)]);
    expect(nextDeadline(lost, [0], LEASE_MS)).toBe(EXPIRES_AT);
  });
});

describe("joining", () => {
  test("the same machine gets its node back, also when it listens elsewhere now", ({ expect }) => {
    const one = play(job(2), [0, join(0)]);
    const again = decide(one, join(0), 1);
    expect(again).toEqual({ job: one, outcome: { ok: true, rank: 0 } });
    const moved = decide(
      one,
      { type: "join", machine: { ...machine(0), clusterAddresses: ["10.0.0.9:7117"] } },
      1,
    );
    expect(moved.outcome).toEqual({ ok: true, rank: 0 });
    expect(moved.job.nodes[0]?.machine.clusterAddresses).toEqual(["10.0.0.9:7117"]);
  });

  test("when all expected nodes are there, another machine is refused", ({ expect }) => {
    const full = play(job(1), [0, join(0)]);
    expect(decide(full, join(1), 1)).toEqual({ job: full, outcome: { ok: false, reason: "full" } });
  });
});

describe("the reasons of failures", () => {
  const long = "😀".repeat(500);
  const plan = [NODE, ...Array.from({ length: 16 }, () => CLUSTER)];
  const everyReason = ({ nodes }: Job) =>
    nodes.flatMap(({ steps }) => steps.map(({ errorMessage }) => errorMessage ?? ""));

  test("of many nodes together are bounded: later ones are cut, between two characters", ({
    expect,
  }) => {
    const joined = play(
      job(256, plan),
      ...Array.from({ length: 256 }, (_, at): [number, Event] => [0, join(at)]),
    );
    const events = joined.nodes.map(({ rank }): [number, Event] => [
      1,
      { type: "give_up", rank, message: long },
    ]);
    const ended = play(joined, ...events);
    const reasons = everyReason(ended);
    expect(reasons[0], "the first are whole").toBe(long);
    expect(ended.nodes[0]?.failedMessage).toBe(long);
    const last = ended.nodes.at(-1)?.failedMessage ?? "";
    expect(last).toBe(`${"😀".repeat(49)}…`);
    expect(last.length).toBeLessThanOrEqual(CUT_REASON);
    const all = reasons.reduce((sum, reason) => sum + reason.length, 0);
    expect(all).toBeLessThanOrEqual(MAX_REASONS + reasons.length * CUT_REASON);
  });

  test("of one node are never cut, whatever fails", ({ expect }) => {
    const cluster = Array.from({ length: 17 }, () => NODE);
    const steps = cluster.map((_, position): [number, Event] => [
      1,
      { ...result(0, position, "failed"), errorMessage: long } as Event,
    ]);
    expect(everyReason(play(job(1, cluster), [0, join(0)], ...steps))).toEqual(
      cluster.map(() => long),
    );
  });
});
