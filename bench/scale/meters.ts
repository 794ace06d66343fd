/** Counters of the counted Worker, read from outside: the difference of two readings is what happened between them. */

const NAMES = [
  ...(["requests", "objectRequests", "alarms", "messages", "objectRows"] as const),
  ...(["d1Reads", "d1Rows", "r2Writes", "r2Reads", "logLines"] as const),
  ...(["d1Calls", "d1Writes", "d1Statements", "d1SentBytes", "d1ReadBytes", "d1Size"] as const),
  "r2WrittenBytes",
] as const;

export type Counted = Record<(typeof NAMES)[number], number>;

export interface Meters extends Counted {
  /** Counts since an earlier reading. */
  since(before: Counted): Counted;
}

/** @param url of the counted Worker */
export async function readMeters(url: URL): Promise<Meters> {
  const [counts, traffic] = await Promise.all([control(url, "counts"), control(url, "traffic")]);
  const read = { ...counts, ...traffic };
  const values = build((name) => read[name] ?? 0);
  return { ...values, since: (before) => build((name) => values[name] - before[name]) };
}

/** Waits until nothing is underway and nothing was counted for a while, ms. */
export async function untilQuiet(url: URL, ms = 400): Promise<Meters> {
  let meters = await readMeters(url);
  for (let since = performance.now(); performance.now() - since < ms; ) {
    await new Promise((done) => setTimeout(done, 50));
    const now = await readMeters(url);
    const underway = Number(await (await fetch(new URL("/bench/underway", url))).json());
    if (underway > 0 || NAMES.some((name) => now[name] !== meters[name])) since = performance.now();
    meters = now;
  }
  return meters;
}

async function control(url: URL, path: string): Promise<Record<string, number>> {
  const response = await fetch(new URL(`/bench/${path}`, url));
  // The counted Worker's own replies.
  return (await response.json()) as Record<string, number>;
}

function build(countOf: (name: keyof Counted) => number): Counted {
  // All names have a count.
  return Object.fromEntries(NAMES.map((name) => [name, countOf(name)])) as Counted;
}
