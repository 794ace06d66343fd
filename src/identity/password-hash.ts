import { createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/**
 * Parameters of scrypt: 16 MiB and about 150 ms of one core; tests lower `logN`. Each hash carries its parameters,
 * so they can grow without a migration: `isOutdated` finds older hashes at the next sign-in. Source: RFC 7914; PHC
 * string format.
 */
export const scryptParameters = { logN: 14, r: 8, p: 5 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;

const STORED = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)(,pepper=1)?\$([\w-]+)\$([\w-]+)$/;

/**
 * Hashes a password to `$scrypt$ln=14,r=8,p=5$<salt>$<hash>`, with salt and hash in base64url. With a pepper, a
 * secret of the deployment, `,pepper=1` follows the parameters.
 */
export async function hashPassword(
  password: string,
  pepper: string | null = null,
): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(peppered(password, pepper), salt, scryptParameters, HASH_BYTES);
  return `${prefix(pepper)}$${salt.toString("base64url")}$${hash.toString("base64url")}`;
}

/**
 * Tests a password against a stored hash; takes the same time without one. A hash made with a pepper
 * fits no password while the deployment has no pepper.
 */
export async function verifyPassword(
  password: string,
  stored: string | null,
  pepper: string | null = null,
): Promise<boolean> {
  const match = STORED.exec(stored ?? dummyHash());
  if (match === null) throw new Error("A stored password hash is not in the expected format");
  const [, logN, r, p, withPepper, salt = "", hash = ""] = match;
  const expected = Buffer.from(hash, "base64url");
  const parameters = { logN: Number(logN), r: Number(r), p: Number(p) };
  const text = withPepper === undefined ? normalized(password) : peppered(password, pepper);
  const actual = await derive(text, Buffer.from(salt, "base64url"), parameters, expected.length);
  const isUsable = withPepper === undefined || pepper !== null;
  return timingSafeEqual(actual, expected) && stored !== null && isUsable;
}

/** The hash was made with other parameters than today's, or without the pepper. */
export function isOutdated(stored: string, pepper: string | null): boolean {
  return !stored.startsWith(`${prefix(pepper)}$`);
}

function prefix(pepper: string | null): string {
  const { logN, r, p } = scryptParameters;
  return `$scrypt$ln=${logN},r=${r},p=${p}${pepper === null ? "" : ",pepper=1"}`;
}

/** A hash for unknown accounts: verification takes the same time and always fails. */
function dummyHash(): string {
  const zeros = (bytes: number) => Buffer.alloc(bytes).toString("base64url");
  return `${prefix(null)}$${zeros(SALT_BYTES)}$${zeros(HASH_BYTES)}`;
}

/** The normalised form of a password: keyboards compose characters differently. */
function normalized(password: string): string {
  return password.normalize("NFKC");
}

function peppered(password: string, pepper: string | null): string {
  if (pepper === null) return normalized(password);
  return createHmac("sha256", pepper).update(normalized(password)).digest("base64url");
}

function derive(
  password: string,
  salt: Buffer,
  { logN, r, p }: typeof scryptParameters,
  length: number,
): Promise<Buffer> {
  const N = 2 ** logN;
  // Twice the need: the default bound is exactly what N=2^14, r=8 needs.
  const maxmem = 256 * N * r;
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, { N, r, p, maxmem }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}
