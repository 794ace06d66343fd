/** The hot routes of the product beside a plain Worker and the least that workerd can do, in one process. */
import type { Bundle } from "../../scripts/lib/bundle.ts";
import { send } from "../../test/fuzz/wire.ts";
import { wireOf } from "../counts.ts";
import { HttpPool } from "../http-pool.ts";
import { type Lap, type Contender as Racer, race } from "../rounds.ts";
import { type Baseline, openStage, type Stage } from "../stage.ts";
import { CONTENDERS, type Contender, type ContenderName, type HotRoute } from "./routes.ts";
import { createScene, type Scene } from "./scene.ts";
import { differenceOf } from "./shape.ts";

const CONNECTIONS = 8;

/** Baselines of the hot routes. */
export function hotBaselines(replies: Record<string, string>): Baseline[] {
  return [
    { name: "plain", file: "plain", objects: { JOB: "PlainJob" }, replies },
    { name: "limit", file: "limit", objects: { OBJECT: "BareObject" }, replies },
  ];
}

export interface HotLaps {
  route: HotRoute;
  laps: Record<ContenderName, Lap>;
}

/**
 * @param options `asked`: routes whose replies are compared, at least those that race
 * @param onLaps hears of each route as it ends
 */
export async function raceHotRoutes(
  folder: string,
  bundle: Bundle,
  {
    routes,
    asked,
    rounds,
    replies,
  }: {
    routes: readonly HotRoute[];
    asked: readonly HotRoute[];
    rounds: number;
    replies: Record<string, string>;
  },
  onLaps: (laps: HotLaps) => void,
): Promise<void> {
  const stage = await openStage(folder, bundle, hotBaselines(replies));
  try {
    const field = await openField(stage, asked);
    for (const route of routes) {
      const laps = await race(racersOf(route, field), rounds, stage.cpuMs);
      onLaps({ route, laps });
    }
    field.close();
  } finally {
    await stage.stop();
  }
}

/** A stage with its scene, and connections to each contender. */
export interface Field {
  scene: Scene;
  contenders: readonly (Contender & { pool: HttpPool })[];
  close(): void;
}

/** Throws if a contender's reply is another than the product's. */
export async function openField(stage: Stage, routes: readonly HotRoute[]): Promise<Field> {
  const table = "CREATE TABLE bare_jobs (id INTEGER PRIMARY KEY, body TEXT)";
  await stage.db.batch([stage.db.prepare(table)]);
  const scene = await createScene(stage);
  const contenders = await Promise.all(
    CONTENDERS.map(async (name) => {
      const url = name === "product" ? stage.url : await stage.urlOf(name);
      return { name, url, pollEtag: "", pool: await HttpPool.open(url, CONNECTIONS) };
    }),
  );
  for (const route of routes) {
    const replies = [];
    for (const contender of contenders) {
      const request = wireOf(await route.request(scene, contender), "bench");
      const { status, headers, body } = await send(contender.url, scene.world.agent, request);
      if (route.name === "poll") contender.pollEtag = String(headers.etag ?? "any");
      replies.push({
        name: contender.name,
        reply: body.length === 0 ? status : JSON.parse(body.toString()),
      });
    }
    const [product, ...others] = replies;
    for (const { name, reply } of others) {
      const difference = differenceOf(product?.reply, reply);
      if (difference !== null) throw new Error(`${route.title}, ${name}: ${difference}`);
    }
  }
  return {
    scene,
    contenders,
    close() {
      for (const { pool } of contenders) pool.close();
      scene.world.close();
    },
  };
}

export function racersOf(route: HotRoute, { scene, contenders }: Field) {
  const racers = contenders.map((contender): [ContenderName, Racer] => {
    // The least that workerd can do looks at no request.
    const isRepeated = route.isRepeated || contender.name === "limit";
    return [
      contender.name,
      {
        async prepare() {
          const requests: Buffer[] = [];
          while (requests.length < (isRepeated ? 1 : route.requests)) {
            requests.push(await route.request(scene, contender));
          }
          // Work that joining has left to do is not part of a result.
          if (!route.isRepeated) await scene.world.settle();
          const [first = Buffer.alloc(0)] = requests;
          return isRepeated ? Array<Buffer>(route.requests).fill(first) : requests;
        },
        run: (requests) => contender.pool.run(requests),
        settle: () => (route.isRepeated ? Promise.resolve() : scene.settleArena()),
      },
    ];
  });
  return Object.fromEntries(racers) as Record<ContenderName, Racer>; // one for each name
}
