/** What the front passes on to workerd, and under which names. Pure. */

/** First segments of paths that belong to the local runtime: its SQL explorer, cron, mail and storage. */
const RUNTIME_PATHS = new Set(["cdn-cgi", "__cf_local"]);

/** Headers that the platform or the runtime sets, and believes. A client's own are dropped. */
const PLATFORM_HEADERS =
  /^(?:cf-|mf-|x-mf-|x-forwarded-|x-real-ip$|true-client-ip$|forwarded$|cdn-loop$)/;

/** Headers about one connection (RFC 9110 §7.6.1), and those that the front sets itself. */
const CONNECTION_HEADERS =
  /^(?:connection|keep-alive|proxy-[a-z-]+|te|trailer|transfer-encoding|upgrade|expect|host)$/;

/** Host names and addresses alone: workerd would read a path out of any other text. */
const HOST = /^(?:[\w.-]{1,253}|\[[\da-f:.]{2,45}\])(?::\d{1,5})?$/i;

/** Where a request goes: the path with its query, and the host that the client named. */
export interface Target {
  path: string;
  host: string;
}

/**
 * Reads a request's target in origin or absolute form (RFC 9112 §3.2), its path as workerd will: without fragment and dot
 * segments, so that what is checked is what is passed on. Null for any other form, or a malformed host.
 */
export function targetOf(url: string, hostHeader: string | undefined): Target | null {
  const isPath = url.startsWith("/");
  if (!isPath && !/^https?:\/\//i.test(url)) return null;
  const read = URL.parse(isPath ? `http://host${url}` : url);
  return read && withHost(read.pathname + read.search, isPath ? (hostHeader ?? "") : read.host);
}

function withHost(path: string, host: string): Target | null {
  return HOST.test(host) ? { path, host } : null;
}

/**
 * True for paths of the local runtime, however they are written: encoded, doubled, with dot segments, in capitals. Also for
 * those that leave it again, since not every reader takes `..;` or `%2f..` for dot segments.
 */
export function isRuntimePath(path: string): boolean {
  let plain = path.split("?", 1)[0] ?? "";
  for (let before = ""; before !== plain; ) {
    before = plain;
    plain = plain.replace(/%([\da-f]{2})/gi, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
  }
  let depth = 0;
  for (const segment of plain.toLowerCase().split(/[/\\]/)) {
    const name = segment.replace(/[\0-\x20]|[;#].*$/gs, "");
    if (name === "..") depth = Math.max(0, depth - 1);
    else if (name !== "" && name !== ".") {
      if (depth === 0 && RUNTIME_PATHS.has(name)) return true;
      depth++;
    }
  }
  return false;
}

/**
 * Headers for workerd, as a flat list of names and values.
 *
 * @param raw as they came, flat as well
 * @param address of the client's socket
 */
export function requestHeaders(
  raw: readonly string[],
  { host }: Target,
  address: string | undefined,
): string[] {
  const kept = endToEnd(raw).filter(([name]) => !PLATFORM_HEADERS.test(name.toLowerCase()));
  return [["Host", host], ...kept, ["CF-Connecting-IP", plainAddress(address)]].flat();
}

/** Headers of workerd's reply for the client, flat as above. */
export function replyHeaders(raw: readonly string[]): string[] {
  return endToEnd(raw).flat();
}

function endToEnd(raw: readonly string[]): [name: string, value: string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) pairs.push([raw[at] ?? "", raw[at + 1] ?? ""]);
  const named = new Set(
    pairs
      .filter(([name]) => name.toLowerCase() === "connection")
      .flatMap(([, value]) => value.toLowerCase().split(","))
      .map((name) => name.trim())
      // Without its length a body would be cut wrongly.
      .filter((name) => name !== "content-length"),
  );
  return pairs.filter(([name]) => {
    const lower = name.toLowerCase();
    return !CONNECTION_HEADERS.test(lower) && !named.has(lower);
  });
}

/** An address without what sockets add: the IPv4-mapped prefix, and the name of an interface. */
function plainAddress(address = "unknown"): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
}
