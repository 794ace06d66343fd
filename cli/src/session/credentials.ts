/** Which server is called, and with which token. */
import { usage } from "../failure.ts";
import type { Config, Profile } from "./config.ts";

export interface Globals {
  host?: string | undefined;
  profile?: string | undefined;
  token?: string | undefined;
}

export type Credential =
  | { kind: "given"; token: string; from: string }
  | { kind: "profile"; name: string; profile: Profile }
  | { kind: "none" };

export interface Target {
  host: string;
  credential: Credential;
}

/** The name of the first profile. */
export const DEFAULT_PROFILE = "default";

/** An origin such as `https://assay.example`; a missing scheme is https, or http on this machine. */
export function parseHost(text: string): string {
  const trimmed = text.trim();
  const isLocal = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?\/*$/i.test(trimmed);
  const address = /^https?:\/\//i.test(trimmed)
    ? trimmed
    : `${isLocal ? "http" : "https"}://${trimmed}`;
  if (!URL.canParse(address))
    throw usage(`${text} is not the address of a server: give one such as https://assay.example`);
  const { origin, pathname, search, username, password } = new URL(address);
  if (/[^/]/.test(pathname) || search !== "" || username !== "" || password !== "") {
    throw usage(`${origin} is the server's address: leave out what follows or precedes it`);
  }
  return origin;
}

/**
 * Chooses server and token. The server: option, `ASSAY_HOST`, profile, and the one that this program was installed from. The
 * token: option, `ASSAY_TOKEN`, `BENCHER_API_TOKEN`, profile. A profile's token goes to its own server alone.
 */
export function resolveTarget(globals: Globals, env: NodeJS.ProcessEnv, config: Config): Target {
  const named = globals.host ?? nonEmpty(env.ASSAY_HOST);
  const wanted = named === undefined ? undefined : parseHost(named);
  const chosen = chooseProfile(globals.profile, wanted, config);
  const host = wanted ?? chosen?.profile.host ?? installedFrom(env);
  if (host === undefined) {
    const names = Object.keys(config.profiles).join(", ");
    if (names !== "")
      throw usage(`no profile is the current one: choose with --profile, one of ${names}`);
    throw usage(
      "no server is known: give --host, set ASSAY_HOST, or sign in with assay login --host URL",
    );
  }
  return { host, credential: chooseToken(globals, env, chosen) };
}

function installedFrom(env: NodeJS.ProcessEnv): string | undefined {
  const address = nonEmpty(env.ASSAY_INSTALLED_FROM);
  return address === undefined ? undefined : parseHost(address);
}

interface Named {
  name: string;
  profile: Profile;
}

function chooseProfile(
  name: string | undefined,
  host: string | undefined,
  config: Config,
): Named | null {
  const named = (key: string | null): Named | null => {
    const profile =
      key === null || !Object.hasOwn(config.profiles, key) ? undefined : config.profiles[key];
    return key === null || profile === undefined ? null : { name: key, profile };
  };
  if (name !== undefined) {
    const profile = named(name);
    if (profile === null) {
      const names = Object.keys(config.profiles).join(", ") || "none yet";
      throw usage(
        `there is no profile ${name}; profiles: ${names}. assay login --profile ${name} makes it`,
      );
    }
    if (host !== undefined && profile.profile.host !== host) {
      throw usage(
        `the profile ${name} belongs to ${profile.profile.host}, and its token is not sent to ${host}`,
      );
    }
    return profile;
  }
  const current = named(config.current);
  if (host === undefined || current?.profile.host === host) return current;
  const other = Object.keys(config.profiles).find((key) => config.profiles[key]?.host === host);
  return named(other ?? null);
}

function chooseToken(globals: Globals, env: NodeJS.ProcessEnv, chosen: Named | null): Credential {
  const given = [
    ["--token", globals.token],
    ["ASSAY_TOKEN", env.ASSAY_TOKEN],
    ["BENCHER_API_TOKEN", env.BENCHER_API_TOKEN],
  ] as const;
  for (const [from, value] of given) {
    const token = nonEmpty(value)?.trim();
    if (token !== undefined) return { kind: "given", token: checkToken(token, from), from };
  }
  return chosen === null ? { kind: "none" } : { kind: "profile", ...chosen };
}

/** A token that a header can carry; the value is never shown. */
export function checkToken(token: string, from: string): string {
  if (/^[\x21-\x7e]{1,4096}$/.test(token)) return token;
  throw usage(`${from} holds no token: one is a single line of letters, digits and punctuation`);
}

const nonEmpty = (text: string | undefined) =>
  text === undefined || text.trim() === "" ? undefined : text;
