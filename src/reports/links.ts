import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import { keyIdOf } from "../identity/lifetimes.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, DAY_MS, HOUR_MS, SECOND_MS } from "../lib/clock.ts";

/** What a link holds besides the id that it is for. */
export interface LinkProof {
  /** Seconds since 1970. */
  expires: number;
  key: string;
  signature: string;
}

/** Signs links that open a report's file in a browser, without a token. */
export interface ReportLinks {
  /**
   * The link to the newest report of a job or task. The same all day long, so that a page that holds it
   * keeps its ETag; it works for seven days at least and eight at most.
   */
  urlOf(origin: string, id: number): string;
  /** Whether a link for this id was made here and has not expired. */
  verify(id: number, proof: LinkProof): boolean;
}

const FILES = "/api/silicon-mark/v1/reports/files";
const DAYS = 8;

/** @param secrets the token secrets: the first signs, all verify */
export function createReportLinks(secrets: readonly string[], clock: Clock): ReportLinks {
  // Keys of their own: no signature of a link can pass for a token's.
  const keys = secrets.map((secret) => ({
    id: keyIdOf(secret),
    bytes: Buffer.from(hkdfSync("sha256", secret, "", "assay report link", 32)),
  }));
  const [signing] = keys;
  if (signing === undefined) throw new Error("At least one token secret is needed");
  const sign = (key: Buffer, id: number, expires: number) =>
    createHmac("sha256", key).update(`${id}\n${expires}`).digest("base64url");
  // Lists of tasks hold hundreds.
  const signed = new BoundedCache<string>({ maxEntries: 4_000, maxAgeMs: HOUR_MS, clock });
  return {
    urlOf(origin, id) {
      const expires = (Math.floor(clock.now() / DAY_MS) + DAYS) * (DAY_MS / SECOND_MS);
      const subject = `${id}.${expires}`;
      let signature = signed.get(subject);
      if (signature === undefined) {
        signature = sign(signing.bytes, id, expires);
        signed.set(subject, signature);
      }
      return `${origin}${FILES}/${id}?expires=${expires}&key=${signing.id}&signature=${signature}`;
    },
    verify(id, { expires, key, signature }) {
      const known = keys.find((each) => each.id === key);
      if (known === undefined || expires * SECOND_MS <= clock.now()) return false;
      // As text: other letters may stand for the same bytes.
      const given = Buffer.from(signature);
      const wanted = Buffer.from(sign(known.bytes, id, expires));
      return given.length === wanted.length && timingSafeEqual(given, wanted);
    },
  };
}
