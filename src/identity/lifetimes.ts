/** Lifetimes and key ids of tokens. The project's commands share them, so nothing here needs the platform. */
import { createHash } from "node:crypto";
import { DAY_MS, HOUR_MS } from "../lib/clock.ts";

/** A job expires this long after its creation, and its token with it. */
export const JOB_LIFETIME_MS = DAY_MS;
/** A job created without an account can be read with its token this long after its creation. */
export const ANONYMOUS_READING_MS = 7 * DAY_MS;
export const USER_TOKEN_LIFETIME_MS = HOUR_MS;
/** An API token or key without a lifetime of its own ends this long after its creation: in 136 years. */
export const LONGEST_TTL_SECONDS = 2 ** 32 - 1;
/** Revoked API tokens and keys can be seen for this long. */
export const REVOKED_SEEN_MS = 30 * DAY_MS;
/** A session ends this long after its last new token. */
export const SESSION_LIFETIME_MS = 30 * DAY_MS;
/** An address counts as the person's for this long after a sign-in. */
export const KNOWN_ADDRESS_MS = 30 * DAY_MS;
/** Failed sign-ins are cleared this long after the last one. */
export const SIGN_IN_FAILURES_LIFETIME_MS = DAY_MS;

/** The id of a token secret: eight characters of a hash, which reveal nothing about it. */
export function keyIdOf(secret: string): string {
  return createHash("sha256").update(`assay key id ${secret}`).digest("base64url").slice(0, 8);
}
