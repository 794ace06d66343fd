/** A large file by GET, through the proxy of the environment. */
import { type IncomingMessage, request } from "node:http";
import { Readable } from "node:stream";
import { openConnection } from "./connection.ts";
import { hostOf, portOf, proxyFor } from "./proxy.ts";

/** Without a byte for so long the server is gone. */
const STALL_MS = 30_000;
const MAX_REDIRECTS = 3;

export interface DownloadWay {
  env: Record<string, string | undefined>;
  /** PEM certificates to trust instead of Node's own; null for those. */
  roots: string[] | null;
  signal: AbortSignal;
}

/**
 * The bytes of a file; more than `maxBytes` of them fail.
 *
 * @throws with a message for people; so does reading
 */
export async function download(url: URL, way: DownloadWay, maxBytes: number): Promise<Readable> {
  let from = url;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const response = await get(from, way);
    const { statusCode = 0, headers } = response;
    if (statusCode === 200) return Readable.from(bounded(response, from, maxBytes));
    response.destroy();
    const isRedirect = statusCode >= 301 && statusCode <= 308 && headers.location !== undefined;
    if (!isRedirect) throw new Error(`${from.host} answered ${statusCode} instead of the file`);
    from = new URL(headers.location ?? "", from);
  }
  throw new Error(`${url.host} redirects more than ${MAX_REDIRECTS} times`);
}

async function get(url: URL, { env, roots, signal }: DownloadWay): Promise<IncomingMessage> {
  const isSecure = url.protocol === "https:";
  if (!isSecure && url.protocol !== "http:") throw new Error(`${url.protocol} is not supported`);
  const found = proxyFor(url, env);
  if (!found.ok) throw new Error(found.message);
  const { proxy } = found;
  const route = { host: hostOf(url), port: portOf(url), isSecure, proxy, roots };
  const socket = await openConnection(route, signal);
  // A proxy that only forwards needs the whole address and the login.
  const isForwarded = proxy !== null && !isSecure;
  const login = isForwarded ? proxy.authorization : null;
  return new Promise((resolve, reject) => {
    const sent = request({
      createConnection: () => socket,
      signal,
      path: isForwarded ? url.href : url.pathname + url.search,
      headers: {
        host: url.host,
        connection: "close",
        ...(login === null ? {} : { "proxy-authorization": login }),
      },
    });
    sent.setTimeout(STALL_MS, () => {
      sent.destroy(new Error(`${url.host} sent nothing for ${STALL_MS / 1_000} s`));
    });
    sent.on("error", reject);
    sent.on("response", resolve);
    sent.end();
  });
}

async function* bounded(response: IncomingMessage, url: URL, maxBytes: number) {
  let count = 0;
  for await (const chunk of response) {
    count += chunk.length;
    if (count > maxBytes) throw new Error(`${url.host} sent more than ${maxBytes} bytes`);
    yield chunk;
  }
}
