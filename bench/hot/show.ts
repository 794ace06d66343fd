/** Prints how near the hot routes are to what is possible, and tells whether each reaches its floors. */
import type { Bundle } from "../../scripts/lib/bundle.ts";
import { countCosts } from "../counts.ts";
import { profile } from "../profile.ts";
import { ratioOf } from "../rounds.ts";
import { openStage } from "../stage.ts";
import { type HotLaps, hotBaselines, openField, raceHotRoutes, racersOf } from "./race.ts";
import { CONTENDERS, HOT_ROUTES, type HotRoute } from "./routes.ts";

const BASELINES = ["plain", "limit"] as const;
/** A figure that was reached once may be missed by this much. */
const TOLERANCE = 0.95;

/** @param row part of the names of the routes */
export async function showHotRoutes(
  folder: string,
  bundle: Bundle,
  { rounds, row }: { rounds: number; row: string },
): Promise<boolean> {
  const routes = HOT_ROUTES.filter(({ name }) => name.includes(row));
  // The validator of an unchanged poll is that of a poll.
  const asked = HOT_ROUTES.filter((route) => routes.includes(route) || route.name === "poll");
  const replies = await countCosts(folder, bundle, asked);
  console.log(
    `\n${rounds} alternating rounds in one workerd; rates compared with a plain Worker in Hono and the least that workerd can do, with 95 % intervals; CPU time of workerd`,
  );
  const missed: HotRoute[] = [];
  await raceHotRoutes(folder, bundle, { routes, asked, rounds, replies }, (laps) => {
    if (!showLaps(laps)) missed.push(laps.route);
  });
  if (missed.length > 0) await showProfiles(folder, bundle, { missed, asked, replies });
  return missed.length === 0;
}

function showLaps({ route, laps }: HotLaps): boolean {
  let isFine = true;
  const ratios = BASELINES.map((baseline) => {
    const { median, low, high } = ratioOf(laps.product, laps[baseline]);
    const floor = route.floors[baseline];
    const reached = route.reached?.[baseline];
    // What was reached once is lost only if the whole interval says so.
    const isMissed = reached === undefined ? median < floor : high < reached.ratio * TOLERANCE;
    if (isMissed) isFine = false;
    const goal =
      reached === undefined
        ? `floor ${floor}`
        : `goal ${floor}, reached ${reached.ratio}: ${reached.because}`;
    const ratio = `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`;
    return `÷ ${baseline} ${ratio}, ${goal}${isMissed ? "  MISSED" : ""}`;
  });
  const sides = CONTENDERS.map((name) => {
    const { rate, cpuUs } = laps[name];
    return `${name} ${rate.toFixed(0)}/s${cpuUs === null ? "" : ` ${cpuUs.toFixed(0)} µs`}`;
  });
  console.log(`${route.title}\n  ${ratios.join("\n  ")}\n  ${sides.join(", ")}`);
  return isFine;
}

/** Prints where the time of slow routes goes, measured apart: a profiler costs time itself. */
async function showProfiles(
  folder: string,
  bundle: Bundle,
  {
    missed,
    asked,
    replies,
  }: {
    missed: readonly HotRoute[];
    asked: readonly HotRoute[];
    replies: Record<string, string>;
  },
): Promise<void> {
  const stage = await openStage(folder, bundle, hotBaselines(replies), { inspect: true });
  try {
    const field = await openField(stage, asked);
    for (const route of missed) {
      console.log(`\nwhere the time goes: ${route.title}`);
      const { product } = racersOf(route, field);
      for (const line of await profile(await stage.inspectorUrl(), bundle, product)) {
        console.log(line);
      }
    }
    field.close();
  } finally {
    await stage.stop();
  }
}
