import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { secretFault, seedFault, splitSecrets } from "../../src/lib/config.ts";

export interface Secrets {
  adminEmail: string;
  adminPassword: string;
}

/** What a secrets file must hold, with fresh values. */
function freshValues(): Record<string, string> {
  return {
    TOKEN_SECRET: freshSecret(),
    REPORT_SIGNING_KEY: freshSeed(),
    ADMIN_EMAIL: "admin@example.com",
    ADMIN_PASSWORD: randomBytes(18).toString("base64url"),
  };
}

export function freshSecret(): string {
  return randomBytes(36).toString("base64url");
}

/** The seed of a key that signs reports. */
export function freshSeed(): string {
  return randomBytes(32).toString("base64url");
}

/**
 * Writes a missing secrets file with random values, and fills in values that are empty or missing. Never changes a
 * value that is there.
 *
 * @throws Error for the user, if a value can be guessed
 */
export function ensureSecrets(path: string): Secrets {
  if (!existsSync(path)) {
    const text = withValues("# Made by `npm start`. Random per clone; never commit it.\n");
    try {
      // Two starts at once: the first one's secrets hold.
      writeFileSync(path, text, { mode: 0o600, flag: "wx" });
    } catch (error) {
      if (!existsSync(path)) throw error;
    }
  }
  const text = readFileSync(path, "utf8");
  const filled = withValues(text);
  if (filled !== text) replace(path, filled);
  return readSecrets(path);
}

function withValues(text: string): string {
  let filled = text;
  for (const [name, value] of Object.entries(freshValues())) {
    const found = lineOf(name).exec(filled);
    const line = `${name}="${value}"`;
    if (found === null) filled = `${filled.replace(/\n?$/, "\n")}${line}\n`;
    else if (found[1]?.trim() === "") filled = filled.replace(lineOf(name), () => line);
  }
  return filled;
}

/** The secrets that sign and verify tokens, the signing one first. */
export function readTokenSecrets(path: string): string[] {
  return splitSecrets(read(path, "TOKEN_SECRET"));
}

/** Replaces them, all at once or not at all. */
export function writeTokenSecrets(path: string, secrets: readonly string[]): void {
  const text = readFileSync(path, "utf8");
  // By a function: in a text, `$` and what follows it could stand for something else.
  const next = text.replace(lineOf("TOKEN_SECRET"), () => `TOKEN_SECRET="${secrets.join(",")}"`);
  replace(path, next);
}

function replace(path: string, text: string): void {
  writeFileSync(`${path}.next`, text, { mode: 0o600 });
  renameSync(`${path}.next`, path);
}

function readSecrets(path: string): Secrets {
  for (const secret of readTokenSecrets(path)) {
    const fault = secretFault(secret);
    if (fault !== null)
      throw new Error(`TOKEN_SECRET in ${path} ${fault}. Empty it to get a new one.`);
  }
  for (const seed of splitSecrets(read(path, "REPORT_SIGNING_KEY"))) {
    const fault = seedFault(seed);
    if (fault !== null)
      throw new Error(`REPORT_SIGNING_KEY in ${path} ${fault}. Empty it to get a new one.`);
  }
  return { adminEmail: read(path, "ADMIN_EMAIL"), adminPassword: read(path, "ADMIN_PASSWORD") };
}

function read(path: string, name: string): string {
  const value = lineOf(name).exec(readFileSync(path, "utf8"))?.[1];
  if (!value) throw new Error(`${path} lacks ${name}; see .dev.vars.example`);
  return value;
}

function lineOf(name: string): RegExp {
  return new RegExp(`^${name}[ \\t]*=[ \\t]*"?([^"\\n]*)"?[ \\t\\r]*$`, "m");
}
