/** A job never gets stuck and nothing is lost: random lives of a job, with all that breaks, held against the reference. */
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { afterAll, beforeAll, test } from "vitest";
import { DAY_MS } from "../../../src/lib/clock.ts";
import { patient } from "../../patience.ts";
import { join, putResult } from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import { reported } from "../harness/instruments.ts";
import { runAlarm, type Stage, sequences, startAnew } from "../reliability/commands.ts";
import { type Faults, installFaults } from "../reliability/faults.ts";
import { CLUSTER_NETWORK, type Plan, QUICK_MARK } from "../reliability/machines.ts";
import { Observer } from "../reliability/observer.ts";
import { Scene } from "../reliability/scene.ts";

/** Of `npm run test:long`; `npm run fuzz` draws others, and more. */
const { seed, lives: numRuns, minutes } = env.FUZZ ?? { seed: 1, lives: 30, minutes: 10 };
const MAX_COMMANDS = 60;

let faults: Faults;
beforeAll(async () => {
  // Loads what runs after a job's end: an import whose object is killed never ends, and later ones wait for it.
  const job = await createJob();
  const { id } = (await join(job)).body;
  await putResult(job, id, 0);
  await reported(job);
  faults = installFaults();
});
afterAll(() => faults.restore());

const plans: fc.Arbitrary<Plan> = fc.constantFrom(
  { nodeCount: 1, benchmarks: [QUICK_MARK] },
  { nodeCount: 2, benchmarks: [QUICK_MARK] },
  { nodeCount: 2, benchmarks: [QUICK_MARK, CLUSTER_NETWORK] },
  { nodeCount: 3, benchmarks: [QUICK_MARK, CLUSTER_NETWORK] },
);

/** Far ahead of the machine's clock, so that no alarm fires by itself; later with each life. */
let clock = Date.now() + 400 * DAY_MS;

test(`lives of up to ${MAX_COMMANDS} commands`, {
  timeout: patient((minutes + 5) * 60_000),
}, async ({ expect }) => {
  let lives = 0;
  let commands = 0;
  const live = async (
    plan: Plan,
    steps: Iterable<fc.AsyncCommand<Record<string, never>, Stage>>,
  ) => {
    faults.setD1("ok");
    faults.objectsLost();
    faults.forgetHung();
    faults.setNow(clock);
    const expiresAt = clock + DAY_MS;
    const scene = await Scene.create(plan, clock);
    const observer = new Observer(expect, faults, scene, expiresAt);
    const stage: Stage = { observer, faults, now: clock };
    try {
      await fc.asyncModelRun(() => ({ model: {}, real: stage }), steps);
      await end(stage, expiresAt);
    } finally {
      clock = stage.now + DAY_MS;
    }
    lives++;
  };
  const property = fc.asyncProperty(plans, sequences(MAX_COMMANDS), async (plan, steps) => {
    await live(plan, steps);
    commands += [...steps].length;
  });
  await fc.assert(property, {
    seed,
    numRuns,
    interruptAfterTimeLimit: minutes * 60_000,
    markInterruptAsFailure: false,
    endOnFailure: false,
  });
  console.info(`${lives} lives of a job, ${commands} commands, seed ${seed}`);
  expect(lives).toBeGreaterThanOrEqual(Math.min(numRuns, 1));

  /** D1 works again and the job's time runs out: it settles, and D1 knows all of it. */
  async function end(stage: Stage, expiresAt: number): Promise<void> {
    const { observer } = stage;
    faults.setD1("ok");
    stage.now = Math.max(stage.now, expiresAt);
    faults.setNow(stage.now);
    await observer.look(stage.now);
    const ran = await runAlarm(stage);
    if ((await observer.scene.stored()).job === null) return;
    // Its alarm got lost, and D1 knew the end before it could say so: it does when it starts anew.
    if (!ran) await startAnew(stage);
    await observer.expectDrained();
    expect(observer.world.job.endedAt, "every job settles").not.toBeNull();
  }
});
