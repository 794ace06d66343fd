/** What the links of a cluster show beside each other. */
import { describe, test } from "vitest";
import {
  isFlawless,
  judgeLinks,
  type MeasuredLink,
} from "../../../src/benchmarks/link-judgement.ts";
import { linkFindings } from "../../../src/scoreboard/link-findings.ts";

/** Each node to each, at the rate that the function says. */
function links(size: number, gbps: (source: number, target: number) => number): MeasuredLink[] {
  const ranks = Array.from({ length: size }, (_, rank) => rank);
  return ranks.flatMap((source) =>
    ranks
      .filter((target) => target !== source)
      .map((target) => ({ source, target, gbps: gbps(source, target) })),
  );
}

const judge = (list: MeasuredLink[], cards: [number, number][] = []) => {
  const judgement = judgeLinks(list, new Map(cards));
  if (judgement === null) throw new Error("there are links");
  return judgement;
};
const messages = (list: MeasuredLink[], cards: [number, number][] = []) => {
  const summary = JSON.stringify({ judgement: judge(list, cards) });
  return linkFindings([{ benchmark_id: "cluster_network", config: null }], [{ summary }]).map(
    ({ rank, message }) => `${rank}: ${message}`,
  );
};

describe("links", () => {
  test("none are judged without measurements, and two are only shown", ({ expect }) => {
    expect(judgeLinks([], new Map())).toBeNull();
    const two = judge(links(2, (source) => (source === 0 ? 0.22 : 1.8)));
    expect(two).toMatchObject({ judged: false, slow_link_count: 0, slow_links: [] });
    expect(two.median_gbps).toBeCloseTo(1.01);
  });

  test("are slow below 60 % of the median, from 6 links on: not at 60 %", ({ expect }) => {
    const at = (share: number) =>
      judge(links(3, (source, target) => (source === 0 && target === 1 ? share : 1)));
    expect(at(0.599).slow_links).toEqual([
      { source_rank: 0, target_rank: 1, gbps: 0.599, reverse_gbps: 1 },
    ]);
    expect(isFlawless(at(0.6))).toBe(true);
    expect(isFlawless(at(0.599))).toBe(false);
  });

  test("say how slow they are, and whether the other direction is, too", ({ expect }) => {
    expect(messages(links(4, (source, target) => (source + target === 1 ? 0.22 : 1.8)))).toEqual([
      "0: link to node 1: 0.22 Gbit/s, 12.2 % of the median of the job's links (1.8)",
      "1: link to node 0: 0.22 Gbit/s, 12.2 % of the median of the job's links (1.8)",
    ]);
    const oneWay = links(4, (source, target) => (source === 0 && target === 1 ? 0.22 : 1.8));
    expect(messages(oneWay)).toEqual([
      "0: link to node 1: 0.22 Gbit/s, 12.2 % of the median of the job's links (1.8); the other direction has 1.8",
    ]);
  });

  test("of one node that are all slow make the node slow, among three nodes, too", ({ expect }) => {
    for (const size of [3, 4, 16]) {
      const slow = judge(
        links(size, (source, target) => (source === 2 || target === 2 ? 0.22 : 1.8)),
      );
      expect(slow.slow_nodes, `${size} nodes`).toEqual([
        { rank: 2, gbps: 0.22, expected_gbps: 1.8 },
      ]);
      expect(slow.slow_links, "explained by the node").toEqual([]);
    }
  });

  test("that are faster than the others make nobody slow by themselves", ({ expect }) => {
    const pair = (source: number, target: number) => (source + target === 1 ? 100 : 10);
    const fast = judge(links(8, pair));
    expect(fast.slow_link_count).toBe(0);
    expect(fast.slow_links).toEqual([]);
  });

  test("differ by direction below 60 % of the other one", ({ expect }) => {
    // Half of the links are at 1, so that 0.7 is not slow.
    const uneven = links(4, (source, target) =>
      source === 0 && target === 1 ? 0.7 : source === 1 && target === 0 ? 1.4 : 1,
    );
    expect(judge(uneven).asymmetric_links).toEqual([
      { source_rank: 0, target_rank: 1, gbps: 0.7, reverse_gbps: 1.4 },
    ]);
    expect(messages(uneven)).toEqual([
      "0: link to node 1: 0.7 Gbit/s, 50 % of the other direction (1.4)",
    ]);
  });

  test("are compared with the slower network card of the two, where it is known", ({ expect }) => {
    const cards: [number, number][] = [
      [0, 100],
      [1, 10],
    ];
    expect(
      judge(
        links(2, () => 9.4),
        cards,
      ).below_card,
      "the other card bounds it",
    ).toEqual([]);
    expect(
      messages(
        links(2, () => 0.94),
        cards,
      ),
    ).toEqual([
      "0: the fastest of its links has 0.94 Gbit/s, 9.4 % of the network card's rate (10)",
      "1: the fastest of its links has 0.94 Gbit/s, 9.4 % of the network card's rate (10)",
    ]);
  });

  test("are listed as far as there is room, and counted beyond it", ({ expect }) => {
    const many = judge(links(20, (source, target) => (source < 8 && target < 8 ? 0.1 : 10)));
    expect(many.slow_link_count).toBe(56);
    expect(many.slow_links).toHaveLength(16);
  });
});
