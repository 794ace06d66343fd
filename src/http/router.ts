import type { Params, Result, Router } from "hono/router";

type Segments = readonly string[];

interface Route<Handler> {
  method: string;
  /** Null for all paths. */
  segments: Segments | null;
  handler: Handler;
}

/** Routes of one method and number of segments, in the order in which they were added. */
type Candidates<Handler> = readonly Route<Handler>[];

const ALL_METHODS = "ALL";
const ALL_PATHS = new Set(["*", "/*"]);

/**
 * Finds the handlers of a path segment by segment, in the order in which they were added. Hono's RegExpRouter takes no
 * `/jobs/current/tasks` beside `/jobs/:job_id/report`, and its TrieRouter takes a tenth of a poll's time. Paths are words
 * and whole parameters, `*` alone is every path.
 */
export class SegmentRouter<Handler> implements Router<Handler> {
  readonly name = "SegmentRouter";
  readonly #routes: Route<Handler>[] = [];
  /** By method and number of segments; made as requests come. */
  readonly #candidates = new Map<string, Candidates<Handler>>();

  add(method: string, path: string, handler: Handler): void {
    const segments = ALL_PATHS.has(path) ? null : path.split("/");
    if (segments?.some((segment) => /[*{?]/.test(segment))) throw new TypeError(`Path ${path}`);
    this.#routes.push({ method, segments, handler });
    this.#candidates.clear();
  }

  match(method: string, path: string): Result<Handler> {
    const segments = path.split("/");
    const matches: [Handler, Params][] = [];
    for (const { segments: pattern, handler } of this.#candidatesOf(method, segments.length)) {
      const params = pattern === null ? NO_PARAMS : paramsOf(pattern, segments);
      if (params !== null) matches.push([handler, params]);
    }
    return [matches];
  }

  #candidatesOf(method: string, length: number): Candidates<Handler> {
    const key = `${length} ${method}`;
    const known = this.#candidates.get(key);
    if (known !== undefined) return known;
    const candidates = this.#routes.filter(
      (route) =>
        (route.method === method || route.method === ALL_METHODS) &&
        (route.segments === null || route.segments.length === length),
    );
    // Clients choose both, so that only those with routes of their own are remembered.
    if (candidates.some(({ segments }) => segments !== null)) this.#candidates.set(key, candidates);
    return candidates;
  }
}

const NO_PARAMS: Params = {};
const COLON = ":".charCodeAt(0);

/** The values of a pattern's parameters, as they are in the path; null for a path that it does not match. */
function paramsOf(pattern: Segments, segments: Segments): Params | null {
  let params: Params | null = null;
  // From the end, where paths differ. The segment before the first slash is empty.
  for (let at = pattern.length - 1; at > 0; at--) {
    const expected = pattern[at] ?? "";
    const sent = segments[at] ?? "";
    if (expected.charCodeAt(0) === COLON) {
      if (sent === "") return null;
      params ??= {};
      params[expected.slice(1)] = sent;
    } else if (expected !== sent) return null;
  }
  return params ?? NO_PARAMS;
}
