/** Where a contender's time goes: a sampling profile of its isolate, over the inspector's protocol. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bundle } from "../scripts/lib/bundle.ts";
import { createSourceLookup } from "../scripts/lib/source-map.ts";
import { openSession } from "./inspector.ts";
import type { Contender } from "./rounds.ts";

const ROUNDS = 10;
const SHOWN = 14;
const SAMPLE_MICROSECONDS = 100;

interface CallFrame {
  functionName: string;
  url: string;
  /** 0-based; -1 in native code. */
  lineNumber: number;
  columnNumber: number;
}

interface Profile {
  nodes: { id: number; callFrame: CallFrame }[];
  samples: number[];
  timeDeltas: number[];
}

/** Readable lines: the share of time that is spent in each function itself, and where it is. */
export async function profile(
  inspector: URL,
  bundle: Bundle,
  contender: Contender,
): Promise<string[]> {
  const session = await openSession(inspector);
  try {
    await session.call("Profiler.enable");
    await session.call("Profiler.setSamplingInterval", { interval: SAMPLE_MICROSECONDS });
    for (let round = 0; round < ROUNDS; round++) {
      const requests = await contender.prepare();
      if (round === 0) await session.call("Profiler.start");
      await contender.run(requests);
    }
    const { profile: taken } = await session.call<{ profile: Profile }>("Profiler.stop");
    return summarize(taken, createNaming(bundle));
  } finally {
    session.close();
  }
}

/** Names functions by where they were written; a bundle's own names are one letter long. */
function createNaming({ folder, main }: Bundle): (frame: CallFrame) => string {
  const sourceOf = createSourceLookup(
    JSON.parse(readFileSync(join(folder, `${main}.map`), "utf8")),
  );
  return ({ functionName, url, lineNumber, columnNumber }) => {
    const origin = url.endsWith(main) ? sourceOf(lineNumber, columnNumber) : null;
    if (origin !== null) {
      const path = origin.source.replace(/^.*?(?=node_modules\/|src\/|package\.json)/, "");
      return `${functionName} ${path.replace(/^node_modules\//, "")}:${origin.line}`;
    }
    if (url === "") return lineNumber < 0 ? `${functionName} (native)` : functionName;
    return `${functionName} ${url.replace(/^.*\//, "")}:${lineNumber + 1}`;
  };
}

function summarize(
  { nodes, samples, timeDeltas }: Profile,
  nameOf: (frame: CallFrame) => string,
): string[] {
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const spent = new Map<string, number>();
  let all = 0;
  for (const [index, id] of samples.entries()) {
    const name = names.get(id) ?? "?";
    const time = timeDeltas[index] ?? 0;
    if (/^\((idle|root)\)/.test(name)) continue;
    all += time;
    spent.set(name, (spent.get(name) ?? 0) + time);
  }
  return [...spent]
    .sort((a, b) => b[1] - a[1])
    .slice(0, SHOWN)
    .map(([name, time]) => `  ${((time / all) * 100).toFixed(1).padStart(5)} %  ${name}`);
}
