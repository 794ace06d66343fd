/** What a GPU model is compared with: the median of this deployment's machines, or a shipped one. Pure. */
import type { RatingThresholds } from "../lib/config.ts";
import { type Baseline, quantileOf } from "./verdict.ts";

/** One machine's figure of one metric, per GPU. */
export interface Sample {
  machineUuid: string;
  /** When it was measured, ms. */
  at: number;
  /** Positive. */
  value: number;
}

/** Robust figures of a model and metric over this deployment's machines. */
export interface FleetBaseline {
  median: number;
  lowerQuartile: number;
  upperQuartile: number;
  /** Each counts once, with its latest figure. */
  machines: number;
}

/** What the project brings: the median of recorded runs of real machines. */
export interface ShippedBaseline {
  min: number;
  median: number;
  max: number;
  runs: number;
}

/** Null for fewer machines than make a baseline. */
export function fleetBaselineOf(
  samples: readonly Sample[],
  { fleetMinMachines }: Pick<RatingThresholds, "fleetMinMachines">,
): FleetBaseline | null {
  const latest = new Map<string, Sample>();
  for (const sample of samples) {
    const known = latest.get(sample.machineUuid);
    // Of two at the same time the smaller counts, whichever came first.
    const isNewer =
      known === undefined ||
      sample.at > known.at ||
      (sample.at === known.at && sample.value < known.value);
    if (isNewer) latest.set(sample.machineUuid, sample);
  }
  const values = [...latest.values()].map(({ value }) => value).sort((a, b) => a - b);
  if (values.length < fleetMinMachines) return null;
  const [lowerQuartile, median, upperQuartile] = [0.25, 0.5, 0.75].map((share) =>
    quantileOf(values, share),
  );
  if (lowerQuartile == null || median == null || upperQuartile == null) return null;
  return { lowerQuartile, median, upperQuartile, machines: values.length };
}

export interface BaselineSources {
  fleet: Pick<FleetBaseline, "median" | "machines"> | null;
  shipped: Pick<ShippedBaseline, "median" | "runs"> | null;
  /** Set by an administrator: goes before both. */
  pinned: number | null;
}

/** A pinned value; else the higher of fleet and shipped: where most machines are bad, theirs is no yardstick. */
export function chooseBaseline({ fleet, shipped, pinned }: BaselineSources): Baseline | null {
  const both = { fleet: fleet?.median ?? null, shipped: shipped?.median ?? null };
  if (pinned !== null) return { value: pinned, source: "pinned", sampleSize: null, ...both };
  if (fleet !== null && (shipped === null || fleet.median > shipped.median)) {
    return { value: fleet.median, source: "fleet", sampleSize: fleet.machines, ...both };
  }
  if (shipped === null) return null;
  return { value: shipped.median, source: "shipped", sampleSize: shipped.runs, ...both };
}

/**
 * A median that wanders less than this, or a fleet that grows by less, makes no new version: every new
 * version is a reason to rate all jobs of the model again.
 */
const TELLING_CHANGE = 0.002;
const TELLING_GROWTH = 0.1;

/** Whether a fleet's figures differ enough from what they were to say so. */
export function isTelling(before: FleetBaseline | null, after: FleetBaseline | null): boolean {
  if (before === null || after === null) return before !== after;
  return (
    Math.abs(after.median / before.median - 1) > TELLING_CHANGE ||
    Math.abs(after.machines / before.machines - 1) > TELLING_GROWTH
  );
}
