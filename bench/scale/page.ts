/** Results as JSON, curves and tables of docs/performance.md: the script writes all of them from the same figures. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../scripts/lib/project.ts";
import { capacityTables, limitTable } from "./capacity.ts";
import { type Chart, type Curve, drawChart } from "./chart.ts";
import type { Counted } from "./meters.ts";
import { count, figure, markdownTable, type Part, partTable } from "./report.ts";
import type { RequestCost } from "./requests.ts";

export const PARTS = ["requests", "nodes", "live", "jobs", "routes"] as const;
export type PartName = (typeof PARTS)[number];

export interface Results {
  requests?: RequestCost[];
  nodes?: Part;
  live?: Part;
  jobs?: Part;
  routes?: Part;
  /** Mean counts of one job of four nodes. */
  life?: Counted;
  peers?: PeerResults;
}

export interface PeerResults {
  day: string;
  load: { before: number; after: number; cores: number };
  /** Reasons for missing peers. */
  skipped: string[];
  rows: PeerRow[];
}

export interface PeerRow {
  peer: string;
  route: string;
  jobs: number;
  /** The product's rate ÷ the peer's: above 1 the product is faster. */
  ratio: { median: number; low: number; high: number };
  rate: { product: number; baseline: number };
}

const FOLDER = join(ROOT, "docs/performance");
const FILE = join(FOLDER, "scale.json");
const PAGE = join(ROOT, "docs/performance.md");

export function readResults(): Results {
  // Written by `writeResults` alone.
  return existsSync(FILE) ? (JSON.parse(readFileSync(FILE, "utf8")) as Results) : {};
}

/** Adds new results to those of earlier runs; draws the curves and fills the page's tables anew. */
export function writeResults(news: Results): void {
  const results = { ...readResults(), ...news };
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(FILE, `${JSON.stringify(results, rounded, 1)}\n`);
  const kept = readResults();
  for (const [name, chart] of chartsOf(kept)) {
    writeFileSync(join(FOLDER, `${name}.svg`), drawChart(chart));
  }
  if (existsSync(PAGE)) writeFileSync(PAGE, fillPage(readFileSync(PAGE, "utf8"), kept));
}

/** Four digits are more than a timing has; whole numbers stay. */
const rounded = (_key: string, value: unknown) =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value;

/** The page with its tables: each stands between two comments with its name. */
export function fillPage(page: string, results: Results): string {
  return page.replaceAll(
    /(<!-- (\w+): written by npm run bench[^>]*-->)[\s\S]*?(<!-- end -->)/g,
    (whole, begin: string, name: string, end: string) => {
      const lines = tablesOf(results)[name];
      return lines === undefined ? whole : `${begin}\n\n${lines.join("\n")}\n\n${end}`;
    },
  );
}

function tablesOf(results: Results): Record<string, string[] | undefined> {
  const { requests, nodes, live, jobs, routes, life, peers } = results;
  const tableOf = (part: Part | undefined) => part && partTable(part);
  return {
    requests: requests && requestTable(requests),
    nodes: tableOf(nodes),
    live: tableOf(live),
    jobs: tableOf(jobs),
    routes: tableOf(routes),
    capacity: life && capacityTables(life),
    limits: limitTable(),
    peers: peers && peerTable(peers),
  };
}

function requestTable(costs: readonly RequestCost[]): string[] {
  return markdownTable(
    [
      ...["request", "D1 calls", "rows read", "rows written", "object calls"],
      ...["object rows written", "R2 calls", "reply bytes"],
    ],
    costs.map(({ name, d1Calls, d1Reads, d1Rows, objectRequests, objectRows, r2, replyBytes }) => [
      name,
      ...[d1Calls, d1Reads, d1Rows, objectRequests, objectRows, r2, replyBytes].map(count),
    ]),
  );
}

export function peerTable({ rows, skipped, day, load }: PeerResults): string[] {
  return [
    ...markdownTable(
      [
        "peer",
        "route",
        "jobs",
        "ratio of rates",
        "95 % interval",
        "Assay, requests/s",
        "peer, requests/s",
      ],
      rows.map(({ peer, route, jobs, ratio, rate }) => [
        peer,
        route,
        count(jobs),
        figure(ratio.median),
        `${figure(ratio.low)} to ${figure(ratio.high)}`,
        figure(rate.product),
        figure(rate.baseline),
      ]),
      [0, 1],
    ),
    "",
    ...skipped,
    `Measured on ${day}; load ${load.before.toFixed(1)} before, ${load.after.toFixed(1)} after, on ${load.cores} cores.`,
  ];
}

function chartsOf({ nodes, live, jobs, routes }: Results): [string, Chart][] {
  const charts: [string, Chart][] = [];
  const add = (name: string, chart: Omit<Chart, "curves">, curves: Curve[]) => {
    if (curves.some(({ points }) => points.length > 1)) charts.push([name, { ...chart, curves }]);
  };
  const pick = (part: Part | undefined, matches: RegExp) =>
    (part?.series ?? [])
      .filter(({ name, unit }) => matches.test(`${name}, ${unit}`))
      .map(({ name, points }) => ({
        name: name.replace(/^node steps: |^tick of /, ""),
        points: points.map(({ n, cost }) => ({ x: n, y: cost })),
      }));
  const counts = { xLabel: "nodes of the job", yLabel: "count, from the last join to the verdict" };
  add("nodes-counts", { title: "One job: exact counts by its nodes", ...counts }, [
    ...pick(nodes, /^node steps: (?!.*(?:ms|bytes)$)/),
    linear("n", pick(nodes, /^node steps: calls of the object/)[0]),
  ]);
  add(
    "nodes-time",
    { title: "One job: time by its nodes", xLabel: "nodes of the job", yLabel: "ms" },
    pick(nodes, /ms$/),
  );
  add(
    "live-jobs",
    { title: "Live jobs in one process: latency", xLabel: "live jobs", yLabel: "ms" },
    pick(live, /(?:p50|p99), ms$/),
  );
  add(
    "jobs-rows",
    {
      title: "Rows that D1 reads, by the jobs in the database",
      xLabel: "jobs in the database",
      yLabel: "rows read by one request",
    },
    pick(jobs, /rows read/),
  );
  add(
    "routes",
    { title: "Start-up CPU by routes", xLabel: "routes", yLabel: "ms" },
    pick(routes, /ms$/),
  );
  return charts;
}

/** A straight line through a curve's first point, for the eye. */
function linear(name: string, curve: Curve | undefined): Curve {
  const first = curve?.points[0];
  const points = curve?.points ?? [];
  const slope = first === undefined ? 1 : first.y / first.x;
  return { name, isReference: true, points: points.map(({ x }) => ({ x, y: x * slope })) };
}
