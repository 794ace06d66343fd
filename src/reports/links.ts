import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { keyIdOf } from "../identity/lifetimes.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, DAY_MS, HOUR_MS, SECOND_MS } from "../lib/clock.ts";

/** The parts of a link that prove it genuine. */
export interface LinkProof {
  /** Seconds since 1970. */
  expires: number;
  key: string;
  signature: string;
}

const FILES = "/api/silicon-mark/v1/reports/files";
const DAYS = 8;

interface Key {
  id: string;
  bytes: Buffer;
}

/** Signs links that open a report's file in a browser, without a token. */
export class ReportLinks {
  readonly #clock: Clock;
  readonly #keys: readonly Key[];
  readonly #signing: Key;
  /** Signatures by id and end: a list of tasks shows hundreds of links. */
  readonly #signed: BoundedCache<string>;

  /** @param secrets the token secrets: the first signs, all verify */
  constructor(secrets: readonly string[], clock: Clock) {
    this.#clock = clock;
    this.#keys = secrets.map(keyOf);
    const [signing] = this.#keys;
    if (signing === undefined) throw new Error("At least one token secret is needed");
    this.#signing = signing;
    this.#signed = new BoundedCache({ maxEntries: 4_000, maxAgeMs: HOUR_MS, clock });
  }

  /**
   * The link to the newest report of a job or task; it works for seven to eight days. It changes only once a
   * day, so that replies that contain it keep their ETag. Without an origin it is a path of this server.
   */
  urlOf(origin: string | null, id: number): string {
    const expires = (Math.floor(this.#clock.now() / DAY_MS) + DAYS) * (DAY_MS / SECOND_MS);
    const subject = `${id}.${expires}`;
    const { id: key, bytes } = this.#signing;
    let signature = this.#signed.get(subject);
    if (signature === undefined) {
      signature = sign(bytes, id, expires);
      this.#signed.set(subject, signature);
    }
    return `${origin ?? ""}${FILES}/${id}?expires=${expires}&key=${key}&signature=${signature}`;
  }

  /** True for a link to this id that was signed by one of the secrets and has not expired. */
  verify(id: number, { expires, key, signature }: LinkProof): boolean {
    const signer = this.#keys.find((each) => each.id === key);
    if (signer === undefined || expires * SECOND_MS <= this.#clock.now()) return false;
    // Compared as text: different base64 texts may decode to the same bytes.
    const actual = Buffer.from(signature);
    const expected = Buffer.from(sign(signer.bytes, id, expires));
    return actual.length === expected.length && timingSafeEqual(actual, expected);
  }
}

/** A key derived for links alone: no signature of a link passes for a token's. */
function keyOf(secret: string): Key {
  const bytes = Buffer.from(hkdfSync("sha256", secret, "", "assay report link", 32));
  return { id: keyIdOf(secret), bytes };
}

function sign(key: Buffer, id: number, expires: number): string {
  return createHmac("sha256", key).update(`${id}\n${expires}`).digest("base64url");
}
