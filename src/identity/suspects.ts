import type { Context } from "hono";
import type { RequestEnv } from "../http/context.ts";
import { addressOf, type RateLimits } from "../http/rate-limit.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, MINUTE_MS } from "../lib/clock.ts";

/**
 * Addresses that have sent a wrong key. Their further keys count against the limit before D1 is read, since keys can be
 * made up quickly. Callers with right keys behind one address are not counted.
 */
export class Suspects {
  readonly #limits: RateLimits;
  readonly #addresses: BoundedCache<true>;

  constructor({ limits, clock }: { limits: RateLimits; clock: Clock }) {
    this.#limits = limits;
    this.#addresses = new BoundedCache({ maxEntries: 10_000, maxAgeMs: MINUTE_MS, clock });
  }

  /** The holder of a request's key, as `read` finds them in D1; null for a wrong key. Throws 429. */
  async find<Env extends RequestEnv, Holder>(
    c: Context<Env>,
    read: () => Promise<Holder | null>,
  ): Promise<Holder | null> {
    const address = addressOf(c);
    const isSuspect = this.#addresses.get(address) === true;
    if (isSuspect) await this.#limits.check(c, "address", address);
    const holder = await read();
    if (holder !== null) return holder;
    this.#addresses.set(address, true);
    if (!isSuspect) await this.#limits.check(c, "address", address);
    return null;
  }
}
