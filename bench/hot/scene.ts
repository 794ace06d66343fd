/** People, jobs to list and read, nodes to poll and report, and a runner: what the hot routes are asked for. */
import { randomUUID } from "node:crypto";
import {
  createWorld,
  type Job,
  type Node,
  type Runner,
  type World,
} from "../../test/fuzz/world.ts";
import type { Stage } from "../stage.ts";

/** More than a page. */
const LISTED_JOBS = 30;
/** A job of as many nodes as there are never settles: most of them do not report. */
const NODES_OF_A_JOB = 256;
const REPORTING_NODES = 224;

export interface Scene {
  world: World;
  /** The token of a person with jobs. */
  person: string;
  /** A node whose step runs. */
  node: Node;
  /** A settled and rated job of the person. */
  settled: Job;
  /** Without jobs to claim. */
  runner: Runner;
  /** Another one each time. */
  freshNode(): Promise<Node>;
  /** Waits until D1 has what the fresh nodes have sent. */
  settleArena(): Promise<void>;
}

export async function createScene(stage: Pick<Stage, "url" | "db">): Promise<Scene> {
  const world = await createWorld(stage);
  const { token: person } = await world.createColleague();
  const settled = await world.createJob({}, person);
  await world.finish(await world.join(settled), "completed");
  await world.settle();
  for (let job = 0; job < LISTED_JOBS; job++) {
    const name = `Bench ${randomUUID()}`;
    await world.createJob({ name, tags: ["bench", "production"] }, person);
  }
  const node = await world.join(await world.createJob({}, person));
  const runner = await world.createRunner([await world.createSpec()]);
  let arena: { job: Job; left: number } | null = null;
  await world.settle();
  return {
    world,
    person,
    node,
    settled,
    runner,
    async freshNode() {
      if (arena === null || arena.left === 0) {
        const job = await world.createJob({ node_count: NODES_OF_A_JOB });
        arena = { job, left: REPORTING_NODES };
      }
      arena.left--;
      return await world.join(arena.job);
    },
    async settleArena() {
      if (arena !== null) world.changed(arena.job);
      await world.settle();
    },
  };
}
