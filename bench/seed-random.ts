/** Chance that is the same every time: what a seed draws, it draws again. */
export interface Chance {
  /** From 0 to below 1. */
  next(): number;
  /** A whole number from 0 to below `bound`. */
  below(bound: number): number;
  /** One of a list, the first ones more often: the n-th as 1 ÷ n. */
  skewed<Item>(items: readonly Item[]): Item;
  /** One of these, by their weights. */
  weighted<Item>(items: readonly (readonly [Item, weight: number])[]): Item;
  uuid(): string;
}

/** Mulberry32: 32 bits of state are enough for rows that only have to look different. */
export function createChance(seed: number): Chance {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (bound: number) => Math.floor(next() * bound);
  const hex = (digits: number) =>
    below(16 ** digits)
      .toString(16)
      .padStart(digits, "0");
  return {
    next,
    below,
    skewed: (items) => itemAt(items, Math.floor((items.length + 1) ** next()) - 1),
    weighted: (items) => {
      let left = next() * items.reduce((sum, [, weight]) => sum + weight, 0);
      const item = items.find(([, weight]) => {
        left -= weight;
        return left < 0;
      });
      return (item ?? itemAt(items, items.length - 1))[0];
    },
    uuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(6)}${hex(6)}`,
  };
}

export function itemAt<Item>(items: readonly Item[], at: number): Item {
  const item = items[at];
  if (item === undefined) throw new RangeError(`A list of ${items.length} has no item ${at}`);
  return item;
}
