import { createHash } from "node:crypto";
import { sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { users } from "../../db/schema.ts";
import { type Clock, SECOND_MS } from "../../lib/clock.ts";
import { foldedAddress } from "../../lib/text.ts";
import type { RequestOrigin } from "../../resources/audit.ts";
import { SESSION_LIFETIME_MS, USER_TOKEN_LIFETIME_MS } from "../lifetimes.ts";
import { originOfPerson } from "../origin.ts";
import { hashPassword, isOutdated, verifyPassword } from "../password-hash.ts";
import type { Identity } from "../service.ts";
import type { Tokens } from "../tokens.ts";
import { beginAttempt } from "./attempts.ts";
import { advanceSession, beginSession, endSession, recordFailure } from "./store.ts";

/** The answer to a sign-in. */
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
  /** Number of failures that count as one: more than 1 only in tests. */
  failureScale: number;
}

export class SignInService {
  readonly #deps: SignInDeps;

  constructor(deps: SignInDeps) {
    this.#deps = deps;
  }

  /**
   * Tokens for the right password, or null; the same round trips and the time of one hash either way.
   * Two round trips. Throws 429, before any hash, while the account has to wait.
   *
   * @param credentials `isCrowded`: only an address from which the person has signed in may try
   */
  async signIn(
    db: Database,
    origin: RequestOrigin,
    { email, password, isCrowded }: { email: string; password: string; isCrowded: boolean },
  ): Promise<SignedIn | null> {
    const { clock, pepper, failureScale } = this.#deps;
    const account = accountOf(email);
    const folded = foldedAddress(email.trim());
    const attempt = {
      target: sql`${users.emailFolded} = ${folded} and ${users.deletedAt} is null`,
      unknown: account,
      address: origin.address,
      isCrowded,
      scale: failureScale,
    };
    const person = await beginAttempt(db, attempt, clock.now());
    const checked = person?.passwordHash ?? null;
    const fits = await verifyPassword(password, checked, pepper);
    if (person === null || checked === null || !fits || person.locked) {
      await this.#recordFailure(db, origin, account, person);
      return null;
    }
    const now = clock.now();
    const rehashed = isOutdated(checked, pepper) ? await hashPassword(password, pepper) : null;
    const uuid = crypto.randomUUID();
    const session = { uuid, userId: person.id, expiresAt: now + SESSION_LIFETIME_MS };
    const event = {
      action: "signed_in" as const,
      subject: { kind: "session" as const, id: uuid },
      customerId: person.customerId,
    };
    const audit = { origin: originOfPerson(origin, person.uuid), now };
    const begun = await beginSession(db, session, person.uuid, { checked, rehashed }, event, audit);
    return begun ? this.#tokensOf(person.uuid, { uuid, generation: 1 }) : null;
  }

  /** The next tokens of a session, or null; an old refresh token ends it. One round trip. */
  async refresh(
    db: Database,
    origin: RequestOrigin,
    refreshToken: string,
  ): Promise<SignedIn | null> {
    const claims = await this.#deps.tokens.verify("refresh", refreshToken);
    if (claims?.sid === undefined || claims.gen === undefined) return null;
    const { sub, sid, gen } = claims;
    const now = this.#deps.clock.now();
    const expiresAt = now + SESSION_LIFETIME_MS;
    const audit = { origin: originOfPerson(origin, sub), now };
    const advanced = await advanceSession(db, sid, gen, expiresAt, audit);
    if (advanced) return this.#tokensOf(sub, { uuid: sid, generation: gen + 1 });
    // Access tokens of the ended session must not live on in this isolate.
    this.#deps.identity.forget(sub);
    return null;
  }

  /** Ends the session of a refresh token, if the token is valid. At most one round trip. */
  async signOut(db: Database, origin: RequestOrigin, refreshToken: string): Promise<void> {
    const claims = await this.#deps.tokens.verify("refresh", refreshToken);
    if (claims?.sid === undefined) return;
    const audit = { origin: originOfPerson(origin, claims.sub), now: this.#deps.clock.now() };
    await endSession(db, claims.sid, audit);
    this.#deps.identity.forget(claims.sub);
  }

  async #recordFailure(
    db: Database,
    origin: RequestOrigin,
    account: string,
    person: { uuid: string; customerId: number } | null,
  ): Promise<void> {
    const event = {
      action: "sign_in_failed" as const,
      subject: { kind: "account" as const, id: person?.uuid ?? account },
      customerId: person?.customerId ?? null,
    };
    // Unknown accounts can be made up without end: they are recorded once a minute per address.
    const by =
      person === null
        ? { ...origin, actor: origin.address }
        : { ...origin, actorKind: "account" as const, actor: person.uuid };
    await recordFailure(db, event, { origin: by, now: this.#deps.clock.now() });
  }

  #tokensOf(
    userUuid: string,
    { uuid: sid, generation: gen }: { uuid: string; generation: number },
  ): SignedIn {
    const { tokens, clock } = this.#deps;
    const now = clock.now();
    const lifetime = { from: now, until: now + USER_TOKEN_LIFETIME_MS };
    const refreshLifetime = { from: now, until: now + SESSION_LIFETIME_MS };
    return {
      token: tokens.sign("user", { sub: userUuid, sid }, lifetime),
      refreshToken: tokens.sign("refresh", { sub: userUuid, sid, gen }, refreshLifetime),
      expiresInSeconds: USER_TOKEN_LIFETIME_MS / SECOND_MS,
    };
  }
}

/** The name of an account, existing or not: a hash, so that no e-mail address is stored. */
export function accountOf(email: string): string {
  return createHash("sha256").update(foldedAddress(email.trim())).digest("base64url");
}
