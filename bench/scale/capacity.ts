/**
 * The load that one deployment carries: the counted costs of a job, multiplied with a fleet, beside the platform's limits. The model:
 * each node is benchmarked once a day, in jobs of four that take an hour, spread evenly, and nothing is ever deleted.
 */
import { COUNTED, costOf } from "../cost-prices.ts";
import { LIMITS, type Limit } from "./limits.ts";
import type { Counted } from "./meters.ts";
import { NODES_OF_A_LIFE } from "./nodes.ts";
import { count, figure, markdownTable } from "./report.ts";

export const FLEETS = [1_000, 10_000, 100_000, 1_000_000];
const DAY_SECONDS = 86_400;
const HOURS_OF_A_JOB = 1;
/** Shortest time between two polls of a node without a channel, s. */
const POLL_SECONDS = 5;
const LARGEST_JOB = 256;
const MINUTES_BETWEEN_QUESTIONS = 10;
const YEAR_DAYS = 365;
const MONTH_DAYS = 30;

export interface Load {
  name: string;
  limit: Limit;
  /** Need of a fleet of so many nodes, in the unit of the limit. */
  needOf(nodes: number): number;
}

/** @param life mean counts of one job of four nodes */
export function loadsOf(life: Counted): Load[] {
  const jobsPerDay = (nodes: number) => nodes / NODES_OF_A_LIFE;
  const liveJobs = (nodes: number) => (jobsPerDay(nodes) * HOURS_OF_A_JOB) / 24;
  return [
    {
      name: "D1: bytes after a year",
      limit: LIMITS.d1Bytes,
      needOf: (nodes) => jobsPerDay(nodes) * YEAR_DAYS * life.d1Size,
    },
    {
      name: "one lobby: sockets, if all nodes wait as runners of one spec",
      limit: LIMITS.sockets,
      needOf: (nodes) => nodes,
    },
    {
      name: "cron: live jobs that it can ask in time",
      limit: {
        ...LIMITS.askedPerTick,
        value: LIMITS.askedPerTick.value * MINUTES_BETWEEN_QUESTIONS,
      },
      needOf: liveJobs,
    },
    {
      name: "D1: calls a second",
      limit: LIMITS.d1CallsPerSecond,
      needOf: (nodes) => (jobsPerDay(nodes) * life.d1Calls) / DAY_SECONDS,
    },
    {
      name: "one object: requests a second, 256 nodes that poll",
      limit: LIMITS.objectCallsPerSecond,
      // The largest job has the same object in any fleet.
      needOf: (nodes) => Math.min(nodes, LARGEST_JOB) / POLL_SECONDS,
    },
    {
      name: "R2: writes a second of one key, each written once",
      limit: LIMITS.r2WritesPerKey,
      needOf: () => 1 / DAY_SECONDS,
    },
  ];
}

/** Nodes at which a load meets its limit; null if a million do not. */
export function breaksAt({ limit, needOf }: Load): number | null {
  const most = FLEETS.at(-1) ?? 1;
  if (needOf(most) <= limit.value) return null;
  let [low, high] = [1, most];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (needOf(middle) > limit.value) high = middle;
    else low = middle;
  }
  return low;
}

/** Days until the database is full, from empty. */
export function daysUntilFull(nodes: number, life: Counted): number {
  return LIMITS.d1Bytes.value / ((nodes / NODES_OF_A_LIFE) * life.d1Size);
}

/** USD a month for the jobs of a fleet, at list prices. */
export function monthlyUsd(nodes: number, life: Counted): number {
  const counts = Object.fromEntries(COUNTED.map((kind) => [kind, life[kind]]));
  // All that has a price is counted.
  const usd = costOf(counts as Parameters<typeof costOf>[0]);
  return (nodes / NODES_OF_A_LIFE) * MONTH_DAYS * usd;
}

/**
 * Deployments that a fleet needs: its databases must hold the jobs of a year, and no other limit may be passed. Customers
 * move as a whole, so that the largest customer's share is the least that one deployment must carry.
 */
export function deploymentsOf(nodes: number, life: Counted): number {
  const shares = loadsOf(life)
    .filter(({ needOf }) => needOf(1) < needOf(1_000_000))
    .map(({ limit, needOf }) => needOf(nodes) / limit.value);
  return Math.max(1, Math.ceil(Math.max(...shares)));
}

/** The tables of the page, in Markdown; what breaks first stands first. */
export function capacityTables(life: Counted): string[] {
  const loads = loadsOf(life).sort((a, b) => (breaksAt(a) ?? Infinity) - (breaksAt(b) ?? Infinity));
  const rows = loads.map((load) => {
    const { name, limit, needOf } = load;
    const met = breaksAt(load);
    const shares = FLEETS.map((nodes) => `${figure((needOf(nodes) / limit.value) * 100)} %`);
    return [name, count(limit.value), ...shares, met === null ? "never" : `${count(met)} nodes`];
  });
  const totals = FLEETS.map((nodes) => [
    count(nodes),
    count(Math.round(nodes / NODES_OF_A_LIFE)),
    figure(daysUntilFull(nodes, life)),
    `$${count(Math.round(monthlyUsd(nodes, life)))}`,
    count(deploymentsOf(nodes, life)),
  ]);
  const counted = [
    ["D1 calls", life.d1Calls],
    ["rows written in D1", life.d1Rows],
    ["rows read in D1", life.d1Reads],
    ["bytes left in D1", life.d1Size],
    ["calls of the object", life.objectRequests],
    ["rows written in the object", life.objectRows],
    ["writes to R2", life.r2Writes],
    ["bytes written to R2", life.r2WrittenBytes],
  ] as const;
  return [
    "One job of four nodes with a cluster step, from its creation to its reports (counted, mean of eight):",
    "",
    ...markdownTable(
      counted.map(([name]) => name),
      [counted.map(([, value]) => figure(value))],
    ),
    "",
    "Share of each limit that a fleet takes:",
    "",
    ...markdownTable(
      ["", "limit", ...FLEETS.map((nodes) => `${count(nodes)} nodes`), "met at"],
      rows,
    ),
    "",
    ...markdownTable(
      [
        "nodes",
        "jobs a day",
        "days until D1 is full",
        "USD a month for jobs",
        "deployments for a year",
      ],
      totals,
    ),
  ];
}

/** The source of each limit. */
export function limitTable(): string[] {
  return markdownTable(
    ["limit", "of what", "source", "read on"],
    Object.values(LIMITS).map(({ value, unit, source, read }) => [
      count(value),
      unit,
      source,
      read,
    ]),
    [1, 2, 3],
  );
}
