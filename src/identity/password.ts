import { createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/**
 * scrypt with 16 MiB and about 150 ms of one core. The parameters travel in the hash, so they can
 * grow without a migration: `isOutdated` finds older ones at the next sign-in. Source: RFC 7914; PHC
 * string format.
 */
const PARAMETERS = { logN: 14, r: 8, p: 5 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;

const STORED = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)(,pepper=1)?\$([\w-]+)\$([\w-]+)$/;

/**
 * Answers `$scrypt$ln=14,r=8,p=5$<salt>$<hash>`, both base64url; `,pepper=1` follows the parameters
 * where a secret of the deployment went into it.
 */
export async function hashPassword(
  password: string,
  pepper: string | null = null,
): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(peppered(password, pepper), salt, PARAMETERS, HASH_BYTES);
  return `${prefix(pepper)}$${salt.toString("base64url")}$${hash.toString("base64url")}`;
}

/**
 * Whether a password fits a stored hash; takes as long when there is none. A hash made with a pepper
 * fits nothing while the deployment has none.
 */
export async function verifyPassword(
  password: string,
  stored: string | null,
  pepper: string | null = null,
): Promise<boolean> {
  const match = STORED.exec(stored ?? nobody());
  if (match === null) throw new Error("A stored password hash is not in the expected format");
  const [, logN, r, p, withPepper, salt = "", hash = ""] = match;
  const expected = Buffer.from(hash, "base64url");
  const parameters = { logN: Number(logN), r: Number(r), p: Number(p) };
  const text = withPepper === undefined ? normal(password) : peppered(password, pepper);
  const actual = await derive(text, Buffer.from(salt, "base64url"), parameters, expected.length);
  const isKnown = withPepper === undefined || pepper !== null;
  return timingSafeEqual(actual, expected) && stored !== null && isKnown;
}

/** Whether a password would be hashed otherwise today: by larger parameters, or with a pepper. */
export function isOutdated(stored: string, pepper: string | null): boolean {
  return !stored.startsWith(`${prefix(pepper)}$`);
}

function prefix(pepper: string | null): string {
  const { logN, r, p } = PARAMETERS;
  return `$scrypt$ln=${logN},r=${r},p=${p}${pepper === null ? "" : ",pepper=1"}`;
}

/** Hash of no password at all: verifying against it takes the same time and always fails. */
function nobody(): string {
  const zeros = (bytes: number) => Buffer.alloc(bytes).toString("base64url");
  return `${prefix(null)}$${zeros(SALT_BYTES)}$${zeros(HASH_BYTES)}`;
}

/** One password has one form, however it is typed. */
function normal(password: string): string {
  return password.normalize("NFKC");
}

function peppered(password: string, pepper: string | null): string {
  if (pepper === null) return normal(password);
  return createHmac("sha256", pepper).update(normal(password)).digest("base64url");
}

function derive(
  password: string,
  salt: Buffer,
  { logN, r, p }: typeof PARAMETERS,
  length: number,
): Promise<Buffer> {
  const N = 2 ** logN;
  // Twice what the parameters need: the default bound is exactly at the need of N=2^14, r=8.
  const maxmem = 256 * N * r;
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, { N, r, p, maxmem }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}
