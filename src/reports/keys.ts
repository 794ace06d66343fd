/** The public keys of reports, for those who check them. */
import type { Database } from "../db/client.ts";
import { toTimestamp } from "../lib/clock.ts";
import { listKeys, MAX_KEYS } from "./key-store.ts";
import { openKey } from "./signing.ts";

export class ReportKeys {
  readonly #seeds: readonly string[];
  #configured: ReturnType<typeof publicKeys> | undefined;

  /** @param seeds of the keys that the deployment has now */
  constructor(seeds: readonly string[]) {
    this.#seeds = seeds;
  }

  /** Keys whose seeds are here, then those that have signed, as a JWK set (RFC 7517). One round trip. */
  async list(db: Database) {
    this.#configured ??= publicKeys(this.#seeds);
    const [configured, stored] = [await this.#configured, await listKeys(db)];
    const known = new Set(stored.map(({ kid }) => kid));
    const fresh = configured.filter(({ kid }) => !known.has(kid));
    const unused = fresh.map((key) => ({ ...key, createdAt: null, retiredAt: null }));
    const keys = [...unused, ...stored].slice(0, MAX_KEYS);
    return {
      keys: keys.map(({ kid, jwk, createdAt, retiredAt }) => ({
        kty: jwk.kty,
        crv: jwk.crv,
        x: jwk.x,
        kid,
        alg: "EdDSA" as const,
        use: "sig" as const,
        created: toTimestamp(createdAt),
        retired: toTimestamp(retiredAt),
      })),
    };
  }
}

async function publicKeys(seeds: readonly string[]) {
  const keys = await Promise.all(seeds.map(openKey));
  return keys.map(({ kid, jwk }) => ({ kid, jwk }));
}
