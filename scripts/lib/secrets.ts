import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";

export interface Secrets {
  adminEmail: string;
  adminPassword: string;
}

/** Writes a secrets file with random values where there is none; never changes one that exists. */
export function ensureSecrets(path: string): Secrets {
  if (!existsSync(path)) {
    const lines = [
      "# Made by `npm start`. Random per clone; never commit it.",
      `TOKEN_SECRET="${randomBytes(36).toString("base64url")}"`,
      'ADMIN_EMAIL="admin@example.com"',
      `ADMIN_PASSWORD="${randomBytes(18).toString("base64url")}"`,
      "",
    ];
    try {
      // Two starts at once: the first one's secrets hold.
      writeFileSync(path, lines.join("\n"), { mode: 0o600, flag: "wx" });
    } catch (error) {
      if (!existsSync(path)) throw error;
    }
  }
  return readSecrets(path);
}

/** The secrets that sign and verify tokens, the signing one first. */
export function readTokenSecrets(path: string): string[] {
  return splitSecrets(read(path, "TOKEN_SECRET"));
}

/** As the Worker reads them: without the spaces around them, which would make other secrets. */
export function splitSecrets(text: string): string[] {
  return text
    .split(",")
    .map((secret) => secret.trim())
    .filter((secret) => secret !== "");
}

/** Replaces them, all at once or not at all. */
export function writeTokenSecrets(path: string, secrets: readonly string[]): void {
  const text = readFileSync(path, "utf8");
  // By a function: in a text, `$` and what follows it could stand for something else.
  const next = text.replace(lineOf("TOKEN_SECRET"), () => `TOKEN_SECRET="${secrets.join(",")}"`);
  writeFileSync(`${path}.next`, next, { mode: 0o600 });
  renameSync(`${path}.next`, path);
}

function readSecrets(path: string): Secrets {
  read(path, "TOKEN_SECRET");
  return { adminEmail: read(path, "ADMIN_EMAIL"), adminPassword: read(path, "ADMIN_PASSWORD") };
}

function read(path: string, name: string): string {
  const value = lineOf(name).exec(readFileSync(path, "utf8"))?.[1];
  if (!value) throw new Error(`${path} lacks ${name}; see .dev.vars.example`);
  return value;
}

function lineOf(name: string): RegExp {
  return new RegExp(`^${name}\\s*=\\s*"?([^"\\n]*)"?\\s*$`, "m");
}
