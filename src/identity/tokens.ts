import { createHmac } from "node:crypto";
import { errors, type JWTPayload, jwtVerify } from "jose";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, HOUR_MS, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { utf8Bytes } from "../lib/json.ts";
import { keyIdOf } from "./lifetimes.ts";

const ISSUER = "assay";
const ALGORITHM = "HS256";

/** Each kind of token has its own `typ` and audience, which are checked, so no kind works as another. */
const KINDS = {
  /** A person's access token, for an hour; `sid` is its session. */
  user: { typ: "user+jwt", audience: "assay:user" },
  /** A person's API token; `jti` is the UUID of its row. */
  api: { typ: "api+jwt", audience: "assay:api" },
  /** Exchanged for the next tokens of its session; `gen` is its number in the session. */
  refresh: { typ: "refresh+jwt", audience: "assay:refresh" },
  /** Replaces the password that was set at the time `gen`. */
  password: { typ: "password+jwt", audience: "assay:password" },
  /** A job's token; `work_until` marks a job created without an account. */
  job: { typ: "job+jwt", audience: "assay:job" },
  /** The token of one node of a job; `epoch` is its number among the task's tokens. */
  task: { typ: "task+jwt", audience: "assay:task" },
} as const;
export type TokenKind = keyof typeof KINDS;

interface Key {
  id: string;
  secret: Uint8Array;
  /** The same secret as jose takes it. */
  verifier: CryptoKey;
}

/** The claims of a verified token. */
export interface Claims {
  sub: string;
  sid?: string;
  jti?: string;
  gen?: number;
  epoch?: number;
  /** Number of nodes of a job. */
  nodes?: number;
  /** End of joining and reporting, s since 1970, for tokens that are valid longer for reading. */
  work_until?: number;
}

/** The times between which a token is valid, ms; null for no end. */
interface Validity {
  from: number;
  until: number | null;
}

/** The claims of a verified token, and its own validity and secret. */
interface Verified {
  claims: Claims;
  validity: Validity;
  keyId: string;
}

/** Imports the secrets, at least one. */
export async function createTokens(secrets: readonly string[], clock: Clock): Promise<Tokens> {
  const [signing, ...others] = await Promise.all(secrets.map(importKey));
  if (signing === undefined) throw new Error("At least one token secret is needed");
  return new Tokens([signing, ...others], clock);
}

/** Signs and verifies tokens. Secrets overlap during rotation: the first secret signs, all verify. */
export class Tokens {
  readonly #clock: Clock;
  readonly #signing: Key;
  readonly #keyById: ReadonlyMap<string, Key>;
  // A verification takes 50 µs, and agents repeat their tokens for hours; lists derive a token per job.
  readonly #derived: BoundedCache<string>;
  readonly #verified: BoundedCache<Verified>;
  // Apart from the others, as the nodes of a few large jobs would push them all out: about 600 B each.
  readonly #verifiedTasks: BoundedCache<Verified>;

  constructor(keys: readonly [Key, ...Key[]], clock: Clock) {
    this.#clock = clock;
    this.#signing = keys[0];
    this.#keyById = new Map(keys.map((key) => [key.id, key]));
    this.#derived = new BoundedCache({ maxEntries: 2_000, maxAgeMs: HOUR_MS, clock });
    this.#verified = new BoundedCache({ maxEntries: 2_000, maxAgeMs: MINUTE_MS, clock });
    this.#verifiedTasks = new BoundedCache({ maxEntries: 10_000, maxAgeMs: 5 * MINUTE_MS, clock });
  }

  /** Id of the present secret. Rows of derived tokens store it, so that their tokens never change. */
  get signingKeyId(): string {
    return this.#signing.id;
  }

