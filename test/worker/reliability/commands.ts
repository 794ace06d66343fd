/** What can happen to a job, as commands of fast-check: calls, time, and everything that breaks. */
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

/** What commands act on: one job, the clock, and the faults of its surroundings. */
export interface Stage {
  observer: Observer;
  faults: Faults;
  now: number;
}

/** Nothing of the model's own: the observer holds the reference. */
type Nothing = Record<string, never>;

class Step implements fc.AsyncCommand<Nothing, Stage> {
  readonly #name: string;
  readonly #play: (stage: Stage) => Promise<void>;

  constructor(name: string, play: (stage: Stage) => Promise<void>) {
    this.#name = name;
    this.#play = play;
  }

  check(): boolean {
    return true;
  }

  run(_model: Nothing, stage: Stage): Promise<void> {
    return this.#play(stage);
  }

  toString(): string {
    return this.#name;
  }
}

/** More ranks and positions than there are: unknown tasks and steps are asked for, too. */
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

const join = machine.map((machine): Call => ({ kind: "join", machine }));
const result = fc
  .record({ rank, position, choice })
  .map((slot): Call => ({ kind: "result", ...slot }));
const ofNode = fc.oneof(
  { weight: 3, arbitrary: rank.map((rank): Call => ({ kind: "poll", rank })) },
  { weight: 1, arbitrary: fc.constant<Call>({ kind: "poll", rank: null }) },
  { weight: 2, arbitrary: rank.map((rank): Call => ({ kind: "heartbeat", rank })) },
  { weight: 1, arbitrary: rank.map((rank): Call => ({ kind: "give_up", rank })) },
);
const abort = fc.constant<Call>({ kind: "abort" });
const remove = fc.constant<Call>({ kind: "delete" });

const show = ({ kind, ...rest }: Call) => [kind, ...Object.values(rest)].map(shown).join(" ");
const shown = (value: unknown) => (typeof value === "object" ? JSON.stringify(value) : value);

const asCall = (call: fc.Arbitrary<Call>) =>
  call.map((asked) => new Step(show(asked), ({ observer, now }) => observer.call(asked, now)));

/** Every object is lost while the call is on its way, after so many turns of the event loop. */
const callIntoCrash = fc.tuple(fc.oneof(join, result, result, ofNode, abort), fc.nat(4)).map(
  ([asked, turns]) =>
    new Step(`crash after ${turns} turns of ${show(asked)}`, ({ observer, faults, now }) =>
      observer.callIntoCrash(asked, now, async () => {
        await faults.turns(turns);
        await abortAllDurableObjects();
      }),
    ),
);

/** On both sides of every bound: the granularity of contact, the lease, and the job's end. */
const time = fc
  .oneof(
    { weight: 6, arbitrary: fc.constantFrom(1, 20_000, 59_999, 60_000, 100_000) },
    { weight: 4, arbitrary: fc.constantFrom(149_999, 150_000, 210_000) },
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

/** The object is evicted, and wakes up again. */
export async function startAnew({ observer, now }: Stage): Promise<void> {
  // It is there to be evicted from here on.
  await observer.scene.stored();
  await evictDurableObject(observer.scene.stub);
  observer.lostMemory(now);
  await observer.look(now);
}

/** Runs the alarm if one is set; whether there was one. */
export async function runAlarm({ observer, now }: Stage): Promise<boolean> {
  const { stub } = observer.scene;
  const ran = await runDurableObjectAlarm(stub);
  if (!ran) return false;
  await observer.look(now, { alarmRan: true });
  if (await observer.isDone()) {
    // The one that stood behind the last flush.
    await runDurableObjectAlarm(stub);
    await observer.expectNoAlarm();
  }
  return true;
}

/** Sequences of up to so many commands. */
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
