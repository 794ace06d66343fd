import type { Clock } from "./clock.ts";

/**
 * An isolate-local cache with a bound on entries and on age. When full, the entry written longest
 * ago goes first. Isolates live for hours and serve every customer, so nothing here may grow freely.
 */
export class BoundedCache<Value> {
  readonly #entries = new Map<string, { value: Value; expiresAt: number }>();
  readonly #maxEntries: number;
  readonly #maxAgeMs: number;
  readonly #clock: Clock;

  constructor(options: { maxEntries: number; maxAgeMs: number; clock: Clock }) {
    this.#maxEntries = options.maxEntries;
    this.#maxAgeMs = options.maxAgeMs;
    this.#clock = options.clock;
  }

  get(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expiresAt > this.#clock.now()) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }

  set(key: string, value: Value): void {
    this.#entries.delete(key);
    if (this.#entries.size >= this.#maxEntries) {
      const oldest = this.#entries.keys().next();
      if (!oldest.done) this.#entries.delete(oldest.value);
    }
    this.#entries.set(key, { value, expiresAt: this.#clock.now() + this.#maxAgeMs });
  }
}
