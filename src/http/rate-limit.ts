import type { Context } from "hono";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, SECOND_MS } from "../lib/clock.ts";
import { logEvent } from "../lib/log.ts";
import type { RequestContext, RequestEnv } from "./context.ts";
import { ApiError } from "./errors.ts";

export interface RateLimitPolicy {
  /** Requests allowed in a window. */
  requests: number;
  windowSeconds: 10 | 60;
}

/**
 * Rate limits. The platform reads the same numbers from wrangler.toml; a test compares the two. The platform counts
 * per region.
 */
export const RATE_LIMITS = {
  /** One person or API token. */
  user: { requests: 500, windowSeconds: 10 },
  /** One job, by its number of nodes (`nodeLimitOf`). */
  "node-2": { requests: 50, windowSeconds: 10 },
  "node-12": { requests: 250, windowSeconds: 10 },
  "node-64": { requests: 1_250, windowSeconds: 10 },
  node: { requests: 5_000, windowSeconds: 10 },
  /** One runner: it asks every few seconds, and its agent may be restarted. */
  runner: { requests: 100, windowSeconds: 10 },
  /** One address without a valid token. */
  address: { requests: 300, windowSeconds: 10 },
  /** Reports made on request, by one person or by the nodes of one job. Each takes seconds of work. */
  report: { requests: 10, windowSeconds: 60 },
  /** Jobs without an account from one address. */
  anonymous: { requests: 5, windowSeconds: 60 },
  /** Sign-ins from one address, counted before the password is hashed. */
  "sign-in-address": { requests: 30, windowSeconds: 60 },
  /** Sign-ins to one account from one network. */
  "sign-in-account": { requests: 10, windowSeconds: 60 },
} as const satisfies Record<string, RateLimitPolicy>;

export type RateLimitName = keyof typeof RATE_LIMITS;

/**
 * The limit of a job with so many nodes: the smallest with 19.5 requests for each. Near a barrier, a node polls every 2 s
 * and sends a heartbeat as often; the rest is for results, restarts and repeats.
 */
export function nodeLimitOf(nodes: number): RateLimitName {
  if (nodes <= 2) return "node-2";
  if (nodes <= 12) return "node-12";
  return nodes <= 64 ? "node-64" : "node";
}

/** The platform's counters, one for each policy. */
export type RateLimitCounters = Record<RateLimitName, Pick<RateLimit, "limit">>;

/**
 * Share of a generous limit below which a caller is counted in the isolate alone: each of the platform's
 * counters costs a call.
 */
const UNCOUNTED_SHARE = 0.1;
/** Smaller limits are counted from the first request on. */
const GENEROUS_REQUESTS = 50;
const MAX_CALLERS = 10_000;

export class RateLimits {
  readonly #counters: RateLimitCounters;
  readonly #scale: number;
  readonly #recent: BoundedCache<{ requests: number }>;
  #seen = 0;

  /** @param scale number of requests that count as one: raises all limits, for tests */
  constructor(counters: RateLimitCounters, scale: number, clock: Clock) {
    this.#counters = counters;
    this.#scale = scale;
    this.#recent = new BoundedCache({
      maxEntries: MAX_CALLERS,
      maxAgeMs: 10 * SECOND_MS,
      clock,
    });
  }

  /** Counts a request; announces the policy on the reply, and throws 429 above the limit. */
  async check<Env extends RequestEnv>(
    c: Context<Env>,
    name: RateLimitName,
    key: string,
  ): Promise<void> {
    if (await this.allows(c, name, key)) return;
    const wait = String(RATE_LIMITS[name].windowSeconds);
    throw new ApiError("TOO_MANY_REQUESTS", `Too many requests; try again in ${wait} s`, {
      headers: { "Retry-After": wait, RateLimit: `"${name}";r=0;t=${wait}` },
    });
  }

  /** Counts a request and announces the policy on the reply; answers false above the limit. */
  async allows<Env extends RequestEnv>(
    c: Context<Env>,
    name: RateLimitName,
    key: string,
  ): Promise<boolean> {
    const { requests, windowSeconds } = RATE_LIMITS[name];
    // A context with more variables has these, too; the setter's type does not know that.
    const { set } = c as unknown as RequestContext;
    set("rateLimitPolicy", `"${name}";q=${requests * this.#scale};w=${windowSeconds}`);
    this.#seen++;
    if (this.#seen % this.#scale !== 0 || this.#isFarBelow(name, key)) return true;
    return isAllowed(this.#counters[name], key);
  }

  #isFarBelow(name: RateLimitName, key: string): boolean {
    const { requests } = RATE_LIMITS[name];
    if (requests < GENEROUS_REQUESTS) return false;
    const caller = `${name}:${key}`;
    const window = this.#recent.get(caller) ?? { requests: 0 };
    if (window.requests === 0) this.#recent.set(caller, window);
    window.requests++;
    return window.requests <= requests * UNCOUNTED_SHARE;
  }
}

async function isAllowed(counter: Pick<RateLimit, "limit">, key: string): Promise<boolean> {
  try {
    return (await counter.limit({ key })).success;
  } catch (error) {
    // Without counters the API stays open.
    logEvent("warn", "rate_limit_failed", { causes: [String(error)] });
    return true;
  }
}

/** The caller's address; of IPv6 its /64, which providers assign to one customer. */
export function addressOf<Env extends RequestEnv>(c: Context<Env>): string {
  const address = c.req.header("cf-connecting-ip") ?? "unknown";
  return address.includes(":") ? prefixOf(address) : address;
}

/** The network of an address of `addressOf`: its /24, of IPv6 its /48, which providers assign to one site. */
export function networkOf(address: string): string {
  const separator = address.includes(":") ? ":" : ".";
  return address.split(separator).slice(0, 3).join(separator);
}

/** The first four groups of an IPv6 address, with `::` expanded. */
function prefixOf(address: string): string {
  const [before = [], after = []] = address.split("::").map((part) => part.split(":"));
  const left = before.filter(Boolean);
  const zeros = Array<string>(Math.max(0, 8 - left.length - after.length)).fill("0");
  return [...left, ...zeros, ...after].slice(0, 4).join(":");
}
