import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

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

function readSecrets(path: string): Secrets {
  const text = readFileSync(path, "utf8");
  const read = (name: string): string => {
    const value = new RegExp(`^${name}\\s*=\\s*"?([^"\\n]*)"?\\s*$`, "m").exec(text)?.[1];
    if (!value) throw new Error(`${path} lacks ${name}; see .dev.vars.example`);
    return value;
  };
  read("TOKEN_SECRET");
  return { adminEmail: read("ADMIN_EMAIL"), adminPassword: read("ADMIN_PASSWORD") };
}
