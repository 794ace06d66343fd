/** A pair of node indices, the lower first: it connects, the higher accepts. */
export type Pair = readonly [low: number, high: number];

/**
 * Round-robin tournament by the circle method: index 0 stays, the others turn by one place a round.
 * Every pair meets exactly once and nobody has two partners in a round; with an odd `n` one node
 * rests in each round. All nodes compute the same schedule from `n` alone, so no one has to lead.
 *
 * @returns `n - 1` rounds for even `n`, `n` for odd, none below two nodes
 */
export function schedule(n: number): Pair[][] {
  if (n < 2) return [];
  const size = n % 2 === 0 ? n : n + 1;
  const turning = size - 1;
  return Array.from({ length: turning }, (_, round) => {
    // Place 0 of the circle is index 0; place p holds 1 + (p - 1 + round) mod (size - 1).
    const at = (place: number): number => (place === 0 ? 0 : 1 + ((place - 1 + round) % turning));
    const pairs: Pair[] = [];
    for (let place = 0; place < size / 2; place++) {
      const [a, b] = [at(place), at(size - 1 - place)];
      // With an odd n the index n is nobody: its partner rests.
      if (Math.max(a, b) < n) pairs.push(a < b ? [a, b] : [b, a]);
    }
    return pairs;
  });
}
