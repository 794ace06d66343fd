import { errors, jwtVerify, SignJWT } from "jose";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, HOUR_MS, MINUTE_MS } from "../lib/clock.ts";
import { keyIdOf } from "./lifetimes.ts";

const ISSUER = "assay";
const ALGORITHM = "HS256";

/**
 * Each kind of token has its own `typ` and audience, both checked: none works where another kind is
 * asked for.
 */
const KINDS = {
  /** A person's, for an hour; `sid` is the session it belongs to. */
  user: { typ: "user+jwt", audience: "assay:user" },
  /** A person's, for automation; `jti` is its row. */
  api: { typ: "api+jwt", audience: "assay:api" },
  /** Changed for the next user token; `gen` says which one of its session it is. */
  refresh: { typ: "refresh+jwt", audience: "assay:refresh" },
  /** Sets a new password in place of the one that `gen` stands for. */
  password: { typ: "password+jwt", audience: "assay:password" },
  /** A job's; `work_until` marks one that was made without an account. */
  job: { typ: "job+jwt", audience: "assay:job" },
} as const;
export type TokenKind = keyof typeof KINDS;

interface Key {
  id: string;
  secret: CryptoKey;
}

/** What a verified token says. */
export interface Claims {
  sub: string;
  sid?: string;
  jti?: string;
  gen?: number;
  /** Until when nodes join and report with it, s since the epoch, where it outlives that for reading. */
  work_until?: number;
}

/** When a token is valid, ms; for ever without an end. */
interface Validity {
  from: number;
  until: number | null;
}

/** Signs and verifies tokens. Secrets overlap during rotation: the first signs, all verify. */
export interface Tokens {
  /** Id of the secret that signs now; rows of derived tokens keep it, so that these never change. */
  readonly signingKeyId: string;
  /** A token by the secret that signs now. */
  sign(kind: TokenKind, claims: Claims, validity: Validity): Promise<string>;
  /**
   * The token of facts of a row, the same on every read; never stored. A secret that is retired for good
   * leaves only tokens that have expired: what is derived then says nothing to anyone.
   */
  derive(kind: TokenKind, claims: Claims, validity: Validity, keyId: string): Promise<string>;
  /** What a token of this kind says, or null for anything but a valid one. */
  verify(kind: TokenKind, token: string): Promise<Claims | null>;
  /** What a token of any kind says, or null for one that is valid nowhere. */
  identify(token: string): Promise<{ kind: TokenKind; claims: Claims } | null>;
}

export async function createTokens(secrets: readonly string[], clock: Clock): Promise<Tokens> {
  const keys = await Promise.all(secrets.map(importKey));
  const [signing] = keys;
  if (signing === undefined) throw new Error("At least one token secret is needed");
  const keyById = new Map(keys.map((key) => [key.id, key]));
  // 50 µs a signature or verification: lists derive a token per job, agents send the same one for hours.
  const derived = new BoundedCache<string>({ maxEntries: 2_000, maxAgeMs: HOUR_MS, clock });
  const verified = new BoundedCache<{ claims: Claims; expiresAt: number | null }>({
    maxEntries: 2_000,
    maxAgeMs: MINUTE_MS,
    clock,
  });

  const signBy = (key: Key, kind: TokenKind, claims: Claims, { from, until }: Validity) => {
    const { typ, audience } = KINDS[kind];
    const token = new SignJWT({ ...claims })
      .setProtectedHeader({ alg: ALGORITHM, typ, kid: key.id })
      .setIssuer(ISSUER)
      .setAudience(audience)
      .setIssuedAt(Math.floor(from / 1_000));
    if (until !== null) token.setExpirationTime(Math.floor(until / 1_000));
    return token.sign(key.secret);
  };

  const verify = async (kind: TokenKind, token: string): Promise<Claims | null> => {
    const cacheKey = `${kind}:${token}`;
    const known = verified.get(cacheKey);
    if (known !== undefined) {
      return known.expiresAt === null || known.expiresAt > clock.now() ? known.claims : null;
    }
    try {
      const { payload } = await jwtVerify(
        token,
        ({ kid }) => {
          const key = kid === undefined ? undefined : keyById.get(kid);
          if (key === undefined) throw new errors.JWKSNoMatchingKey();
          return key.secret;
        },
        {
          algorithms: [ALGORITHM],
          typ: KINDS[kind].typ,
          audience: KINDS[kind].audience,
          issuer: ISSUER,
          requiredClaims: kind === "api" ? ["sub"] : ["sub", "exp"],
          currentDate: new Date(clock.now()),
        },
      );
      const { sub = "", sid, jti, gen, work_until, exp } = payload;
      const claims: Claims = {
        sub,
        ...(typeof sid === "string" ? { sid } : {}),
        ...(jti === undefined ? {} : { jti }),
        ...(typeof gen === "number" ? { gen } : {}),
        ...(typeof work_until === "number" ? { work_until } : {}),
      };
      verified.set(cacheKey, { claims, expiresAt: exp === undefined ? null : exp * 1_000 });
      return claims;
    } catch (error) {
      if (error instanceof errors.JOSEError) return null;
      throw error;
    }
  };

  return {
    signingKeyId: signing.id,
    sign: (kind, claims, validity) => signBy(signing, kind, claims, validity),
    async derive(kind, claims, validity, keyId) {
      const cacheKey = `${kind}:${claims.sub}:${claims.jti ?? ""}`;
      const known = derived.get(cacheKey);
      if (known !== undefined) return known;
      const token = await signBy(keyById.get(keyId) ?? signing, kind, claims, validity);
      derived.set(cacheKey, token);
      return token;
    },
    verify,
    async identify(token) {
      for (const kind of ["user", "api", "refresh", "password", "job"] as const) {
        const claims = await verify(kind, token);
        if (claims !== null) return { kind, claims };
      }
      return null;
    },
  };
}

async function importKey(secret: string): Promise<Key> {
  const bytes = new TextEncoder().encode(secret);
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  return {
    id: keyIdOf(secret),
    secret: await crypto.subtle.importKey("raw", bytes, algorithm, false, ["sign", "verify"]),
  };
}
