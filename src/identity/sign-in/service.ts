import { createHash } from "node:crypto";
import type { Database } from "../../db/client.ts";
import { ApiError } from "../../http/errors.ts";
import { type Clock, MINUTE_MS, SECOND_MS } from "../../lib/clock.ts";
import type { Origin } from "../audit.ts";
import { SESSION_LIFETIME_MS, USER_TOKEN_LIFETIME_MS } from "../lifetimes.ts";
import { hashPassword, isOutdated, verifyPassword } from "../password.ts";
import type { Identity } from "../service.ts";
import type { Tokens } from "../tokens.ts";
import { advanceSession, beginAttempt, beginSession, endSession, recordFailure } from "./store.ts";

/**
 * How long an account waits after failures in a row: not at all after the first ones, since people
 * mistype, then twice as long each time.
 */
const WAITING = {
  freeFailures: 4,
  firstWaitMs: SECOND_MS,
  longestWaitMs: 15 * MINUTE_MS,
};

/** What a sign-in answers; `refreshToken` only where one was asked for. */
export interface SignedIn {
  token: string;
  refreshToken: string;
  expiresInSeconds: number;
}

export interface SignInDeps {
  identity: Identity;
  tokens: Tokens;
  clock: Clock;
  pepper: string | null;
  /** How many failures count as one: more than 1 only in tests. */
  failureScale: number;
}

export type SignInService = ReturnType<typeof createSignInService>;

export function createSignInService(deps: SignInDeps) {
  const { identity, tokens, clock, pepper, failureScale } = deps;
  const waiting = { ...WAITING, scale: failureScale };
  const tokensOf = async (userUuid: string, session: { uuid: string; generation: number }) => {
    const now = clock.now();
    const { uuid: sid, generation: gen } = session;
    const [token, refreshToken] = await Promise.all([
      tokens.sign(
        "user",
        { sub: userUuid, sid },
        { from: now, until: now + USER_TOKEN_LIFETIME_MS },
      ),
      tokens.sign(
        "refresh",
        { sub: userUuid, sid, gen },
        { from: now, until: now + SESSION_LIFETIME_MS },
      ),
    ]);
    return { token, refreshToken, expiresInSeconds: USER_TOKEN_LIFETIME_MS / SECOND_MS };
  };

  return {
    /**
     * Tokens for the right password, or null; the same round trips and the time of one hash either way.
     * Two round trips. Throws 429, before any hash, while too many failures make the account wait.
     */
    async signIn(
      db: Database,
      origin: Origin,
      email: string,
      password: string,
    ): Promise<SignedIn | null> {
      const account = accountOf(email);
      const asked = clock.now();
      const attempt = await beginAttempt(db, email.trim(), account, waiting, asked);
      if (attempt.waitsUntil !== null) throw tooManyFailures(attempt.waitsUntil - asked);
      const { person } = attempt;
      const stored = person?.passwordHash ?? null;
      const fits = await verifyPassword(password, stored, pepper);
      const now = clock.now();
      if (person !== null && stored !== null && fits && !person.locked) {
        const session = {
          uuid: crypto.randomUUID(),
          userId: person.id,
          expiresAt: now + SESSION_LIFETIME_MS,
        };
        const rehashed = isOutdated(stored, pepper) ? await hashPassword(password, pepper) : null;
        const event = {
          action: "signed_in" as const,
          subject: { kind: "session" as const, id: session.uuid },
          customerId: person.customerId,
        };
        const by = { ...origin, actorKind: "user" as const, actor: person.uuid };
        const begun = await beginSession(
          db,
          session,
          account,
          { checked: stored, rehashed },
          { origin: by, event, now },
        );
        if (begun) return tokensOf(person.uuid, { uuid: session.uuid, generation: 1 });
        return null;
      }
      const event = {
        action: "sign_in_failed" as const,
        subject: { kind: "account" as const, id: person?.uuid ?? account },
        customerId: person?.customerId ?? null,
      };
      // Accounts that are nobody's can be made up without end: they are audited once a minute and address.
      const by =
        person === null
          ? { ...origin, actor: origin.address }
          : { ...origin, actorKind: "account" as const, actor: person.uuid };
      await recordFailure(db, { origin: by, event, now });
      return null;
    },

    /** The next tokens of a session, or null; an old refresh token ends it. One round trip. */
    async refresh(db: Database, origin: Origin, refreshToken: string): Promise<SignedIn | null> {
      const claims = await tokens.verify("refresh", refreshToken);
      if (claims?.sid === undefined || claims.gen === undefined) return null;
      const { sub, sid, gen } = claims;
      const now = clock.now();
      const by = { ...origin, actorKind: "user" as const, actor: sub };
      const expiresAt = now + SESSION_LIFETIME_MS;
      const advanced = await advanceSession(db, sid, gen, expiresAt, { origin: by, now });
      if (advanced) return tokensOf(sub, { uuid: sid, generation: gen + 1 });
      // Whatever ended it holds at once: access tokens of the session must not live on in the cache.
      identity.forget(sub);
      return null;
    },

    /** Ends the session of a refresh token, if there is one. At most one round trip. */
    async signOut(db: Database, origin: Origin, refreshToken: string): Promise<void> {
      const claims = await tokens.verify("refresh", refreshToken);
      if (claims?.sid === undefined) return;
      const by = { ...origin, actorKind: "user" as const, actor: claims.sub };
      await endSession(db, claims.sid, { origin: by, now: clock.now() });
      identity.forget(claims.sub);
    },
  };
}

/** Accounts are counted by what was asked for, known or not, and no address is kept. */
function accountOf(email: string): string {
  return createHash("sha256").update(email.trim().toLowerCase()).digest("base64url");
}

function tooManyFailures(waitMs: number): ApiError {
  const seconds = String(Math.ceil(waitMs / SECOND_MS));
  const message = `Too many failed sign-ins to this account; try again in ${seconds} s`;
  return new ApiError("TOO_MANY_REQUESTS", message, {
    headers: { "Retry-After": seconds, RateLimit: `"sign-in-account";r=0;t=${seconds}` },
  });
}
