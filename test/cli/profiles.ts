import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Profile } from "../../cli/src/session/config.ts";
import type { CliProgram } from "./program.ts";

const LATER = new Date(Date.now() + 3_600_000).toISOString();

/** A profile of a session that was begun now and lasts for an hour, but for what is given. */
export function profile(more: Partial<Profile> = {}): Profile {
  return {
    host: "https://assay.example",
    email: "ada@example.com",
    access_token: "access-1",
    access_expires_at: LATER,
    refresh_token: "refresh-1",
    signed_in_at: new Date().toISOString(),
    ...more,
  };
}

/** Writes a configuration with one profile, `default`, and perhaps others. */
export function writeProfile(
  cli: CliProgram,
  more: Partial<Profile>,
  others: Record<string, Profile> = {},
): string {
  const folder = join(cli.folder, "config/assay");
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "config.json");
  const config = { current: "default", profiles: { default: profile(more), ...others } };
  writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
  return path;
}
