import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/**
 * scrypt with 16 MiB and about 150 ms of one core. The parameters travel in the hash, so they can
 * grow without a migration. Source: RFC 7914; PHC string format.
 */
const PARAMETERS = { logN: 14, r: 8, p: 5 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** Hash of no password at all: verifying against it takes the same time and always fails. */
const NOBODY = `$scrypt$ln=${PARAMETERS.logN},r=${PARAMETERS.r},p=${PARAMETERS.p}$${Buffer.alloc(SALT_BYTES).toString("base64url")}$${Buffer.alloc(HASH_BYTES).toString("base64url")}`;

/** Answers `$scrypt$ln=14,r=8,p=5$<salt>$<hash>`, both base64url. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derive(password, salt, PARAMETERS, HASH_BYTES);
  const { logN, r, p } = PARAMETERS;
  return `$scrypt$ln=${logN},r=${r},p=${p}$${salt.toString("base64url")}$${hash.toString("base64url")}`;
}

/** Whether a password fits a stored hash; takes as long when there is none. */
export async function verifyPassword(password: string, stored: string | null): Promise<boolean> {
  const match = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([\w-]+)\$([\w-]+)$/.exec(stored ?? NOBODY);
  if (match === null) throw new Error("A stored password hash is not in the expected format");
  const [, logN, r, p, salt = "", hash = ""] = match;
  const expected = Buffer.from(hash, "base64url");
  const parameters = { logN: Number(logN), r: Number(r), p: Number(p) };
  const actual = await derive(
    password,
    Buffer.from(salt, "base64url"),
    parameters,
    expected.length,
  );
  return timingSafeEqual(actual, expected) && stored !== null;
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
    scrypt(password.normalize("NFKC"), salt, length, { N, r, p, maxmem }, (error, key) =>
      error === null ? resolve(key) : reject(error),
    );
  });
}
