/** Shapes of what figures are compared with, as JSON columns have them. */

/** How far apart the figures behind a fleet's baseline are, and how old. */
export interface BaselineSpread {
  low: number;
  high: number;
  quartiles: readonly [first: number, third: number];
  /** Null for the fleet of one customer. */
  customers: number | null;
  /** When it was computed, ms. */
  at: number;
}

/** The median of a fleet's machines, per GPU. */
export interface FleetMedian {
  median: number;
  machines: number;
  spread?: BaselineSpread | null;
}

/** The fleets that a node is compared with besides recorded runs, as known when its job was first rated. */
export interface Fleets {
  /** The customer's machines. */
  own: FleetMedian | null;
  /** The median of customers' medians, with the machines behind it. */
  all: FleetMedian | null;
}
