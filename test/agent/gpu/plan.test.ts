/** What a run measures, for how long, and which GPUs copy to which at once. */
import { describe, expect, test } from "vitest";
import { type Figure, pairRounds, planSteps } from "../../../agent/src/gpu/plan.ts";
import { RATE } from "../../../agent/src/gpu/rate.ts";

const COLD = { ...RATE, warmMs: 100, maxMs: 1_500 };

describe("the figures", () => {
  const ofTwo = planSteps(2);

  test("the rated ones first, each with the warm-up and the longest time of docs/measuring.md", () => {
    expect(ofTwo.map(({ figure, rate }) => [figure, rate])).toEqual([
      ["bf16", { ...RATE, maxMs: 6_000 }],
      ["memory", { ...RATE, maxMs: 6_000 }],
      ["f16", RATE],
      ["fp32", RATE],
      ["host_to_device", COLD],
      ["device_to_host", COLD],
      ["launch", { ...COLD, warmMs: 0, maxCalls: 256, maxBatches: 40 }],
      ["pairs", COLD],
      ["bf16_again", { ...RATE, warmMs: 200, maxMs: 2_000 }],
    ]);
  });

  test("all but the rated ones take at most 3 s", () => {
    const rated: readonly Figure[] = ["bf16", "memory"];
    for (const { figure, rate } of ofTwo) {
      expect(rate.maxMs, figure).toBeLessThanOrEqual(rated.includes(figure) ? 6_000 : 3_000);
    }
  });

  test.each([1, 2, 8])(
    "of %i GPUs: shares are 1 in all, pairs only where there are two",
    (gpus) => {
      const steps = planSteps(gpus);
      expect(steps.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9);
      expect(steps.some(({ figure }) => figure === "pairs")).toBe(gpus > 1);
    },
  );
});

describe("rounds of pairs", () => {
  test.each([0, 1, 2, 3, 4, 5, 7, 8, 16])(
    "of %i GPUs: every two meet once, none is in two at a time",
    (gpus) => {
      const rounds = pairRounds(gpus);
      for (const round of rounds) {
        const busy = round.flat();
        expect(new Set(busy).size).toBe(busy.length);
        expect(Math.max(...busy)).toBeLessThan(gpus);
      }
      const met = rounds.flat().map(([one, other]) => `${one} ${other}`);
      expect(new Set(met).size).toBe(met.length);
      expect(met).toHaveLength((gpus * Math.max(gpus - 1, 0)) / 2);
      // As few rounds as disjoint pairs allow.
      expect(rounds).toHaveLength(gpus < 2 ? 0 : gpus - 1 + (gpus % 2));
    },
  );
});
