/** Exact costs of the measured requests, from the product's own request log, and what they answer. */
import type { Bundle } from "../scripts/lib/bundle.ts";
import { withTimeout } from "../src/lib/retry.ts";
import { send } from "../test/fuzz/wire.ts";
import { createScene, type Match } from "./contenders.ts";
import { openStage } from "./stage.ts";

const LOG_TIMEOUT_MS = 10_000;

interface LogLine {
  request_id: string;
  route: string;
  d1_round_trips: number;
  object_hops: number;
}

/** Prints the counts of every match; answers the bodies by the match's name. */
export async function countCosts(
  folder: string,
  bundle: Bundle,
  matches: readonly Match[],
): Promise<Map<string, string>> {
  const waiting = new Map<string, (line: LogLine) => void>();
  const onLog = (message: string) => {
    if (!message.startsWith('{"level":"info"')) return;
    const line: LogLine = JSON.parse(message);
    waiting.get(line.request_id)?.(line);
  };
  const stage = await openStage(folder, bundle, [], { onLog, vars: { ROUTINE_LOG_ONE_IN: "1" } });
  try {
    const scene = await createScene(stage);
    const payloads = new Map<string, string>();
    console.log("exact counts, before the reply      D1 round trips  object hops  reply bytes");
    for (const match of matches) {
      const { method, target, token, body } = parse(await match.target(scene));
      const id = `bench-${payloads.size}`;
      const logged = new Promise<LogLine>((resolve) => waiting.set(id, resolve));
      const headers = {
        "x-request-id": id,
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: token }),
      };
      const bytes = body === "" ? null : new TextEncoder().encode(body);
      const wire = { method, target, headers, body: bytes, chunked: false };
      const reply = await send(stage.url, scene.world.agent, wire);
      const line = await withTimeout(logged, LOG_TIMEOUT_MS, "the log line of a request");
      payloads.set(match.name, reply.body.toString());
      const counts = [line.d1_round_trips, line.object_hops, reply.body.length];
      const [d1, hops, size] = counts.map(String);
      const name = match.name.split(" ÷ ")[0] ?? "";
      console.log(
        `${name.padEnd(36)}${d1?.padStart(14)}${hops?.padStart(13)}${size?.padStart(13)}`,
      );
    }
    scene.world.close();
    return payloads;
  } finally {
    await stage.stop();
  }
}

/** The parts of a request that was made as bytes. */
function parse(request: Buffer) {
  const [head = "", body = ""] = request.toString().split("\r\n\r\n");
  const [method = "", target = ""] = head.split(" ");
  return { method, target, body, token: /authorization: (.*)/.exec(head)?.[1] };
}
