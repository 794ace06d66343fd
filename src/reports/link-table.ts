/** Directed links of a network step as plain numbers: a large job has 150,000, which as objects take twice as much. */
import { free } from "../lib/bytes.ts";

/** Numbers of a link: source rank, target rank, Gbit/s, latency in ms. */
const NUMBERS = 4;
/** Bandwidth of a link that failed. */
const FAILED = -1;

export interface LinkTable {
  /** `NUMBERS` for each link, one after the other. */
  numbers: Float64Array;
  /** Why links failed, by index. */
  errors: [index: number, reason: string][];
}

export interface Link {
  source: number;
  target: number;
  /** Null for a link that failed. */
  gbps: number | null;
  latencyMs: number;
  error: string | null;
}

export function toLinkTable(links: readonly Link[]): LinkTable {
  const numbers = new Float64Array(links.length * NUMBERS);
  const errors: LinkTable["errors"] = [];
  for (const [index, { source, target, gbps, latencyMs, error }] of links.entries()) {
    numbers.set([source, target, gbps ?? FAILED, latencyMs], index * NUMBERS);
    if (error !== null) errors.push([index, error]);
  }
  return { numbers, errors };
}

/** The links of all; the memory of each is given back. */
export function joinLinks(tables: readonly LinkTable[]): LinkTable {
  const numbers = new Float64Array(tables.reduce((sum, table) => sum + table.numbers.length, 0));
  const errors: LinkTable["errors"] = [];
  let at = 0;
  for (const table of tables) {
    numbers.set(table.numbers, at);
    for (const [index, reason] of table.errors) errors.push([at / NUMBERS + index, reason]);
    at += table.numbers.length;
    free(table.numbers);
  }
  return { numbers, errors };
}

/** The links from and to a node. */
export function linksOfNode({ numbers, errors }: LinkTable, rank: number): LinkTable {
  const own: number[] = [];
  for (let at = 0; at < numbers.length; at += NUMBERS) {
    if (numbers[at] === rank || numbers[at + 1] === rank) own.push(at / NUMBERS);
  }
  const reasons = new Map(errors);
  const selected = new Float64Array(own.length * NUMBERS);
  const failed: LinkTable["errors"] = [];
  for (const [index, from] of own.entries()) {
    for (let part = 0; part < NUMBERS; part++) {
      selected[index * NUMBERS + part] = numbers[from * NUMBERS + part] ?? 0;
    }
    const reason = reasons.get(from);
    if (reason !== undefined) failed.push([index, reason]);
  }
  return { numbers: selected, errors: failed };
}

export function linkCount({ numbers }: LinkTable): number {
  return numbers.length / NUMBERS;
}

/** Reads links by their index, one at a time, so that few of them are in memory. */
export function linkReader({ numbers, errors }: LinkTable): (index: number) => Link {
  const reasons = new Map(errors);
  return (index) => {
    const at = index * NUMBERS;
    const gbps = numbers[at + 2] ?? FAILED;
    return {
      source: numbers[at] ?? 0,
      target: numbers[at + 1] ?? 0,
      gbps: gbps === FAILED ? null : gbps,
      latencyMs: numbers[at + 3] ?? 0,
      error: reasons.get(index) ?? null,
    };
  };
}

/** One after the other. */
export function* eachLink(table: LinkTable): Generator<Link> {
  const read = linkReader(table);
  for (let index = 0; index < linkCount(table); index++) yield read(index);
}
