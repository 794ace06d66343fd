/** Whatever many clients do to a job at the same time reads as if they had done it one after the other. */
import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { afterAll, beforeAll, describe, test } from "vitest";
import { DAY_MS } from "../../../src/lib/clock.ts";
import { patient } from "../../patience.ts";
import { createPerson, type Person } from "../harness/factories.ts";
import { type D1Mode, type Faults, installFaults } from "../reliability/faults.ts";
import { linearize, type Operation } from "../reliability/linearize.ts";
import {
  CLUSTER_NETWORK,
  type Plan,
  QUICK_MARK,
  type ResultChoice,
} from "../reliability/machines.ts";
import { type Answer, type Call, newJobModel } from "../reliability/reference.ts";
import { Scene } from "../reliability/scene.ts";

/** Of `npm run test:long`; `npm run fuzz` draws others, and more. */
const { seed, histories: numRuns, minutes } = env.FUZZ ?? { seed: 1, histories: 15, minutes: 10 };
const CLIENTS = 32;

/** A client's next step. A machine's own rank is known once it has joined. */
type Deed =
  | { readonly kind: "join" | "poll" | "heartbeat" | "give_up" }
  | { readonly kind: "result"; readonly position: number; readonly choice: ResultChoice }
  | { readonly kind: "abort" | "delete" | "detail" };

/** Faults while calls are on their way, after so many requests and replies. */
interface Disturbance {
  readonly at: number;
  readonly kind: "crash" | "evict" | "break D1" | "mend D1";
}

interface Client {
  readonly machine: number;
  /** Its steps, each after so many turns of the event loop. */
  readonly deeds: readonly (readonly [turns: number, deed: Deed])[];
}

const turns = fc.nat(6);
const result = fc.record({
  kind: fc.constant("result" as const),
  position: fc.nat(1),
  choice: fc.constantFrom<ResultChoice>("one", "one", "one", "other", "failed"),
});
const deed: fc.Arbitrary<Deed> = fc.oneof(
  { weight: 6, arbitrary: result },
  { weight: 4, arbitrary: fc.constant<Deed>({ kind: "poll" }) },
  { weight: 1, arbitrary: fc.constantFrom<Deed>({ kind: "heartbeat" }, { kind: "give_up" }) },
);
const ownersDeed = fc.constantFrom<Deed>(
  { kind: "detail" },
  { kind: "detail" },
  { kind: "abort" },
  { kind: "delete" },
);
const join = fc.tuple(turns, fc.constant<Deed>({ kind: "join" }));
const deeds = (of: fc.Arbitrary<Deed>) => fc.array(fc.tuple(turns, of), { maxLength: 4 });
/** Some machines come twice, as an agent that was started again would. */
const node: fc.Arbitrary<Client> = fc
  .tuple(fc.nat(CLIENTS - 4), join, deeds(deed))
  .map(([machine, first, rest]) => ({ machine, deeds: [first, ...rest] }));
const owner: fc.Arbitrary<Client> = deeds(ownersDeed).map((deeds) => ({ machine: -1, deeds }));
/** Requests and replies come to about 170. */
const disturbance: fc.Arbitrary<Disturbance> = fc.record({
  at: fc.nat(150),
  kind: fc.constantFrom("crash", "crash", "evict", "break D1", "mend D1"),
});

const scripts = fc.record({
  plan: fc.record({ nodeCount: fc.constantFrom(2, 3, 8, 24), cluster: fc.boolean() }).map(
    ({ nodeCount, cluster }): Plan => ({
      nodeCount,
      benchmarks: cluster ? [QUICK_MARK, CLUSTER_NETWORK] : [QUICK_MARK],
    }),
  ),
  nodes: fc.array(node, { minLength: CLIENTS - 2, maxLength: CLIENTS - 2, size: "max" }),
  owners: fc.array(owner, { minLength: 2, maxLength: 2 }),
  disturbances: fc.array(disturbance, { maxLength: 6 }),
  /** The fate of the first requests to D1: the object takes the job over with them, and flushes. */
  firstInD1: fc.array(fc.constantFrom<D1Mode>("ok", "before", "after"), { maxLength: 4 }),
});

