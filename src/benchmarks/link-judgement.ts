/**
 * Judges the links of a cluster by each other, and by the rate of the nodes' network cards (docs/scoreboard.md, "Links").
 * Pure.
 */
import { medianOf } from "./statistics.ts";

/** A link below this share of the median is slow; so is one of a pair below this share of the other direction. */
export const SLOW_LINK = 0.6;
/** Fewer have no middle. */
export const MIN_LINKS = 6;
/** Bound of each list. */
const MAX_LISTED = 16;

export interface MeasuredLink {
  source: number;
  target: number;
  gbps: number;
}

/** A node by itself, beside what it is compared with. */
export interface JudgedNode {
  rank: number;
  gbps: number;
  expected_gbps: number;
}

/** A link, and the same one the other way round; null if that was not measured. */
export interface JudgedLink {
  source_rank: number;
  target_rank: number;
  gbps: number;
  reverse_gbps: number | null;
}

/** As summaries store and show it. Lists are bounded, the worst first; counts are not. */
export interface LinkJudgement {
  /** False for fewer than `MIN_LINKS`, which are only shown. */
  judged: boolean;
  median_gbps: number;
  /** Below 60 % of the median. */
  slow_link_count: number;
  /** Those of them that no slow node explains. */
  slow_links: JudgedLink[];
  /** Nodes all of whose links are below 60 % of the median of the others'. */
  slow_nodes: JudgedNode[];
  /** Links that are not slow themselves, below 60 % of the other direction. */
  asymmetric_links: JudgedLink[];
  /** Nodes whose fastest link is below 60 % of their network card's rate. */
  below_card: JudgedNode[];
}

/** @param cards rates of the nodes' network cards, Gbit/s by rank, where they are known */
export function judgeLinks(
  links: readonly MeasuredLink[],
  cards: ReadonlyMap<number, number>,
): LinkJudgement | null {
  const median = medianOf(links.map(({ gbps }) => gbps));
  if (median === null) return null;
  const belowCard = nodesBelowCard(links, cards);
  const none = { slow_links: [], slow_nodes: [], asymmetric_links: [] };
  if (links.length < MIN_LINKS || median <= 0) {
    return {
      judged: false,
      median_gbps: median,
      slow_link_count: 0,
      ...none,
      below_card: belowCard,
    };
  }
  const isSlow = ({ gbps }: MeasuredLink) => gbps < SLOW_LINK * median;
  const slowNodes = nodesBelowOthers(links);
  const explained = new Set(slowNodes.map(({ rank }) => rank));
  const reverse = reverseOf(links);
  const judged = (link: MeasuredLink): JudgedLink => ({
    source_rank: link.source,
    target_rank: link.target,
    gbps: link.gbps,
    reverse_gbps: reverse(link),
  });
  const slow = links.filter(isSlow);
  const others = slow.filter(
    ({ source, target }) => !explained.has(source) && !explained.has(target),
  );
  const isAsymmetric = (link: MeasuredLink) => link.gbps < SLOW_LINK * (reverse(link) ?? 0);
  const asymmetric = links.filter((link) => !isSlow(link) && isAsymmetric(link)).map(judged);
  return {
    judged: true,
    median_gbps: median,
    slow_link_count: slow.length,
    slow_links: worst(others.map(judged)),
    slow_nodes: worst(slowNodes),
    asymmetric_links: worst(asymmetric),
    below_card: belowCard,
  };
}

/** The other direction of each link; null where it was not measured. As plain numbers, since there may be 65,000. */
function reverseOf(links: readonly MeasuredLink[]): (link: MeasuredLink) => number | null {
  const size = 1 + links.reduce((most, { source, target }) => Math.max(most, source, target), 0);
  const rates = new Float64Array(size * size).fill(Number.NaN);
  for (const { source, target, gbps } of links) rates[source * size + target] = gbps;
  return ({ source, target }) => {
    const rate = rates[target * size + source] ?? Number.NaN;
    return Number.isNaN(rate) ? null : rate;
  };
}

/** Whether there is anything to look at. */
export function isFlawless(judgement: LinkJudgement): boolean {
  const { slow_link_count: slow, slow_nodes, asymmetric_links, below_card } = judgement;
  return slow === 0 && slow_nodes.length + asymmetric_links.length + below_card.length === 0;
}

/**
 * A node is compared with the links that it has no part in: among three nodes a slow one has four of six links, and
 * would be its own median.
 */
function nodesBelowOthers(links: readonly MeasuredLink[]): JudgedNode[] {
  const fastest = new Map<number, number>();
  for (const { source, target, gbps } of links) {
    for (const rank of [source, target]) {
      fastest.set(rank, Math.max(fastest.get(rank) ?? 0, gbps));
    }
  }
  const reach = Math.max(...fastest.values());
  // No median of others is above the fastest link of all: few nodes are looked at closely.
  const candidates = [...fastest].filter(([, gbps]) => gbps < SLOW_LINK * reach);
  const suspects = new Set(candidates.map(([rank]) => rank));
  const whole = links.filter(
    ({ source, target }) => !suspects.has(source) && !suspects.has(target),
  );
  const expected = medianOf(whole.map(({ gbps }) => gbps));
  if (expected === null || expected <= 0) return [];
  return candidates
    .filter(([, gbps]) => gbps < SLOW_LINK * expected)
    .map(([rank, gbps]) => ({ rank, gbps, expected_gbps: expected }));
}

/** The fastest link that each node has in either direction, beside what its card can do. */
function nodesBelowCard(
  links: readonly MeasuredLink[],
  cards: ReadonlyMap<number, number>,
): JudgedNode[] {
  if (cards.size === 0) return [];
  const fastest = new Map<number, { gbps: number; expected: number }>();
  for (const { source, target, gbps } of links) {
    for (const [rank, other] of [
      [source, target],
      [target, source],
    ] as const) {
      const own = cards.get(rank);
      if (own === undefined || own <= 0) continue;
      // A link is no faster than the slower card of the two.
      const expected = Math.min(own, cards.get(other) ?? own);
      const best = fastest.get(rank);
      if (best === undefined || gbps / expected > best.gbps / best.expected) {
        fastest.set(rank, { gbps, expected });
      }
    }
  }
  const below = [...fastest].filter(([, { gbps, expected }]) => gbps < SLOW_LINK * expected);
  return worst(
    below.map(([rank, { gbps, expected }]) => ({ rank, gbps, expected_gbps: expected })),
  );
}

function worst<Item extends { gbps: number }>(items: readonly Item[]): Item[] {
  return items.toSorted((a, b) => a.gbps - b.gbps).slice(0, MAX_LISTED);
}
