/** Where a contender's time goes: a sampling profile of its isolate, over the inspector's protocol. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bundle } from "../scripts/lib/bundle.ts";
import { createSourceLookup } from "../scripts/lib/source-map.ts";
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
  const socket = new WebSocket(await debuggerUrl(inspector));
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve);
    socket.addEventListener("error", reject);
  });
  try {
    const session = createSession(socket);
    await session("Profiler.enable");
    await session("Profiler.setSamplingInterval", { interval: SAMPLE_MICROSECONDS });
    for (let round = 0; round < ROUNDS; round++) {
      const requests = await contender.prepare();
      if (round === 0) await session("Profiler.start");
      await contender.run(requests);
    }
    const { profile: taken } = await session("Profiler.stop");
    return summarize(taken, createNaming(bundle));
  } finally {
    socket.close();
  }
}

/** The session of the product's own isolate. */
async function debuggerUrl(inspector: URL): Promise<string> {
  const list = new URL("/json", inspector);
  list.protocol = "http:";
  const text = await (await fetch(list)).text();
  const sessions: { id: string; webSocketDebuggerUrl: string }[] = JSON.parse(text);
  const own = sessions.find(({ id }) => id === "assay" || id.endsWith(":assay"));
  if (own === undefined) throw new Error(`No session of the product: ${text}`);
  return own.webSocketDebuggerUrl;
}

function createSession(socket: WebSocket) {
  const waiting = new Map<number, (result: { profile: Profile }) => void>();
  socket.addEventListener("message", ({ data }) => {
    const { id, result } = JSON.parse(String(data));
    waiting.get(id)?.(result);
  });
  let last = 0;
  return (method: string, params: object = {}) => {
    const id = ++last;
    socket.send(JSON.stringify({ id, method, params }));
    return new Promise<{ profile: Profile }>((resolve) => waiting.set(id, resolve));
  };
}

/** Names functions by where they were written; a bundle's own names are one letter long. */
function createNaming({ folder, main }: Bundle): (frame: CallFrame) => string {
  const sourceOf = createSourceLookup(
    JSON.parse(readFileSync(join(folder, `${main}.map`), "utf8")),
  );
  return ({ functionName, url, lineNumber, columnNumber }) => {
    const found = url.endsWith(main) ? sourceOf(lineNumber, columnNumber) : null;
    if (found !== null) {
      const path = found.source.replace(/^.*?(?=node_modules\/|src\/|package\.json)/, "");
      return `${functionName} ${path.replace(/^node_modules\//, "")}:${found.line}`;
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
