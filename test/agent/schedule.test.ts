import { describe, expect, test } from "vitest";
import { schedule } from "../../agent/src/cluster-network/schedule.ts";

const sizes = Array.from({ length: 31 }, (_, i) => i + 2);

describe("schedule", () => {
  test.each(sizes)("%i nodes: every pair exactly once, lower index first", (n) => {
    const pairs = schedule(n).flat();
    expect(new Set(pairs.map(String)).size).toBe(pairs.length);
    expect(pairs).toHaveLength((n * (n - 1)) / 2);
    for (const [low, high] of pairs) {
      expect(low).toBeGreaterThanOrEqual(0);
      expect(low).toBeLessThan(high);
      expect(high).toBeLessThan(n);
    }
  });

  test.each(sizes)("%i nodes: nobody twice in a round, and no more rounds than needed", (n) => {
    const rounds = schedule(n);
    expect(rounds).toHaveLength(n % 2 === 0 ? n - 1 : n);
    for (const round of rounds) {
      const busy = round.flat();
      expect(new Set(busy).size).toBe(busy.length);
      expect(busy).toHaveLength(n % 2 === 0 ? n : n - 1);
    }
  });

  test("fewer than two nodes have nothing to do", () => {
    expect([schedule(0), schedule(1)]).toEqual([[], []]);
  });
});
