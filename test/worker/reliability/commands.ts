/** fast-check commands for everything that can happen to a job: calls, passing time, and failures. */
import {
  abortAllDurableObjects,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import fc from "fast-check";
import type { D1Mode, Faults } from "./faults.ts";
import type { MachineChoice, ResultChoice } from "./machines.ts";
import type { Observer } from "./observer.ts";
import type { Call } from "./reference.ts";

/** The target of the commands: one job, the clock, and the faults of D1. */
export interface Stage {
  observer: Observer;
  faults: Faults;
  now: number;
}

/** The fast-check model is empty, because the observer holds the reference model. */
type EmptyModel = Record<string, never>;

class Step implements fc.AsyncCommand<EmptyModel, Stage> {
  readonly #name: string;
  readonly #play: (stage: Stage) => Promise<void>;

  constructor(name: string, play: (stage: Stage) => Promise<void>) {
    this.#name = name;
    this.#play = play;
  }

  check(): boolean {
    return true;
  }

  run(_model: EmptyModel, stage: Stage): Promise<void> {
    return this.#play(stage);
  }

  toString(): string {
    return this.#name;
  }
}

/** Ranks and positions exceed those of the job, so that calls also name unknown tasks and steps. */
const rank = fc.nat(3);
const position = fc.nat(2);
const choice = fc.oneof(
  { weight: 6, arbitrary: fc.constant<ResultChoice>("one") },
  { weight: 1, arbitrary: fc.constantFrom<ResultChoice>("other", "failed", "invalid") },
);
const machine: fc.Arbitrary<MachineChoice> = fc.record({
  index: fc.nat(4),
  moved: fc.oneof(
    { weight: 4, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
});

/** One call in ten has not the token of the task that it names. */
const stranger = fc.nat(9).map((n) => n === 0);
const ofRank = fc.record({ rank, stranger });

const join = machine.map((machine): Call => ({ kind: "join", machine }));
const result = fc
  .record({ rank, position, choice, stranger })
  .map((slot): Call => ({ kind: "result", ...slot }));
const ofNode = fc.oneof(
  { weight: 3, arbitrary: ofRank.map((of): Call => ({ kind: "poll", ...of })) },
  { weight: 1, arbitrary: fc.constant<Call>({ kind: "poll", rank: null }) },
  { weight: 2, arbitrary: ofRank.map((of): Call => ({ kind: "heartbeat", ...of })) },
  { weight: 1, arbitrary: ofRank.map((of): Call => ({ kind: "give_up", ...of })) },
);
const abort = fc.constant<Call>({ kind: "abort" });
const remove = fc.constant<Call>({ kind: "delete" });

const labelOf = ({ kind, ...rest }: Call) => [kind, ...Object.values(rest)].map(asText).join(" ");
const asText = (value: unknown) => (typeof value === "object" ? JSON.stringify(value) : value);

const asCall = (call: fc.Arbitrary<Call>) =>
  call.map(
    (request) => new Step(labelOf(request), ({ observer, now }) => observer.call(request, now)),
  );

/** Crashes every object during a call, after the drawn number of event-loop turns. */
const callIntoCrash = fc.tuple(fc.oneof(join, result, result, ofNode, abort), fc.nat(4)).map(
  ([request, turns]) =>
    new Step(`crash after ${turns} turns of ${labelOf(request)}`, ({ observer, faults, now }) =>
      observer.callIntoCrash(request, now, async () => {
        await faults.turns(turns);
        await abortAllDurableObjects();
      }),
    ),
);

/** Durations lie on both sides of every bound: the contact granularity, the lease, and the job's expiry. */
const time = fc
  .oneof(
    { weight: 6, arbitrary: fc.constantFrom(1, 20_000, 74_999, 75_000, 100_000) },
    { weight: 4, arbitrary: fc.constantFrom(149_999, 150_000, 225_000) },
    { weight: 1, arbitrary: fc.constantFrom(3_600_000, 86_400_000) },
  )
  .map(
    (ms) =>
      new Step(`${ms} ms pass`, async (stage) => {
        stage.now += ms;
        stage.faults.setNow(stage.now);
      }),
  );

const alarm = fc.constant(
  new Step("alarm", async (stage) => {
    await runAlarm(stage);
  }),
);
const lostAlarm = fc.constant(
  new Step("lost alarm", async ({ observer, now }) => {
    const { alarm: dueAt } = await observer.scene.stored();
    await runInDurableObject(observer.scene.stub, (_object, { storage }) => storage.deleteAlarm());
    observer.lostAlarm(dueAt);
    await observer.look(now);
  }),
);
const evict = fc.constant(new Step("evict", startAnew));
const crash = fc.constant(
  new Step("crash", async ({ observer, faults, now }) => {
    await abortAllDurableObjects();
    faults.objectsLost();
    observer.lostMemory(now);
    await observer.look(now);
  }),
);
const d1 = fc
  .oneof(
    { weight: 2, arbitrary: fc.constant<D1Mode>("ok") },
    { weight: 1, arbitrary: fc.constantFrom<D1Mode>("before", "after", "hang") },
  )
  .map((mode) => new Step(`D1 ${mode}`, async ({ faults }) => faults.setD1(mode)));
const arrivals = fc.constantFrom("first" as const, "last" as const).map(
  (order) =>
    new Step(`hung requests arrive, ${order} first`, async ({ observer, faults, now }) => {
      await faults.arrive(order);
      await observer.look(now);
    }),
);
const drain = fc.constant(
  new Step("drain", async (stage) => {
    stage.faults.setD1("ok");
    if (await runAlarm(stage)) await stage.observer.expectDrained();
  }),
);

/** Evicts the object and wakes it up again. */
export async function startAnew({ observer, now }: Stage): Promise<void> {
  // Only a running object can be evicted; this read starts it.
  await observer.scene.stored();
  await evictDurableObject(observer.scene.stub);
  observer.lostMemory(now);
  await observer.look(now);
}

/** Runs the alarm if one is set. Returns true if it ran. */
export async function runAlarm({ observer, now }: Stage): Promise<boolean> {
  const { stub } = observer.scene;
  const ran = await runDurableObjectAlarm(stub);
  if (!ran) return false;
  await observer.look(now, { alarmRan: true });
  if (await observer.isDone()) {
    // The last flush leaves its safety alarm behind.
    await runDurableObjectAlarm(stub);
    await observer.expectNoAlarm();
  }
  return true;
}

/** Sequences of at most `maxCommands` commands. */
export function sequences(maxCommands: number) {
  const weighted = <T>(weight: number, arbitrary: fc.Arbitrary<T>) => Array(weight).fill(arbitrary);
  return fc.commands(
    [
      ...weighted(5, asCall(join)),
      ...weighted(8, asCall(result)),
      ...weighted(4, asCall(ofNode)),
      asCall(fc.oneof({ weight: 2, arbitrary: abort }, { weight: 1, arbitrary: remove })),
      ...weighted(3, callIntoCrash),
      ...weighted(4, time),
      ...weighted(3, alarm),
      lostAlarm,
      ...weighted(2, evict),
      ...weighted(2, crash),
      ...weighted(3, d1),
      arrivals,
      drain,
    ],
    { maxCommands, size: "max" },
  );
}
