/** The pure parts of `npm run bench -- --scale`: fits, schedules, curves, capacity, and the page that is made of them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  breaksAt,
  capacityTables,
  daysUntilFull,
  deploymentsOf,
  FLEETS,
  loadsOf,
  monthlyUsd,
} from "../../bench/scale/capacity.ts";
import { drawChart, formatTick, ticksOf } from "../../bench/scale/chart.ts";
import { growsTooFast, growthOf, type Work } from "../../bench/scale/fit.ts";
import { LIMITS } from "../../bench/scale/limits.ts";
import type { Counted } from "../../bench/scale/meters.ts";
import { fillPage, readResults } from "../../bench/scale/page.ts";
import { describeGrowth, partHolds, type Series } from "../../bench/scale/report.ts";
import { arrivals, latenciesOf, runSchedule } from "../../bench/scale/schedule.ts";
import { ROOT } from "../../scripts/lib/project.ts";

const SIZES = [1, 4, 16, 64, 256];
const pointsOf = (cost: (n: number) => number, sizes = SIZES) =>
  sizes.map((n) => ({ n, cost: cost(n) }));

describe("the fit of an exponent", () => {
  test.each([
    ["n", 1, (n: number) => 7 * n],
    ["n²", 2, (n: number) => 3 * n * n],
    ["a constant", 0, () => 42],
    ["√n", 0.5, (n: number) => 10 * Math.sqrt(n)],
  ])("of %s is %d, without doubt", (_name, exponent, cost) => {
    const growth = growthOf(pointsOf(cost));
    expect(growth.exponent).toBeCloseTo(exponent, 9);
    expect(growth.low).toBeCloseTo(exponent, 6);
    expect(growth.high).toBeCloseTo(exponent, 6);
    expect(growth.last).toBeCloseTo(exponent, 9);
  });

  test("has the textbook's interval: slope ± t × standard error", () => {
    // In logarithms x = 0, 1, 2 and y = 0, 1, 3: slope 1.5, residuals 1/6, -1/3, 1/6, one degree of freedom.
    const points = [0, 1, 2].map((x, at) => ({
      n: Math.E ** x,
      cost: Math.E ** ([0, 1, 3][at] ?? 0),
    }));
    const { exponent, low, high } = growthOf(points);
    expect(exponent).toBeCloseTo(1.5, 9);
    expect(high - exponent).toBeCloseTo(12.706 * Math.sqrt(1 / 6 / 2), 3);
    expect(exponent - low).toBeCloseTo(high - exponent, 9);
  });

  test("needs two sizes", () => {
    expect(() => growthOf([{ n: 1, cost: 1 }])).toThrow(RangeError);
  });
});

describe("a cost that outgrows its work", () => {
  const cases: [string, Work, (n: number) => number, boolean][] = [
    ["n for linear work", "linear", (n) => n, false],
    ["n log n for linear work", "linear", (n) => 5 * n * Math.log2(n + 1), false],
    ["n^1.4 for linear work", "linear", (n) => n ** 1.4, true],
    ["n² for work on pairs", "square", (n) => n * n, false],
    ["n³ for work on pairs", "square", (n) => n ** 3, true],
    ["a constant for a page", "constant", () => 21, false],
    ["nothing for a page", "constant", () => 0, false],
    ["n for a page", "constant", (n) => n, true],
  ];
  test.each(cases)("exact: %s", (_name, work, cost, expected) => {
    expect(growsTooFast(pointsOf(cost), work, true)).toBe(expected);
  });

  test("is found behind fixed costs by its last step, if it is exact", () => {
    const points = pointsOf((n) => 2_000 + n * n);
    expect(growthOf(points).exponent).toBeLessThan(1);
    expect(growsTooFast(points, "linear", true)).toBe(true);
  });

  test("is not believed of a timing whose interval has room, nor of two sizes", () => {
    const noisy = [10, 300, 80, 4_000].map((cost, at) => ({ n: 10 ** at, cost }));
    expect(growsTooFast(noisy, "constant", true)).toBe(true);
    expect(growsTooFast(noisy, "constant", false)).toBe(false);
    expect(
      growsTooFast(
        pointsOf((n) => n * n, [1, 100]),
        "constant",
        false,
      ),
    ).toBe(false);
    expect(
      growsTooFast(
        pointsOf((n) => n ** 2),
        "linear",
        false,
      ),
    ).toBe(true);
  });

  test("is named in the table and fails its part", () => {
    const series: Series = {
      ...{ name: "rows", unit: "", work: "linear", isExact: true },
      points: pointsOf((n) => n * n),
    };
    const part = {
      size: "nodes",
      series: [series],
      load: { before: 0, after: 0, cores: 2 },
      day: "",
    };
    expect(describeGrowth(series)).toBe("n^2.00 (2.00 to 2.00) TOO FAST");
    expect(partHolds(part)).toBe(false);
    expect(partHolds({ ...part, series: [{ ...series, work: "square" }] })).toBe(true);
  });
});

describe("the open-loop schedule", () => {
  test("has its rate, is the same for the same seed, and has uneven gaps", () => {
    const times = arrivals(20_000, 500, 7);
    expect(times).toEqual(arrivals(20_000, 500, 7));
    expect(times).not.toEqual(arrivals(20_000, 500, 8));
    const last = times.at(-1) ?? 0;
    expect(20_000 / (last / 1_000)).toBeGreaterThan(480);
    expect(20_000 / (last / 1_000)).toBeLessThan(520);
    const gaps = times.slice(1).map((time, at) => time - (times[at] ?? 0));
    // A Poisson process: an e-th of all gaps are longer than the mean of 2 ms.
    expect(gaps.filter((gap) => gap > 2).length / gaps.length).toBeCloseTo(1 / Math.E, 1);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(0);
  });

  test("charges a stalled server with the requests that pile up behind it", async () => {
    let now = 0;
    const sleepers: (() => void)[] = [];
    const clock = {
      now: () => now,
      sleep: async (ms: number) => {
        now += ms;
      },
    };
    // The server answers nothing before 100 ms.
    const send = () =>
      new Promise<void>((answer) => {
        sleepers.push(answer);
        if (sleepers.length === 3) {
          now = 100;
          for (const wake of sleepers) wake();
        }
      });
    const { latencies, maxLateMs } = await runSchedule([10, 20, 30], send, clock);
    expect(latencies).toEqual([90, 80, 70]);
    expect(maxLateMs).toBe(0);
  });

  test("has percentiles that so many do not exceed", () => {
    const values = Array.from({ length: 100 }, (_, at) => 100 - at);
    expect(latenciesOf(values)).toEqual({ p50: 50, p95: 95, p99: 99 });
    expect(latenciesOf([5])).toEqual({ p50: 5, p95: 5, p99: 5 });
    expect(() => latenciesOf([])).toThrow(RangeError);
  });
});

describe("curves", () => {
  const chart = {
    title: "Rows & <jobs>",
    xLabel: "jobs",
    yLabel: "rows",
    curves: [
      {
        name: "list",
        points: [
          { x: 1, y: 10 },
          { x: 1_000, y: 10_000 },
          { x: 5, y: 0 },
        ],
      },
      {
        name: "n",
        isReference: true,
        points: [
          { x: 1, y: 1 },
          { x: 1_000, y: 1_000 },
        ],
      },
    ],
  };
  const svg = drawChart(chart);

  test("have numbers on both axes, labels, a legend and a dark form", () => {
    for (const text of ["jobs", "rows", "list", "1", "10", "100", "1k", "10k"]) {
      expect(svg).toContain(`>${text}</text>`);
    }
    expect(svg).toContain("prefers-color-scheme:dark");
    expect(svg).toContain("Rows &amp; &lt;jobs>");
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("place points on logarithmic axes, and leave out what has no place there", () => {
    const circles = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)];
    // 1 of 1 to 1,000 is the left end, 1,000 the right; 10 and 10,000 are 1 and 4 of four decades.
    expect(circles.map(([, x, y]) => [Number(x), Number(y)])).toEqual([
      [76, 270.5],
      [500, 44],
    ]);
  });

  test("have ticks around their values", () => {
    expect(ticksOf([1, 1_000])).toEqual([1, 10, 100, 1_000]);
    expect(ticksOf([3, 40])).toEqual([1, 2, 5, 10, 20, 50, 100]);
    expect(ticksOf([7, 7])).toEqual([1, 2, 5, 10]);
    expect(ticksOf([0.02, 0.5])).toEqual([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1]);
    expect([0.5, 20, 3_000, 2e6, 1e9].map(formatTick)).toEqual(["0.5", "20", "3k", "2M", "1G"]);
  });

  test("without a point are refused", () => {
    expect(() => drawChart({ ...chart, curves: [] })).toThrow(RangeError);
  });
});

describe("capacity", () => {
  const life = {
    ...{ requests: 20, objectRequests: 12, alarms: 0, messages: 0, objectRows: 100 },
    ...{ d1Reads: 1_000, d1Rows: 500, r2Writes: 6, r2Reads: 0, logLines: 10 },
    ...{ d1Calls: 20, d1Writes: 10, d1Statements: 40, d1SentBytes: 1, d1ReadBytes: 1 },
    ...{ d1Size: 10_000, r2WrittenBytes: 1 },
  } satisfies Counted;

  test("fills 10 GB with 10 KB a job and 250,000 jobs a day in 4 days", () => {
    expect(daysUntilFull(1_000_000, life)).toBeCloseTo(4, 9);
    expect(daysUntilFull(1_000, life)).toBeCloseTo(4_000, 6);
  });

  test("meets each limit where its need passes it", () => {
    for (const load of loadsOf(life)) {
      const met = breaksAt(load);
      if (met === null) expect(load.needOf(1_000_000)).toBeLessThanOrEqual(load.limit.value);
      else {
        expect(load.needOf(met)).toBeLessThanOrEqual(load.limit.value);
        expect(load.needOf(met + 1)).toBeGreaterThan(load.limit.value);
      }
    }
    const sockets = loadsOf(life).find(({ limit }) => limit === LIMITS.sockets);
    expect(sockets && breaksAt(sockets)).toBe(32_768);
  });

  test("asks for as many deployments as the tightest limit of a year", () => {
    // A million nodes: 250,000 jobs × 365 × 10 KB is 912.5 GB.
    expect(deploymentsOf(1_000_000, life)).toBe(92);
    expect(deploymentsOf(1_000, life)).toBe(1);
  });

  test("prices jobs by the list, a month of thirty days", () => {
    const one = monthlyUsd(4, life) / 30;
    const parts = [20 * 0.3, 12 * 0.15, 100, 1_000 * 0.001, 500, 10 * 0.6, 6 * 4.5];
    expect(one * 1e6).toBeCloseTo(
      parts.reduce((sum, part) => sum + part),
      6,
    );
  });

  test("shows what breaks first in the first line", () => {
    const lines = capacityTables(life).filter((line) => /nodes \|$|never \|$/.test(line));
    const met = lines.map((line) =>
      Number(/([\d,]+) nodes \|$/.exec(line)?.[1]?.replaceAll(",", "") ?? Infinity),
    );
    expect(met).toEqual([...met].sort((a, b) => a - b));
    expect(lines).toHaveLength(loadsOf(life).length);
    expect(FLEETS.at(-1)).toBe(1_000_000);
  });

  test("names a source and a day for every limit", () => {
    for (const { source, read, value } of Object.values(LIMITS)) {
      expect(source).not.toBe("");
      expect(read).toMatch(/^20\d\d-\d\d-\d\d$/);
      expect(value).toBeGreaterThan(0);
    }
  });
});

describe("docs/performance.md", () => {
  const page = readFileSync(join(ROOT, "docs/performance.md"), "utf8");

  test("has the tables of docs/performance/scale.json, not a figure of its own", () => {
    expect(fillPage(page, readResults())).toBe(page);
    expect(page.match(/written by npm run bench/g)).toHaveLength(8);
    expect(page).not.toMatch(/-->\n<!-- end/);
  });

  test("shows every curve", () => {
    const curves = readdirSync(join(ROOT, "docs/performance")).filter((name) =>
      name.endsWith(".svg"),
    );
    expect(curves.length).toBeGreaterThan(0);
    for (const name of curves) expect(page).toContain(`(performance/${name})`);
  });
});
