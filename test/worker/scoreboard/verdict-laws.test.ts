/** Laws that every verdict keeps, whatever the figures: over random machines. */

import fc from "fast-check";
import { describe, test } from "vitest";
import type { PerformanceStatus } from "../../../src/lib/enums.ts";
import type { Baseline, NodeFacts } from "../../../src/scoreboard/facts.ts";
import { rateJob, rateMetric, rateNode } from "../../../src/scoreboard/verdict.ts";
import { healthy, NO_OTHERS, THRESHOLDS, verdictOf } from "./verdict-fixtures.ts";

describe("laws", () => {
  const ORDER: PerformanceStatus[] = ["underperforming", "expected", "outperforming"];
  const figure = fc.double({ min: 0.001, max: 100_000, noNaN: true });
  const baseline = figure.map(
    (value): Baseline => ({
      value,
      source: "shipped",
      sampleSize: 3,
      ownFleet: null,
      fleet: null,
      shipped: value,
    }),
  );

  test("a metric that measures more is never rated worse", ({ expect }) => {
    fc.assert(
      fc.property(figure, figure, baseline, (one, other, against) => {
        const [low, high] = [Math.min(one, other), Math.max(one, other)].map((value) =>
          ORDER.indexOf(
            rateMetric(
              { metric: "bf16_tflops", gpuModel: null, value, fault: null },
              against,
              THRESHOLDS,
            ).status,
          ),
        );
        expect(low).toBeLessThanOrEqual(high ?? -1);
      }),
    );
  });

  test("nor is its node", ({ expect }) => {
    const facts = (bf16: number, memory: number, against: Baseline): NodeFacts => ({
      rank: 0,
      machineUuid: "m",
      gpuModel: "x",
      gpuCount: 1,
      gpuModels: null,
      figures: null,
      others: NO_OTHERS,
      previous: null,
      byModel: new Map(),
      previousCount: null,
      specCheck: null,
      readings: [
        { metric: "bf16_tflops", gpuModel: null, value: bf16, fault: null },
        { metric: "memory_bandwidth_gbs", gpuModel: null, value: memory, fault: null },
      ],
      baselines: { bf16_tflops: against, memory_bandwidth_gbs: against },
    });
    fc.assert(
      fc.property(figure, figure, figure, baseline, (one, other, memory, against) => {
        const at = (bf16: number) =>
          ORDER.indexOf(rateNode(facts(bf16, memory, against), THRESHOLDS).status);
        expect(at(Math.min(one, other))).toBeLessThanOrEqual(at(Math.max(one, other)));
      }),
    );
  });

  test("the thresholds themselves are expected", ({ expect }) => {
    fc.assert(
      fc.property(baseline, fc.constantFrom(0.9, 1, 1.1), (against, share) => {
        const reading = {
          metric: "bf16_tflops",
          gpuModel: null,
          value: against.value * share,
          fault: null,
        };
        expect(rateMetric(reading, against, THRESHOLDS).status).toBe("expected");
      }),
    );
  });

  test("a job's verdict does not depend on the order of its nodes", ({ expect }) => {
    const nodes = fc
      .array(figure, { minLength: 1, maxLength: 8 })
      .map((values) =>
        values.map((bf16_tflops, rank) => ({ ...verdictOf(healthy(1, { bf16_tflops })), rank })),
      );
    const shuffled = nodes.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    );
    fc.assert(
      fc.property(shuffled, ([one, other]) => {
        expect(rateJob(other, 1)).toEqual(rateJob(one, 1));
      }),
      { numRuns: 50 },
    );
  });
});
