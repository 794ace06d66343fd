/** Keys of runners: random, shown once, kept as SHA-256. */
import { createHash, timingSafeEqual } from "node:crypto";

const PREFIX = "assay_runner_";
const SIGNS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** 178 bits: hashed without salt or stretching, nobody can guess one. */
const LENGTH = 30;

export const KEY_LENGTH = PREFIX.length + LENGTH;
export const KEY_PATTERN = /^assay_runner_[A-Za-z0-9]{30}$/;

export function drawKey(): string {
  let key = PREFIX;
  while (key.length < KEY_LENGTH) {
    for (const byte of crypto.getRandomValues(new Uint8Array(LENGTH))) {
      // Bytes beyond the last multiple of 62 would make the first signs likelier than the others.
      if (byte < 256 - (256 % SIGNS.length)) key += SIGNS[byte % SIGNS.length];
      if (key.length === KEY_LENGTH) break;
    }
  }
  return key;
}

export function hashOfKey(key: string): string {
  return createHash("sha256").update(key).digest("base64url");
}

/** Compares in a time that does not depend on where they differ. */
export function isSameHash(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}
