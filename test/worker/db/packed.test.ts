/** The short forms of JSON columns: whatever is stored is read as it was. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { QUICK_MARK_METRICS } from "../../../src/benchmarks/quick-mark-metrics.ts";
import { summarizeValues } from "../../../src/benchmarks/statistics.ts";
import type { Form } from "../../../src/db/forms.ts";
import * as packed from "../../../src/db/packed.ts";
import * as verdicts from "../../../src/db/packed-verdicts.ts";
import {
  BASELINE_SOURCES,
  FINDING_KINDS,
  JOB_EVENT_KINDS,
  PERFORMANCE_STATUSES,
  RATED_METRICS,
  STEP_STATES,
} from "../../../src/lib/enums.ts";
import type { MetricVerdict } from "../../../src/lib/stored-json.ts";

const METRICS = QUICK_MARK_METRICS.map(({ name }) => name);

const orNull = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null });
const figure = fc.double({ noNaN: true, noDefaultInfinity: true }).filter((x) => !Object.is(x, -0));
const text = fc.string({ unit: "binary", maxLength: 40 });
const count = fc.nat(300);
const time = fc.nat(2e12);
const rank = fc.nat(255);
const metric = fc.oneof(fc.constantFrom(...METRICS), fc.constant("tokens_per_second"));

const step = {
  state: fc.constantFrom(...STEP_STATES),
  startedAt: orNull(time),
  endedAt: orNull(time),
  // Steps that end together have one reason.
  errorMessage: orNull(fc.oneof(fc.constantFrom("", "0", "it failed"), text)),
};

const summaryFigures = fc
  .tuple(fc.array(figure, { minLength: 1, maxLength: 3 }), fc.boolean())
  .map(([values, isAdditive]) => summarizeValues(values, isAdditive))
  .filter((summary) => summary !== null && Object.values(summary).every((x) => x !== Infinity));

const summary = fc
  .oneof(
    fc.record({
      node_count: count,
      gpu_count: count,
      metrics: fc.dictionary(metric, summaryFigures, { noNullPrototype: true }),
    }),
    fc.record({ avg_bandwidth_gbps: orNull(figure), total_links_tested: count }),
  )
  .map((value) => JSON.stringify(value));

const event = fc
  .record({
    at: time,
    kind: fc.constantFrom(...JOB_EVENT_KINDS),
    rank: orNull(rank),
    message: text,
    isNamed: fc.boolean(),
  })
  .map(({ isNamed, message, ...rest }) => ({
    ...rest,
    message: isNamed ? `node ${rest.rank} ${message}` : message,
  }));

const gpuModels = orNull(
  fc.array(fc.record({ model: text, count }), { minLength: 1, maxLength: 2 }),
);

const metricVerdict: fc.Arbitrary<MetricVerdict> = fc
  .record({
    metric,
    gpuModel: orNull(text),
    value: orNull(figure),
    ratio: orNull(figure),
    sampleSize: orNull(count),
    source: orNull(fc.constantFrom(...BASELINE_SOURCES)),
    status: fc.constantFrom(...PERFORMANCE_STATUSES),
    reason: orNull(text),
    ownFleetBaseline: orNull(figure),
    fleetBaseline: orNull(figure),
    shippedBaseline: orNull(figure),
    methodClass: fc.constantFrom("quickmark", "library-gemm", "unknown"),
    reference: orNull(
      fc.record({
        value: figure,
        ratio: figure,
        of: fc.constantFrom("shipped" as const, "data_sheet" as const),
      }),
    ),
    pinned: figure,
  })
  .map(({ pinned, ...verdict }) => {
    const { source, ownFleetBaseline, fleetBaseline, shippedBaseline } = verdict;
    const baselines = {
      pinned,
      own_fleet: ownFleetBaseline,
      fleet: fleetBaseline,
      shipped: shippedBaseline,
    };
    return { ...verdict, baseline: source === null ? null : baselines[source] };
  });

const status = fc.constantFrom(...PERFORMANCE_STATUSES);
const findings = {
  findings: fc.array(
    fc.record({
      kind: fc.constantFrom(...FINDING_KINDS),
      metric,
      rank,
      gpu: orNull(count),
      value: orNull(figure),
      expected: orNull(figure),
      ratio: orNull(figure),
      message: text,
    }),
    { maxLength: 2 },
  ),
  moreFindings: count,
  isReplayed: fc.boolean(),
};
const methods = orNull(fc.record({ bf16_tflops: text, memory_bandwidth_gbs: text }));
const provenance = orNull(
  fc.record({
    withheld: fc.uniqueArray(
      fc.constantFrom("replayed", "busy", "partial", "checks", "clock" as const),
    ),
    methods,
    unsettled: fc.uniqueArray(fc.constantFrom(...RATED_METRICS)),
    health: fc.array(
      fc.record({
        gpu: orNull(count),
        metric,
        value: orNull(figure),
        expected: orNull(figure),
        message: text,
      }),
      { maxLength: 2 },
    ),
  }),
);
const metrics = fc.array(metricVerdict, { maxLength: 3 });
const fleet = orNull(fc.record({ median: figure, machines: count }));
const fleets = fc.record({ own: fleet, all: fleet });

/** A form with values for it. */
function form<T>(name: string, { pack, unpack }: Form<T>, values: fc.Arbitrary<T>) {
  const stored = (value: T) => unpack(JSON.parse(JSON.stringify(pack(value))));
  return {
    name,
    check: (holds: (value: T, read: T) => void) =>
      fc.assert(
        fc.property(values, (value) => {
          holds(value, stored(value));
        }),
      ),
  };
}

