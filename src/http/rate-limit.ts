import type { Context } from "hono";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, SECOND_MS } from "../lib/clock.ts";
import type { RequestContext, RequestEnv } from "./context.ts";
import { ApiError } from "./errors.ts";

export interface RateLimitPolicy {
  /** Requests allowed in a window. */
  requests: number;
  windowSeconds: 10 | 60;
}

/**
 * Who may ask how often. The numbers stand in wrangler.toml too, where the platform reads them; a test
 * keeps the two equal. They hold per region, as the platform counts.
 */
export const RATE_LIMITS = {
  /** One person or API token. */
  user: { requests: 500, windowSeconds: 10 },
  /** One job: 256 nodes that poll every 2 s near a barrier and send a heartbeat as often. */
  node: { requests: 5_000, windowSeconds: 10 },
  /** One runner: it asks every few seconds, and its agent may be started anew now and then. */
  runner: { requests: 100, windowSeconds: 10 },
  /** One address without a valid token. */
  address: { requests: 300, windowSeconds: 10 },
  /** Reports made on request: seconds of work each. By one person, or for one job by its nodes. */
  report: { requests: 10, windowSeconds: 60 },
  /** Jobs without an account from one address. */
  anonymous: { requests: 5, windowSeconds: 60 },
  /** Sign-ins from one address, looked at before the password is hashed. */
  "sign-in-address": { requests: 30, windowSeconds: 60 },
  /** Sign-ins to one account, from wherever. */
  "sign-in-account": { requests: 10, windowSeconds: 60 },
} as const satisfies Record<string, RateLimitPolicy>;

export type RateLimitName = keyof typeof RATE_LIMITS;

/** The platform's counters, one for each policy. */
export type RateLimitCounters = Record<RateLimitName, Pick<RateLimit, "limit">>;

export interface RateLimits {
  /** Counts a request; announces the policy on the reply, and throws 429 when it was one too many. */
  check<Env extends RequestEnv>(c: Context<Env>, name: RateLimitName, key: string): Promise<void>;
}

/**
 * The platform's counters cost a call each. A caller who is far below a generous limit is therefore
 * counted in the isolate alone: only from this share of the limit on is the platform asked.
 */
const UNCOUNTED_SHARE = 0.1;
/** Limits this small are counted from the first request on. */
const GENEROUS_REQUESTS = 100;
const MAX_CALLERS = 10_000;

/** @param scale how many requests count as one: raises all limits, for tests */
export function createRateLimits(
  counters: RateLimitCounters,
  scale: number,
  clock: Clock,
): RateLimits {
  let seen = 0;
  const recent = new BoundedCache<{ requests: number }>({
    maxEntries: MAX_CALLERS,
    maxAgeMs: 10 * SECOND_MS,
    clock,
  });
  const isFarBelow = (name: RateLimitName, key: string): boolean => {
    const { requests } = RATE_LIMITS[name];
    if (requests < GENEROUS_REQUESTS) return false;
    const caller = `${name}:${key}`;
    const window = recent.get(caller) ?? { requests: 0 };
    if (window.requests === 0) recent.set(caller, window);
    window.requests++;
    return window.requests <= requests * UNCOUNTED_SHARE;
  };
  return {
    async check(c, name, key) {
      const { requests, windowSeconds } = RATE_LIMITS[name];
      // A context with more variables is one with these, too; the setter's type does not see it.
      const { set } = c as unknown as RequestContext;
      set("rateLimitPolicy", `"${name}";q=${requests * scale};w=${windowSeconds}`);
      seen++;
      if (seen % scale !== 0 || isFarBelow(name, key)) return;
      if (await isAllowed(counters[name], key)) return;
      const wait = String(windowSeconds);
      throw new ApiError("TOO_MANY_REQUESTS", `Too many requests; try again in ${wait} s`, {
        headers: { "Retry-After": wait, RateLimit: `"${name}";r=0;t=${wait}` },
      });
    },
  };
}

async function isAllowed(counter: Pick<RateLimit, "limit">, key: string): Promise<boolean> {
  try {
    return (await counter.limit({ key })).success;
  } catch (error) {
    // Without its counters the API is better open than shut.
    console.warn(JSON.stringify({ level: "warn", rate_limit: String(error) }));
    return true;
  }
}

/** The caller's address; of IPv6 the /64 that one customer of a provider has as a whole. */
export function addressOf<Env extends RequestEnv>(c: Context<Env>): string {
  const address = c.req.header("cf-connecting-ip") ?? "unknown";
  return address.includes(":") ? networkOf(address) : address;
}

/** The first four groups of an IPv6 address, those that `::` stands for among them. */
function networkOf(address: string): string {
  const [before = [], after = []] = address.split("::").map((part) => part.split(":"));
  const left = before.filter(Boolean);
  const zeros = Array<string>(Math.max(0, 8 - left.length - after.length)).fill("0");
  return [...left, ...zeros, ...after].slice(0, 4).join(":");
}