describe("calls of 32 clients at once", () => {
  let faults: Faults;
  let person: Person;
  /** Far ahead of the machine's clock, so that no alarm fires by itself. It stands still. */
  const now = Date.now() + 400 * DAY_MS;
  beforeAll(async () => {
    faults = installFaults();
    faults.setNow(now);
    person = await createPerson();
  });
  afterAll(() => faults.restore());

  /** Plays all clients at the same time; the calls and replies, in order of time. */
  async function play(
    scene: Scene,
    clients: readonly Client[],
    disturbances: readonly Disturbance[],
  ): Promise<Operation[]> {
    const history: Operation[] = [];
    const disturbing: Promise<unknown>[] = [];
    let time = 0;
    const tick = (): number => {
      for (const { at, kind } of disturbances) {
        if (at === time) disturbing.push(disturb(scene, kind));
      }
      return time++;
    };
    const ask = async (call: Call): Promise<Answer> => {
      const requestedAt = tick();
      const { answer } = await scene.call(call, now);
      const repliedAt = tick();
      // An unanswered call may have taken effect at any time. A crash also breaks D1 here, with an error that
      // only the test environment gives.
      const crashed = disturbances.some(({ kind }) => kind === "crash");
      const unknown = answer.status === 503 || (answer.status === 500 && crashed);
      const answeredAt = unknown ? Number.POSITIVE_INFINITY : repliedAt;
      history.push({ call, requestedAt, answeredAt, answer: unknown ? null : answer });
      return answer;
    };
    await Promise.all(
      clients.map(async ({ machine, deeds }) => {
        let rank = machine;
        for (const [wait, deed] of deeds) {
          await faults.turns(wait);
          switch (deed.kind) {
            case "join": {
              const call = { kind: "join", machine: { index: machine, moved: false } } as const;
              rank = Number((await ask(call)).facts.rank ?? rank);
              break;
            }
            case "poll":
            case "heartbeat":
            case "give_up":
              await ask({ kind: deed.kind, rank });
              break;
            case "result":
              await ask({ ...deed, rank });
              break;
            default:
              await ask({ kind: deed.kind });
          }
        }
      }),
    );
    await Promise.all(disturbing);
    faults.setD1("ok");
    faults.objectsLost();
    // Everybody's view afterwards.
    await ask({ kind: "poll", rank: null });
    await ask({ kind: "detail" });
    return history;
  }

  async function disturb(scene: Scene, kind: Disturbance["kind"]): Promise<void> {
    switch (kind) {
      case "crash":
        return abortAllDurableObjects();
      case "evict":
        return evictDurableObject(scene.stub).catch(() => {
          // It has not been called yet, or is gone already.
        });
      case "break D1":
        return faults.setD1("before");
      case "mend D1":
        return faults.setD1("ok");
    }
  }

  test("each history has an order that explains every reply", {
    timeout: patient((minutes + 5) * 60_000),
  }, async ({ expect }) => {
    let explained = 0;
    let calls = 0;
    let unanswered = 0;
    const property = fc.asyncProperty(
      scripts,
      async ({ plan, nodes, owners, disturbances, firstInD1 }) => {
        const scene = await Scene.create(plan, now, person);
        faults.breakNext(firstInD1);
        const history = await play(scene, [...nodes, ...owners], disturbances);
        const start = newJobModel(plan, now + DAY_MS);
        const outcome = linearize(start, history, now);
        if (!outcome.ok) expect.fail(JSON.stringify({ ...outcome, history }, null, 1));
        explained++;
        calls += history.length;
        unanswered += history.filter(({ answer }) => answer === null).length;
      },
    );
    await fc.assert(property, {
      seed,
      numRuns,
      interruptAfterTimeLimit: minutes * 60_000,
      markInterruptAsFailure: false,
    });
    console.info(
      `${explained} histories of ${CLIENTS} clients, ${calls} calls (${unanswered} unanswered), seed ${seed}`,
    );
    expect(explained).toBeGreaterThanOrEqual(Math.min(numRuns, 1));
  });
});

