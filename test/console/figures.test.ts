/** What pages make of replies: links, histories, figures, streams and addresses. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { ago, bytes, duration, figure, percent } from "../../console/lib/format.ts";
import { firstRow, given, withFilter } from "../../console/lib/list-query.ts";
import { createParser } from "../../console/lib/stream-parser.ts";
import { flatten, gpuPairs, gpuRows, nodeFigures } from "../../console/pages/job/figures.ts";
import { median, placeOf, readLinks, scaleOf } from "../../console/pages/job/links.ts";
import { listQuery } from "../../console/pages/jobs/query.ts";
import { type Point, seriesOf } from "../../console/pages/machines/series.ts";

const link = (source: number, target: number, bandwidth: unknown, more = {}) => ({
  source_rank: source,
  target_rank: target,
  bandwidth_gbps: bandwidth,
  latency_ms: 0.1,
  ...more,
});

test("links are summed up for each node; failed and implausible ones count, without a figure", () => {
  const table = readLinks(
    {
      measurements: [
        link(0, 1, 90),
        link(1, 0, 70),
        link(0, 2, 10, { implausible: "bandwidth_gbps: too high" }),
        { source_rank: 2, target_rank: 1, error: "refused" },
        link(7, 0, 1),
        "no link",
      ],
    },
    3,
  );
  expect(table.links).toHaveLength(4);
  expect(table.failed).toBe(2);
  expect(table.nodes[0]).toMatchObject({ bandwidth: 80, failed: 1, slowest: { source: 1 } });
  expect(table.nodes[2]).toMatchObject({ bandwidth: null, failed: 2, slowest: null });
  expect(table.values.bandwidth[0 * 3 + 1]).toBe(90);
  expect(table.values.bandwidth[0 * 3 + 2]).toBeNaN();
});

test("65,280 links are read, and a scale leaves outliers out", () => {
  const measurements = Array.from({ length: 256 }, (_, source) =>
    Array.from({ length: 256 }, (_, target) => link(source, target, 50 + (target % 10))),
  ).flat();
  const table = readLinks(
    { measurements: measurements.filter((each) => each.source_rank !== each.target_rank) },
    256,
  );
  expect(table.links).toHaveLength(65_280);
  table.values.bandwidth[1] = 10_000;
  const scale = scaleOf(table.values.bandwidth);
  expect(scale).toEqual({ low: 50, high: 59 });
  expect(placeOf(10_000, scale ?? { low: 0, high: 0 })).toBe(1);
  expect(scaleOf(new Float64Array([Number.NaN]))).toBeNull();
});

test("a median lies between its neighbours, and none has none", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), { minLength: 1 }),
      (all) => {
        const middle = median(all) ?? Number.NaN;
        expect(all.filter((each) => each <= middle).length * 2).toBeGreaterThanOrEqual(all.length);
        expect(all.filter((each) => each >= middle).length * 2).toBeGreaterThanOrEqual(all.length);
      },
    ),
  );
  expect(median([])).toBeNull();
});

const point = (at: string, value: number, more: Partial<Point> = {}): Point => ({
  job_id: "512",
  task_id: `${at}`,
  at,
  metric: "bf16_tflops",
  gpu_model: "NVIDIA L4",
  class: "quickmark",
  method: null,
  value,
  ratio: null,
  gpu_count: 1,
  ...more,
});

test("a history is a line for each model and class; a drop is one against the figure before it", () => {
  const newestFirst = [
    point("2026-01-04T00:00:00Z", 200, { class: "copy" }),
    point("2026-01-03T00:00:00Z", 90),
    point("2026-01-02T00:00:00Z", 89.9),
    point("2026-01-01T00:00:00Z", 100),
  ];
  const [line, other] = seriesOf(newestFirst, 0.9);
  expect(line?.steps.map(({ point: { value }, isDrop }) => [value, isDrop])).toEqual([
    [100, false],
    [89.9, true],
    [90, false],
  ]);
  expect(other?.steps.map(({ change }) => change)).toEqual([null]);
});

test("figures of a node have their spread, their method and their fault, in the catalogue's order", () => {
  const results = {
    aggregate_results: { new_one: 1, memory_bandwidth_gbs: 5, bf16_tflops: 2, gpu_id: "aggregate" },
    measurement: {
      methods: { bf16_tflops: "gemm/1" },
      quality: { bf16_tflops: { spread: 0.02, settled: false } },
    },
  };
  const implausible = [{ field: "aggregate_results.memory_bandwidth_gbs", reason: "too high" }];
  const rows = nodeFigures({ results, implausible }, ["bf16_tflops", "memory_bandwidth_gbs"]);
  expect(rows.map(({ name }) => name)).toEqual(["bf16_tflops", "memory_bandwidth_gbs", "new_one"]);
  expect(rows[0]).toMatchObject({ spread: 0.02, isSettled: false, method: "gemm/1" });
  expect(rows[1]).toMatchObject({ implausible: "too high", spread: null });
});

test("whatever an agent sends as results is shown or left out, and breaks nothing", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (results) => {
      nodeFigures({ results, implausible: [] }, []);
      gpuRows(results);
      gpuPairs(results);
      flatten(results);
      readLinks(results, 4);
    }),
  );
});

test("pairs of GPUs and inventories are read by their names", () => {
  const pair = { connection_type: "nvlink", simplex_gbs: 273.95, duplex_gbs: "NaN" };
  const matrix = { aggregate_results: { gpu_bandwidth_matrix: { gpu0_to_gpu1: pair } } };
  expect(gpuPairs(matrix)).toEqual([
    { from: "gpu0", to: "gpu1", type: "nvlink", simplex: 273.95, duplex: null },
  ]);
  expect(flatten({ gpu: { count: 2, tags: ["a", "b"] }, x: null })).toEqual([
    ["gpu.count", "2"],
    ["gpu.tags", "a, b"],
    ["x", "–"],
  ]);
});

test("a stream's messages are the same in pieces of any length", () => {
  const text =
    'retry: 2000\n\nid: 1\nevent: event\ndata: {"a":1}\n\n: comment\n\nid: 2\nevent: end\ndata: x\ndata: y\n\n';
  const whole = [
    { event: "event", data: '{"a":1}' },
    { event: "end", data: "x\ny" },
  ];
  fc.assert(
    fc.property(fc.array(fc.nat(text.length)), (cuts) => {
      const heard: unknown[] = [];
      const parser = createParser("", (message) => heard.push(message));
      const places = [0, ...cuts.toSorted((a, b) => a - b), text.length];
      for (const [at, from] of places.entries()) parser.take(text.slice(from, places[at + 1]));
      expect(heard).toEqual(whole);
      expect(parser.lastEventId()).toBe("2");
    }),
  );
});

test("a filter begins at the first page, and defaults stay out of the address", () => {
  const query = new URLSearchParams("cursor=abc&from=21&state=failed&tags=a");
  const next = withFilter(
    query,
    { state: "", tags: ["x", "y"], sort_order: "desc" },
    { sort_order: "desc" },
  );
  expect(next.toString()).toBe("tags=x&tags=y");
  expect(firstRow(query)).toBe(21);
  expect(firstRow(new URLSearchParams("from=-3"))).toBe(1);
  expect(given(query, ["state", "name"])).toEqual({ state: "failed" });
  expect(listQuery(query)).toEqual({
    state: "failed",
    tags: ["a"],
    cursor: "abc",
    include: ["performance"],
    include_results: true,
  });
});

test("figures and times are short, and claim no more than was measured", () => {
  expect([708.9, 45.23, 8.123, 0.4567, 0, null, Number.NaN].map(figure)).toEqual([
    "709",
    "45.2",
    "8.12",
    "0.457",
    "0",
    "–",
    "–",
  ]);
  expect(figure(0.00012)).toBe("1.2e-4");
  expect([percent(0.816), percent(0.0123, 1), percent(null)]).toEqual(["82 %", "1.2 %", "–"]);
  expect([duration(402), duration(50_400), duration(252_000), duration(3_720_000)]).toEqual([
    "402 ms",
    "50 s",
    "4 min 12 s",
    "1 h 2 min",
  ]);
  expect([bytes(512), bytes(2_199_023_255_552)]).toEqual(["512 B", "2 TiB"]);
  const now = Date.parse("2026-01-01T12:00:00Z");
  expect(ago("2026-01-01T11:57:00Z", now)).toBe("3 min. ago");
  expect(ago("2026-01-02T12:00:00Z", now)).toBe("tomorrow");
});
