import fc from "fast-check";
import { METHODS } from "./document.ts";
import type { FuzzContext } from "./operation-fuzz.ts";
import { type Reply, send, toCurl, type WireRequest } from "./wire.ts";

const SEGMENTS = [
  "api",
  "silicon-mark",
  "v1",
  "v0",
  "jobs",
  "current",
  "tasks",
  "token",
  "x",
  "%20",
  ".",
  "",
];
const MORE_METHODS = [
  ...METHODS.map((method) => method.toUpperCase()),
  "TRACE",
  "PROPFIND",
  "QUERY",
];

/** Sends methods that a path does not have, and paths that do not exist. */
export async function fuzzUnrouted({
  worker,
  world,
  document,
  conformance,
  options,
}: FuzzContext): Promise<{ sent: number; failures: string[] }> {
  const failures: string[] = [];
  let sent = 0;
  const attempt = async (
    wire: Pick<WireRequest, "method" | "target">,
    faultOf: (reply: Reply) => string | null,
  ): Promise<void> => {
    const request = { headers: {}, body: null, chunked: false, ...wire };
    sent++;
    const reply = await send(worker.url, world.agent, request);
    const fault = faultOf(reply);
    if (fault === null) return;
    const excerpt = reply.body.toString().slice(0, 400);
    failures.push(`${fault}: ${reply.status} ${excerpt}\n  ${toCurl(worker.url, request)}`);
  };

  for (const path of new Set(document.operations.map((operation) => operation.path))) {
    // Of the fixed segments only `me` is a value of the parameter in its place.
    const operations = document.operations.filter(({ path: other }) =>
      new RegExp(`^${other.replaceAll(/\{\w+\}/g, "(?:\\{\\w+\\}|me)")}$`).test(path),
    );
    const methods = operations.map(({ method }) => method);
    const get = operations.find(({ method }) => method === "GET");
    for (const method of MORE_METHODS.filter((candidate) => !methods.includes(candidate))) {
      await attempt({ method, target: path.replaceAll(/\{\w+\}/g, "7554621440") }, (reply) => {
        if (method === "HEAD" && get !== undefined) return conformance.faultOf(get, reply);
        if (method === "OPTIONS" && reply.status < 300) return conformance.faultOfUnrouted(reply);
        if (reply.status === 405) {
          const allowed = String(reply.headers.allow ?? "").split(/, */);
          const missing = methods.filter((declared) => !allowed.includes(declared));
          if (missing.length > 0) return `Allow lacks ${missing}`;
        } else if (reply.status !== 404) return `${method} should be refused`;
        return conformance.faultOfUnrouted(reply);
      });
    }
  }
  const paths = fc.array(fc.constantFrom(...SEGMENTS), { maxLength: 6 });
  for (const segments of fc.sample(paths, { seed: options.seed, numRuns: options.cases * 2 })) {
    const target = `/nowhere/${segments.join("/")}`;
    // Dot segments may lead to a path that exists.
    if (!new URL(target, worker.url).pathname.startsWith("/nowhere")) continue;
    await attempt({ method: "GET", target }, (reply) =>
      reply.status < 400 ? "no such path should answer" : conformance.faultOfUnrouted(reply),
    );
  }
  return { sent, failures };
}
