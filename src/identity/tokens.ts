import { createHash } from "node:crypto";
import { errors, jwtVerify, SignJWT } from "jose";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, HOUR_MS, MINUTE_MS } from "../lib/clock.ts";

const ISSUER = "assay";
const ALGORITHM = "HS256";

/**
 * Each kind of token has its own `typ` and audience, both checked: none works where another kind is
 * asked for.
 */
const KINDS = {
  user: { typ: "user+jwt", audience: "assay:user" },
  job: { typ: "job+jwt", audience: "assay:job" },
} as const;
type Kind = keyof typeof KINDS;

export const USER_TOKEN_LIFETIME_MS = HOUR_MS;

interface Key {
  id: string;
  secret: CryptoKey;
}

export interface JobTokenFacts {
  jobId: number;
  keyId: string;
  createdAt: number;
  expiresAt: number;
}

/** Signs and verifies tokens. Secrets overlap during rotation: the first signs, all verify. */
export interface Tokens {
  /** Id of the secret that signs now; a job's row keeps it, so that its token never changes. */
  readonly signingKeyId: string;
  signUser(userUuid: string): Promise<{ token: string; expiresInSeconds: number }>;
  /** Derived from facts of the job's row, the same on every read; never stored. */
  deriveJob(facts: JobTokenFacts): Promise<string>;
  /** The user's UUID, or null for anything but a valid user token. */
  verifyUser(token: string): Promise<string | null>;
  /** The job's id, or null for anything but a valid job token. */
  verifyJob(token: string): Promise<number | null>;
}

export async function createTokens(secrets: readonly string[], clock: Clock): Promise<Tokens> {
  const keys = await Promise.all(secrets.map(importKey));
  const [signing] = keys;
  if (signing === undefined) throw new Error("At least one token secret is needed");
  const keyById = new Map(keys.map((key) => [key.id, key]));
  // 50 µs a signature or verification: lists derive a token per job, agents send the same one for hours.
  const derived = new BoundedCache<string>({ maxEntries: 2_000, maxAgeMs: HOUR_MS, clock });
  const verified = new BoundedCache<{ subject: string; expiresAt: number }>({
    maxEntries: 2_000,
    maxAgeMs: MINUTE_MS,
    clock,
  });

  const sign = (kind: Kind, key: Key, subject: string, issuedAt: number, expiresAt: number) =>
    new SignJWT()
      .setProtectedHeader({ alg: ALGORITHM, typ: KINDS[kind].typ, kid: key.id })
      .setIssuer(ISSUER)
      .setAudience(KINDS[kind].audience)
      .setSubject(subject)
      .setIssuedAt(Math.floor(issuedAt / 1_000))
      .setExpirationTime(Math.floor(expiresAt / 1_000))
      .sign(key.secret);

  const verify = async (kind: Kind, token: string): Promise<string | null> => {
    const cacheKey = `${kind}:${token}`;
    const known = verified.get(cacheKey);
    if (known !== undefined) return known.expiresAt > clock.now() ? known.subject : null;
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
          requiredClaims: ["sub", "exp"],
          currentDate: new Date(clock.now()),
        },
      );
      const { sub, exp } = payload;
      if (sub === undefined || exp === undefined) return null;
      verified.set(cacheKey, { subject: sub, expiresAt: exp * 1_000 });
      return sub;
    } catch (error) {
      if (error instanceof errors.JOSEError) return null;
      throw error;
    }
  };

  return {
    signingKeyId: signing.id,
    async signUser(userUuid) {
      const now = clock.now();
      const token = await sign("user", signing, userUuid, now, now + USER_TOKEN_LIFETIME_MS);
      return { token, expiresInSeconds: USER_TOKEN_LIFETIME_MS / 1_000 };
    },
    async deriveJob({ jobId, keyId, createdAt, expiresAt }) {
      const known = derived.get(String(jobId));
      if (known !== undefined) return known;
      // A retired secret leaves only jobs that have expired: their token says nothing to anyone.
      const key = keyById.get(keyId) ?? signing;
      const token = await sign("job", key, String(jobId), createdAt, expiresAt);
      derived.set(String(jobId), token);
      return token;
    },
    verifyUser: (token) => verify("user", token),
    async verifyJob(token) {
      const subject = await verify("job", token);
      return subject === null ? null : Number(subject);
    },
  };
}

async function importKey(secret: string): Promise<Key> {
  const bytes = new TextEncoder().encode(secret);
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  return {
    // Eight characters of a hash tell two secrets apart and nothing about them.
    id: createHash("sha256").update(`assay key id ${secret}`).digest("base64url").slice(0, 8),
    secret: await crypto.subtle.importKey("raw", bytes, algorithm, false, ["sign", "verify"]),
  };
}
