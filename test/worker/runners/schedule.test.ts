/** Who is next: the rules one by one, then a model of 1,000 random fleets in which nobody waits for ever. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { chooseJob, type Facts, type OpenJob, type Tries } from "../../../src/runners/schedule.ts";
import { patient } from "../../patience.ts";
import { Fleet, type FleetPlan } from "./fleet-model.ts";

const MINUTE = 60_000;
const NOBODY = () => false;

function job(changes: Partial<OpenJob> & { id: number }): OpenJob {
  const { id } = changes;
  const open = { customerId: 1, spec: "a", createdAt: id, wants: 1, isGang: false };
  return { ...open, reservedAt: null, heldSince: null, ...changes };
}
const gang = (changes: Partial<OpenJob> & { id: number }) =>
  job({ wants: 2, isGang: true, ...changes });

function facts(
  jobs: OpenJob[],
  { held = {}, idle = 0, online = 0, tries = [] as Tries[] } = {},
): Facts {
  const counts = Object.entries(held).map(([id, runners]): [number, number] => [
    Number(id),
    Number(runners),
  ]);
  return { jobs, tries, held: new Map(counts), pools: new Map([["a", { idle, online }]]) };
}

function chosen(of: Facts, now = 0) {
  const choice = chooseJob(of, now, NOBODY);
  return choice === null ? null : `${choice.kind} ${choice.job.id}`;
}

describe("the choice", () => {
  test("the customer that holds the fewest runners, then the oldest job", ({ expect }) => {
    const jobs = [job({ id: 1 }), job({ id: 2, customerId: 2 }), job({ id: 3, customerId: 2 })];
    expect(chosen(facts(jobs))).toBe("join 1");
    expect(chosen(facts(jobs, { held: { 1: 1 } }))).toBe("join 2");
    expect(chosen(facts(jobs, { held: { 1: 1, 2: 2 } }))).toBe("join 1");
    expect(chosen(facts([]))).toBeNull();
    expect(chooseJob(facts(jobs), 0, ({ id }) => id !== 3)?.job.id).toBe(3);
  });

  test("a gang job: all at once, held for, or passed by", ({ expect }) => {
    const jobs = [gang({ id: 1 }), job({ id: 2 })];
    expect(chosen(facts(jobs, { idle: 2, online: 2 }))).toBe("gather 1");
    expect(chosen(facts(jobs, { idle: 1, online: 2 }))).toBe("hold 1");
    expect(chosen(facts(jobs, { idle: 1, online: 1 }))).toBe("join 2");
    expect(chosen(facts([gang({ id: 1, spec: "b" }), job({ id: 2 })], { online: 9 }))).toBe(
      "join 2",
    );
  });

  test("a gang that meets takes nobody; void, it is behind all others for 2 minutes", ({
    expect,
  }) => {
    const all = { idle: 2, online: 2 };
    const jobs = [gang({ id: 1, reservedAt: 0 }), job({ id: 2 })];
    expect(chosen(facts(jobs, all), 2 * MINUTE - 1)).toBe("join 2");
    expect(chosen(facts(jobs, all), 2 * MINUTE)).toBe("join 2");
    expect(chosen(facts(jobs, all), 4 * MINUTE - 1)).toBe("join 2");
    expect(chosen(facts(jobs, all), 4 * MINUTE)).toBe("gather 1");
    expect(chosen(facts(jobs.slice(0, 1), all), 3 * MINUTE), "nobody else").toBe("gather 1");
    const busy = { idle: 1, online: 2 };
    expect(chosen(facts(jobs.slice(0, 1), busy), 3 * MINUTE), "it holds nobody").toBeNull();
  });

  test("holding lasts 10 minutes, comes before all else, and is over for 10 more", ({ expect }) => {
    const busy = { idle: 1, online: 2, held: { 1: 5 } };
    const jobs = [gang({ id: 1, heldSince: 0 }), job({ id: 2, customerId: 2 })];
    expect(chosen(facts(jobs, busy), 10 * MINUTE - 1)).toBe("hold 1");
    expect(chosen(facts(jobs, busy), 10 * MINUTE)).toBe("join 2");
    expect(chosen(facts(jobs, { ...busy, held: {} }), 20 * MINUTE - 1)).toBe("join 2");
    expect(chosen(facts(jobs, { ...busy, held: {} }), 20 * MINUTE)).toBe("hold 1");
    expect(chooseJob(facts(jobs, busy), 5, NOBODY)).toMatchObject({ isNew: false });
  });

  test("a gang job that has tried in vain queues anew", ({ expect }) => {
    const all = { idle: 2, online: 2 };
    const jobs = [gang({ id: 1, reservedAt: 10 }), gang({ id: 2 }), job({ id: 11 })];
    expect(chosen(facts(jobs, all), 5 * MINUTE)).toBe("gather 2");
    expect(chosen(facts([...jobs.slice(0, 1), job({ id: 11 })], all), 5 * MINUTE)).toBe("gather 1");
    expect(chosen(facts([...jobs.slice(0, 1), job({ id: 9 })], all), 5 * MINUTE)).toBe("join 9");
  });

  test("one customer's gang jobs do not hold one after the other", ({ expect }) => {
    const busy = { idle: 1, online: 2 };
    const jobs = [gang({ id: 1, heldSince: 0 }), gang({ id: 2 }), job({ id: 3 })];
    expect(chosen(facts(jobs, busy), 15 * MINUTE)).toBe("join 3");
    const other = gang({ id: 4, customerId: 2 });
    expect(chosen(facts([...jobs, other], busy), 15 * MINUTE)).toBe("join 3");
    expect(chosen(facts([...jobs.slice(0, 2), other], busy), 15 * MINUTE)).toBe("hold 4");
  });

  test("a gang job that is made again is behind, as the one before it was", ({ expect }) => {
    const jobs = [gang({ id: 2 }), job({ id: 3, customerId: 2 })];
    const held = { idle: 1, online: 2, tries: [{ customerId: 1, reservedAt: null, heldSince: 0 }] };
    expect(chosen(facts(jobs, held), 10 * MINUTE)).toBe("join 3");
    expect(chosen(facts(jobs, held), 20 * MINUTE - 1)).toBe("join 3");
    expect(chosen(facts(jobs, held), 20 * MINUTE)).toBe("hold 2");
    const tries = [{ customerId: 1, reservedAt: 0, heldSince: null }];
    const reserved = { idle: 2, online: 2, tries };
    expect(chosen(facts(jobs, reserved), 4 * MINUTE - 1)).toBe("join 3");
    expect(chosen(facts(jobs, reserved), 4 * MINUTE)).toBe("gather 2");
  });
});

describe("1,000 random fleets", () => {
  const SPECS = ["a", "b"];
  const spec = fc.constantFrom(...SPECS);
  const offered = fc.subarray(SPECS, { minLength: 1 });
  const minutes = (max: number) => fc.integer({ min: 0, max }).map((n) => n * MINUTE);
  const plans: fc.Arbitrary<FleetPlan> = fc.record({
    // Always online: whom jobs may count on.
    loyal: fc.array(offered, { minLength: 1, maxLength: 4 }),
    // Come and go, change their specs, or hang in the middle of a job.
    fickle: fc.array(
      fc.record({
        specs: offered,
        later: fc.subarray(SPECS),
        up: minutes(30),
        down: minutes(60),
        hangs: fc.boolean(),
      }),
      { maxLength: 3 },
    ),
    jobs: fc.array(
      fc.record({
        customer: fc.integer({ min: 1, max: 3 }),
        spec,
        nodes: fc.integer({ min: 1, max: 5 }),
        isGang: fc.boolean(),
        createdAt: minutes(20),
        work: minutes(8),
      }),
      { minLength: 1, maxLength: 6 },
    ),
    // A customer who always wants more.
    flood: fc.array(
      fc.record({ spec, nodes: fc.integer({ min: 1, max: 4 }), isGang: fc.boolean() }),
      {
        maxLength: 3,
      },
    ),
    lossPercent: fc.constantFrom(0, 5, 30),
    seed: fc.integer(),
  });

  test("every job that wants no more nodes than stay online starts; no runner has two jobs, no job too many nodes, nobody waits at a barrier beyond 10 minutes", {
    timeout: patient(120_000),
  }, ({ expect }) => {
    const seen = { fleets: 0, started: 0, others: 0, minutes: 0, barriers: 0 };
    const property = fc.property(plans, (plan) => {
      const fleet = new Fleet(plan);
      const end = fleet.run(12 * 60 * MINUTE);
      expect(fleet.waiting(), "jobs that never started").toEqual([]);
      seen.fleets++;
      seen.started += fleet.started;
      seen.others = Math.max(seen.others, fleet.mostOthers);
      seen.minutes = Math.max(seen.minutes, end / MINUTE);
      seen.barriers += fleet.barriersLeft;
    });
    fc.assert(property, { seed: 1, numRuns: 1_000, endOnFailure: false });
    console.info(`model of fleets: ${JSON.stringify(seen)}`);
    expect(seen.fleets).toBe(1_000);
    expect(seen.barriers, "some wait in vain").toBeGreaterThan(0);
  });
});