describe("the search", () => {
  const plan: Plan = { nodeCount: 2, benchmarks: [QUICK_MARK] };
  const now = 0;
  const start = newJobModel(plan, DAY_MS);
  const machine = (index: number) => ({ index, moved: false });
  const joined = (index: number, rank: number, status = 201) => ({
    call: { kind: "join", machine: machine(index) } as const,
    answer: { status, code: null, facts: { rank } },
  });
  const counted = (nodes: number) => ({
    call: { kind: "poll", rank: null } as const,
    answer: { status: 200, code: null, facts: { ...POLLED, current_nodes: nodes, version: nodes } },
  });
  const POLLED = { state: "starting", directive: "join", position: null };
  const unanswered = (index: number) => ({ ...joined(index, 0), answer: null });
  /** Calls with the places of their request and reply. */
  const explains = (
    ...calls: [requestedAt: number, answeredAt: number, Pick<Operation, "call" | "answer">][]
  ) =>
    linearize(
      start,
      calls.map(([requestedAt, answeredAt, call]) => ({ requestedAt, answeredAt, ...call })),
      now,
    ).ok;
  const NEVER = Number.POSITIVE_INFINITY;

  test("two joins that overlap may come in either order, but not share a rank", ({ expect }) => {
    expect(explains([0, 3, joined(1, 1)], [1, 2, joined(2, 0)])).toBe(true);
    expect(explains([0, 3, joined(1, 0)], [1, 2, joined(2, 0)])).toBe(false);
  });

  test("a call that was answered before another was made comes first", ({ expect }) => {
    expect(explains([0, 1, joined(1, 0)], [2, 3, joined(2, 1)])).toBe(true);
    expect(explains([0, 1, joined(1, 1)], [2, 3, joined(2, 0)])).toBe(false);
  });

  test("a reply may not be older than the state at the time of its request", ({ expect }) => {
    const none = { ...POLLED, state: "created", current_nodes: 0, version: 0 };
    const stale = { ...counted(0), answer: { status: 200, code: null, facts: none } };
    expect(explains([0, 2, joined(1, 0)], [1, 3, stale])).toBe(true);
    expect(explains([0, 1, joined(1, 0)], [2, 3, stale])).toBe(false);
    expect(explains([0, 1, joined(1, 0)], [2, 3, counted(1)])).toBe(true);
  });

  test("a call without a reply may have taken effect, late, or not; but not be taken back", ({
    expect,
  }) => {
    const none = { ...POLLED, state: "created", current_nodes: 0, version: 0 };
    const empty = { ...counted(0), answer: { status: 200, code: null, facts: none } };
    expect(explains([0, NEVER, unanswered(1)], [1, 2, empty])).toBe(true);
    expect(explains([0, NEVER, unanswered(1)], [1, 2, counted(1)])).toBe(true);
    expect(explains([0, NEVER, unanswered(1)], [1, 2, empty], [3, 4, counted(1)])).toBe(true);
    expect(explains([0, NEVER, unanswered(1)], [1, 2, counted(1)], [3, 4, empty])).toBe(false);
  });

  test("an acknowledged join is not lost, and its repeat gets the same rank", ({ expect }) => {
    expect(explains([0, 1, joined(1, 0)], [2, 3, joined(1, 0, 200)])).toBe(true);
    expect(explains([0, 1, joined(1, 0)], [2, 3, joined(1, 0)])).toBe(false);
    expect(explains([0, 1, joined(1, 0)], [2, 3, joined(1, 1)])).toBe(false);
  });
});