const FORMS = [
  form("steps of a node", packed.steps, fc.array(fc.record(step), { maxLength: 3 })),
  form(
    "steps of a job",
    packed.jobSteps,
    fc.array(fc.record({ ...step, summary: orNull(summary) }), { maxLength: 3 }),
  ),
  form("events", packed.events, fc.array(event, { maxLength: 5 })),
  form(
    "figures",
    packed.figures,
    fc.record({
      gpuModel: orNull(text),
      gpuCount: orNull(count),
      gpuModels,
      provenance,
      aggregate: fc.dictionary(metric, figure, { noNullPrototype: true }),
      gpus: orNull(
        fc.array(
          fc.record({
            id: orNull(text),
            bf16_tflops: orNull(figure),
            memory_bandwidth_gbs: orNull(figure),
            model: orNull(text),
          }),
          { maxLength: 3 },
        ),
      ),
    }),
  ),
  form("fleets", packed.fleets, fc.record({ bf16_tflops: fleets, memory_bandwidth_gbs: fleets })),
  form(
    "the verdict of a node",
    verdicts.nodeVerdict,
    fc.record({
      status,
      gpuModels,
      metrics,
      stragglers: fc.array(
        fc.record({
          gpu: count,
          gpuId: orNull(text),
          metric,
          value: figure,
          median: figure,
          ratio: orNull(figure),
        }),
        { maxLength: 2 },
      ),
      drops: fc.array(
        fc.record({
          metric,
          value: figure,
          previousValue: figure,
          ratio: figure,
          previousAt: orNull(time),
          gpuModel: orNull(text),
        }),
        { maxLength: 2 },
      ),
      ...findings,
    }),
  ),
  form(
    "the verdict of a job",
    verdicts.jobVerdict,
    fc.record({
      status,
      benchmarkId: fc.constant("quick_mark"),
      baselineVersion: count,
      ratedNodes: count,
      underperformingNodes: count,
      metrics,
      ...findings,
    }),
  ),
];

describe("a stored value is read as it was", () => {
  test.for(FORMS)("$name", ({ check }, { expect }) => {
    check((value, read) => expect(read).toEqual(value));
  });
});

test("every metric has a code of its own", ({ expect }) => {
  const figures = Object.fromEntries(METRICS.map((name) => [name, 1]));
  const [, , codes] = packed.figures.pack({
    gpuModel: null,
    gpuCount: null,
    gpuModels: null,
    aggregate: figures,
    gpus: null,
    provenance: null,
  }) as unknown[]; // the array of its fields
  const names = Object.keys(Object(codes));
  expect(names).toHaveLength(METRICS.length);
  expect(names.filter((name) => METRICS.includes(name))).toEqual([]);
});

test("a row with an unknown code is no value", ({ expect }) => {
  expect(() => packed.steps.unpack([["x"]])).toThrow('Unknown code "x"');
});

test("a job of one node stores no names, no nulls and no figure twice", ({ expect }) => {
  const figures = { min: 7.5, median: 7.5, max: 7.5, mean: 7.5, total: 7.5 };
  const metrics = {
    bf16_tflops: figures,
    temperature_centigrade: { ...figures, total: null },
  };
  const done = { state: "completed", startedAt: 1, endedAt: null, errorMessage: null } as const;
  const summary = JSON.stringify({ node_count: 1, gpu_count: 1, metrics });
  expect(packed.jobSteps.pack([{ ...done, summary }])).toEqual([
    ["c", 1, null, null, [1, 1, { b16: 7.5, t: [7.5] }]],
  ]);
  expect(packed.steps.pack([done])).toEqual([["c", 1]]);
  expect(
    packed.events.pack([
      { at: 100, kind: "joined", rank: 0, message: "node 0 joined" },
      { at: 103, kind: "settled", rank: null, message: "job completed" },
    ]),
  ).toEqual([
    ["j", 100, "joined", 0],
    ["d", 3, "job completed"],
  ]);
});

test("the reason of steps that end together is stored once", ({ expect }) => {
  const ended = { state: "aborted", startedAt: null, endedAt: null, errorMessage: "why" } as const;
  const other = { ...ended, errorMessage: "another" };
  expect(packed.steps.pack([ended, ended, other, ended])).toEqual([
    ["a", null, null, "why"],
    ["a", null, null, 0],
    ["a", null, null, "another"],
    ["a", null, null, "why"],
  ]);
});
