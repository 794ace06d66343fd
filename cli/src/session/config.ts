/** The configuration: profiles with a host and a token each, never a password. */
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { systemReason, usage } from "../failure.ts";
import { underLock } from "./lock.ts";

export interface Profile {
  /** Origin of the server: the token goes nowhere else. */
  host: string;
  /** Null for a token that was given as it is. */
  email: string | null;
  /** Null once the session has ended. */
  access_token: string | null;
  /** RFC 3339; null for a token that was given as it is. */
  access_expires_at: string | null;
  /** Null for a token that was given as it is, and once the session has ended. */
  refresh_token: string | null;
  /** Time at which the password was last given, RFC 3339. */
  signed_in_at: string | null;
}

export interface Config {
  /** Name of the profile that is used where none is named. */
  current: string | null;
  profiles: Readonly<Record<string, Profile>>;
}

const EMPTY: Config = { current: null, profiles: {} };

/** `$XDG_CONFIG_HOME/assay/config.json`. */
export function configPath(env: NodeJS.ProcessEnv): string {
  const { XDG_CONFIG_HOME } = env;
  // The standard asks for relative paths to be ignored.
  const base = XDG_CONFIG_HOME?.startsWith("/")
    ? XDG_CONFIG_HOME
    : join(env.HOME || homedir(), ".config");
  return join(base, "assay", "config.json");
}

/** Reads the configuration; an absent one is empty. */
export function readConfig(path: string): Config {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
    // Written by hand, or copied without its mode: it holds tokens.
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return EMPTY;
    throw usage(`${path} cannot be read: ${systemReason(error)}`);
  }
  const config = parseConfig(text);
  if (config === null) {
    throw usage(
      `${path} is not a configuration of assay: correct it, or remove it and sign in again`,
    );
  }
  return config;
}

function parseConfig(text: string): Config | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null) return null;
  const { current = null, profiles } = value as Record<string, unknown>;
  if (current !== null && typeof current !== "string") return null;
  if (typeof profiles !== "object" || profiles === null) return null;
  const entries = Object.entries(profiles);
  // `as`: each profile is checked here.
  return entries.every(([, one]) => isProfile(one))
    ? { current, profiles: profiles as Config["profiles"] }
    : null;
}

function isProfile(value: unknown): value is Profile {
  if (typeof value !== "object" || value === null) return false;
  const { host, ...others } = value as Record<string, unknown>;
  const names = ["email", "access_token", "access_expires_at", "refresh_token", "signed_in_at"];
  return (
    typeof host === "string" &&
    names.every((name) => others[name] === null || typeof others[name] === "string")
  );
}

/**
 * Changes the configuration under its lock, read again: other processes change it, too. The new file takes the old one's
 * place by a rename, so that no reader sees half of it.
 */
export function changeConfig<Result>(
  path: string,
  change: (
    config: Config,
  ) =>
    | Promise<{ config: Config | null; result: Result }>
    | { config: Config | null; result: Result },
): Promise<Result> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  return underLock(`${path}.lock`, async (isHeld) => {
    const { config, result } = await change(readConfig(path));
    if (config !== null) write(path, config, isHeld);
    return result;
  });
}

function write(path: string, config: Config, isHeld: () => boolean): void {
  const draft = `${path}.${process.pid}`;
  try {
    writeFileSync(draft, `${JSON.stringify(config, null, 2)}\n`, { mode: 0o600, flush: true });
    if (!isHeld()) throw usage(`${path}.lock was taken over by another process: try again`);
    renameSync(draft, path);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** The configuration with one profile put in its place, or taken out. */
export function withProfile(config: Config, name: string, profile: Profile | null): Config {
  const { [name]: _, ...others } = config.profiles;
  const profiles = profile === null ? others : { ...others, [name]: profile };
  if (profile !== null || config.current !== name) return { current: config.current, profiles };
  // The only one left needs no choice.
  const [next, ...more] = Object.keys(profiles);
  return { current: more.length === 0 ? (next ?? null) : null, profiles };
}
