/** Chooses the baseline that rates. Pure. */
import type { ShippedBaseline } from "../benchmarks/shipped-baselines.ts";
import type { RatingThresholds } from "../lib/config.ts";
import type { BaselineSource } from "../lib/enums.ts";
import type { BaselineSpread, FleetMedian, Fleets } from "../lib/stored-fleets.ts";
import type { Baseline } from "./facts.ts";

export interface BaselineSources {
  /** Null for a node without figures, which is compared with no fleet. */
  fleets: Fleets | null;
  shipped: Pick<ShippedBaseline, "median" | "runs"> | null;
  /** The value set by an administrator, which overrides all others. */
  pinned: number | null;
}

/**
 * The pinned value, else the highest of the medians, since the median of a bad fleet is no yardstick. The figure of
 * a single machine comes after all medians of several, since it gives no verdict.
 */
export function chooseBaseline(
  { fleets, shipped, pinned }: BaselineSources,
  thresholds: Pick<RatingThresholds, "fleetMinMachines">,
): Baseline | null {
  const [own, all] = [fleets?.own, fleets?.all].map((fleet) => largeEnough(fleet, thresholds));
  const candidates = {
    ownFleet: own?.median ?? null,
    fleet: all?.median ?? null,
    shipped: shipped?.median ?? null,
  };
  if (pinned !== null) return { value: pinned, source: "pinned", sampleSize: null, ...candidates };
  const [best] = [
    candidateOf("shipped", shipped?.median, shipped?.runs),
    candidateOf("fleet", all?.median, all?.machines, all?.spread),
    candidateOf("own_fleet", own?.median, own?.machines, own?.spread),
  ]
    .flat()
    .sort((a, b) => Number(a.sampleSize === 1) - Number(b.sampleSize === 1) || b.value - a.value);
  return best === undefined ? null : { ...best, ...candidates };
}

/** The median of a fleet that is large enough to rate by; else null. */
export function largeEnough(
  fleet: FleetMedian | null | undefined,
  { fleetMinMachines }: Pick<RatingThresholds, "fleetMinMachines">,
): FleetMedian | null {
  return fleet != null && fleet.machines >= fleetMinMachines ? fleet : null;
}

function candidateOf(
  source: BaselineSource,
  value?: number,
  sampleSize?: number,
  spread?: BaselineSpread | null,
) {
  if (value === undefined || sampleSize === undefined) return [];
  return [{ source, value, sampleSize, ...(spread != null && { spread }) }];
}
