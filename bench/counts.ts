/** Exact costs of the hot routes, from the product's own request log, and what they answer. */
import type { Bundle } from "../scripts/lib/bundle.ts";
import { withTimeout } from "../src/lib/retry.ts";
import { send } from "../test/fuzz/wire.ts";
import type { HotRoute } from "./hot/routes.ts";
import { createScene } from "./hot/scene.ts";
import { openStage } from "./stage.ts";

const LOG_TIMEOUT_MS = 10_000;

interface LogLine {
  request_id: string;
  route: string;
  d1_round_trips: number;
  object_hops: number;
  r2_calls: number;
}

/** Prints the counts of every route; answers the bodies by the route's name. */
export async function countCosts(
  folder: string,
  bundle: Bundle,
  routes: readonly HotRoute[],
): Promise<Record<string, string>> {
  const waiting = new Map<string, (line: LogLine) => void>();
  const onLog = (message: string) => {
    if (!message.startsWith('{"level":"info"')) return;
    const line: LogLine = JSON.parse(message);
    waiting.get(line.request_id)?.(line);
  };
  const stage = await openStage(folder, bundle, [], { onLog, vars: { ROUTINE_LOG_ONE_IN: "1" } });
  try {
    const scene = await createScene(stage);
    const { agent } = scene.world;
    const replies: Record<string, string> = {};
    let pollEtag = "";
    console.log(
      "exact counts, before the reply  D1 round trips  object hops  R2 calls  reply bytes",
    );
    for (const { name, title, request } of routes) {
      const id = `bench-${name}`;
      const ask = async () => {
        const sent = wireOf(await request(scene, { name: "product", pollEtag }), id);
        const logged = new Promise<LogLine>((resolve) => waiting.set(id, resolve));
        const reply = await send(stage.url, agent, sent);
        const line = await withTimeout(logged, LOG_TIMEOUT_MS, "the log line of a request");
        return { reply, line };
      };
      // The first request of a caller looks the caller up.
      await ask();
      const { reply, line } = await ask();
      if (name === "poll") pollEtag = String(reply.headers.etag);
      replies[name] = reply.body.toString();
      const { d1_round_trips: d1, object_hops: hops, r2_calls: r2 } = line;
      const cells = [d1, hops, r2, reply.body.length].map(String);
      const [a = "", b = "", c = "", d = ""] = cells;
      console.log(
        `${title.padEnd(30)}${a.padStart(16)}${b.padStart(13)}${c.padStart(10)}${d.padStart(13)}`,
      );
    }
    scene.world.close();
    return replies;
  } finally {
    await stage.stop();
  }
}

/** A request that was made as bytes, for the client that reads replies. */
export function wireOf(request: Buffer, id: string): Parameters<typeof send>[2] {
  const [head = "", body = ""] = request.toString().split("\r\n\r\n");
  const [first = "", ...lines] = head.split("\r\n");
  const [method = "", target = ""] = first.split(" ");
  const headers = lines.map((line) => line.split(/: (.*)/s).slice(0, 2));
  const own = Object.fromEntries(headers.filter(([name]) => name !== "content-length"));
  return {
    method,
    target,
    headers: { ...own, "x-request-id": id },
    body: body === "" ? null : new TextEncoder().encode(body),
    chunked: false,
  };
}