  /** Signs a token with the present secret. */
  sign(kind: TokenKind, claims: Claims, validity: Validity): string {
    return signBy(this.#signing, kind, claims, validity);
  }

  /**
   * Derives a token from the facts of a row: the same on every read, never stored. A secret is retired
   * only when its tokens have expired; a token derived after that is invalid.
   */
  derive(kind: TokenKind, claims: Claims, validity: Validity, keyId: string): string {
    const cacheKey = `${kind}:${claims.sub}:${claims.jti ?? claims.epoch ?? ""}`;
    const cached = this.#derived.get(cacheKey);
    if (cached !== undefined) return cached;
    const key = this.#keyById.get(keyId) ?? this.#signing;
    const token = signBy(key, kind, claims, validity);
    this.#derived.set(cacheKey, token);
    return token;
  }

  /** The claims of a valid token of this kind; null for any other text. */
  async verify(kind: TokenKind, token: string): Promise<Claims | null> {
    return (await this.read(kind, token))?.claims ?? null;
  }

  /** As `verify`, with the validity and the secret's id, for tokens that are derived from this one. */
  async read(kind: TokenKind, token: string): Promise<Verified | null> {
    const cache = kind === "task" ? this.#verifiedTasks : this.#verified;
    const cacheKey = `${kind}:${token}`;
    const now = this.#clock.now();
    const cached = cache.get(cacheKey);
    if (cached !== undefined) {
      const { until } = cached.validity;
      return until === null || until > now ? cached : null;
    }
    try {
      const { payload, protectedHeader } = await jwtVerify(
        token,
        ({ kid }) => this.#verifierOf(kid),
        {
          algorithms: [ALGORITHM],
          typ: KINDS[kind].typ,
          audience: KINDS[kind].audience,
          issuer: ISSUER,
          requiredClaims: kind === "api" ? ["sub"] : ["sub", "exp"],
          currentDate: new Date(now),
        },
      );
      const { iat = 0, exp } = payload;
      const verified = {
        claims: claimsOf(payload),
        validity: { from: iat * SECOND_MS, until: exp === undefined ? null : exp * SECOND_MS },
        keyId: protectedHeader.kid ?? "",
      };
      cache.set(cacheKey, verified);
      return verified;
    } catch (error) {
      if (error instanceof errors.JOSEError) return null;
      throw error;
    }
  }

  /** The kind and claims of a valid token of any kind; null for any other text. */
  async identify(token: string): Promise<{ kind: TokenKind; claims: Claims } | null> {
    for (const kind of ["user", "api", "refresh", "password", "job", "task"] as const) {
      const claims = await this.verify(kind, token);
      if (claims !== null) return { kind, claims };
    }
    return null;
  }

  #verifierOf(keyId: string | undefined): CryptoKey {
    const key = keyId === undefined ? undefined : this.#keyById.get(keyId);
    if (key === undefined) throw new errors.JWKSNoMatchingKey();
    return key.verifier;
  }
}

/**
 * A token in the compact form of RFC 7515 §7.1. A list signs one for each job: jose checks each claim anew and
 * waits for the signature, which takes five times as long.
 */
function signBy(
  { id, secret }: Key,
  kind: TokenKind,
  claims: Claims,
  { from, until }: Validity,
): string {
  const { typ, audience } = KINDS[kind];
  const header = { alg: ALGORITHM, typ, kid: id };
  const iat = Math.floor(from / SECOND_MS);
  const end = until === null ? {} : { exp: Math.floor(until / SECOND_MS) };
  const payload = { ...claims, iss: ISSUER, aud: audience, iat, ...end };
  const signed = `${part(header)}.${part(payload)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function claimsOf({ sub = "", sid, jti, gen, epoch, nodes, work_until }: JWTPayload): Claims {
  return {
    sub,
    ...(typeof sid === "string" ? { sid } : {}),
    ...(jti === undefined ? {} : { jti }),
    ...(typeof gen === "number" ? { gen } : {}),
    ...(typeof epoch === "number" ? { epoch } : {}),
    ...(typeof nodes === "number" ? { nodes } : {}),
    ...(typeof work_until === "number" ? { work_until } : {}),
  };
}

async function importKey(text: string): Promise<Key> {
  const secret = utf8Bytes(text);
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  return {
    id: keyIdOf(text),
    secret,
    verifier: await crypto.subtle.importKey("raw", secret, algorithm, false, ["verify"]),
  };
}
