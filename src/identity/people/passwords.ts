import { sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { users } from "../../db/schema.ts";
import { ApiError } from "../../http/errors.ts";
import { type Clock, DAY_MS } from "../../lib/clock.ts";
import type { Reference } from "../../lib/references.ts";
import type { RequestOrigin } from "../../resources/audit.ts";
import { createOnce } from "../../resources/create.ts";
import { credentialId } from "../actor.ts";
import { type ActorContext, originOfPerson } from "../origin.ts";
import { hashPassword, verifyPassword } from "../password-hash.ts";
import type { Identity } from "../service.ts";
import { beginAttempt } from "../sign-in/attempts.ts";
import type { Tokens } from "../tokens.ts";
import { type LinkFacts, recordLink, replacePassword } from "./password-store.ts";
import { passwordLinkRules } from "./permissions.ts";
import { changeOf } from "./store.ts";

const PASSWORD_LINK_LIFETIME_MS = DAY_MS;

export interface PasswordsDeps {
  identity: Identity;
  tokens: Tokens;
  clock: Clock;
  pepper: string | null;
  /** Number of failures that count as one: more than 1 only in tests. */
  failureScale: number;
}

/** Changes of passwords, and links to set them. Each call is one D1 round trip, unless it says otherwise. */
export class PasswordsService {
  readonly #deps: PasswordsDeps;

  constructor(deps: PasswordsDeps) {
    this.#deps = deps;
  }

  /** The token of a link to set a password; a repeat answers the same. One more round trip for a repeat. */
  async createPasswordLink(
    db: Database,
    { actor, origin }: ActorContext,
    reference: Reference,
    key: IdempotencyKey | null,
  ): Promise<{ token: string; expiresAt: number; replayed: boolean }> {
    const rules = passwordLinkRules(actor);
    const { created: link, replayed } = await createOnce(key, () => {
      const audit = { origin, now: this.#deps.clock.now() };
      const change = changeOf("password_link_created", actor, reference, rules, audit);
      const signed = { jti: crypto.randomUUID(), keyId: this.#deps.tokens.signingKeyId };
      return recordLink(db, change, key, signed);
    });
    return { ...this.#tokenOf(link), replayed };
  }

  /** Sets a password with the token of a link. No round trip for an invalid token. */
  async setPassword(
    db: Database,
    origin: RequestOrigin,
    { token, password }: { token: string; password: string },
  ): Promise<void> {
    const claims = await this.#deps.tokens.verify("password", token);
    if (claims?.gen === undefined) throw spentLink();
    const passwordHash = await hashPassword(password, this.#deps.pepper);
    const replaced = { uuid: claims.sub, passwordChangedAt: claims.gen };
    const by = originOfPerson(origin, claims.sub);
    const audit = { origin: by, now: this.#deps.clock.now(), details: { by: "link" } };
    if (!(await replacePassword(db, replaced, passwordHash, audit))) throw spentLink();
    this.#deps.identity.forget(claims.sub);
  }

  /** Changes the actor's own password. Two round trips, and the time of two hashes in every case. Throws 429, before any hash, while the account has to wait, as for a sign-in. */
  async changeOwnPassword(
    db: Database,
    { actor, origin }: ActorContext,
    { old_password, password }: { old_password: string; password: string },
  ): Promise<void> {
    const { userId, userUuid, credential } = actor;
    const attempt = {
      target: sql`${users.id} = ${userId} and ${users.deletedAt} is null`,
      unknown: userUuid,
      address: origin.address,
      isCrowded: false,
      scale: this.#deps.failureScale,
    };
    const person = await beginAttempt(db, attempt, this.#deps.clock.now());
    const stored = person?.passwordHash ?? null;
    const fits = await verifyPassword(old_password, stored, this.#deps.pepper);
    const passwordHash = await hashPassword(password, this.#deps.pepper);
    const keptSession = credentialId(credential);
    const replaced = { userId, userUuid, passwordHash: stored ?? "", keptSession };
    const audit = { origin, now: this.#deps.clock.now(), details: { by: "old password" } };
    if (!fits || !(await replacePassword(db, replaced, passwordHash, audit))) {
      throw new ApiError("PERMISSION_DENIED", "The old password is wrong");
    }
    this.#deps.identity.forget(userUuid);
  }

  #tokenOf({ uuid, passwordChangedAt, jti, keyId, createdAt }: LinkFacts) {
    const expiresAt = createdAt + PASSWORD_LINK_LIFETIME_MS;
    const claims = { sub: uuid, jti, gen: passwordChangedAt };
    const validity = { from: createdAt, until: expiresAt };
    const token = this.#deps.tokens.derive("password", claims, validity, keyId);
    return { token, expiresAt };
  }
}

function spentLink(): ApiError {
  // People read it, and have typed no field of this name.
  const message = "This link has been used or has expired; ask an administrator for a new link";
  const details = [{ field: "token", message }];
  return new ApiError("PARAMETER_INCORRECT_VALUE", message, { details });
}
