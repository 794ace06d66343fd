/** Signing in and out, and who one is. */
import { Option } from "@commander-js/extra-typings";
import { body, createApi } from "../api/client.ts";
import { send } from "../api/transport.ts";
import { denied, Failure, usage } from "../failure.ts";
import { fields } from "../output/table.ts";
import {
  changeConfig,
  configPath,
  type Profile,
  readConfig,
  withProfile,
} from "../session/config.ts";
import { checkToken, DEFAULT_PROFILE, parseHost, resolveTarget } from "../session/credentials.ts";
import { ask } from "../session/prompt.ts";
import { signIn, signOut } from "../session/sign-in.ts";
import { type AnyCommand, type Open, type Opened, verb } from "./open.ts";
import { showUser } from "./people.ts";

export function loginCommand(open: Open): AnyCommand {
  return verb("login", "Sign in, and store the session in a profile", [
    "assay login --host https://assay.example",
    "assay login --profile staging --host https://staging.assay.example --email ada@example.com",
    "assay login --host https://assay.example --token - < token.txt",
  ])
    .addOption(new Option("--email <address>", "e-mail address; asked for by default"))
    .action(async ({ email }, self) => {
      const opened = open(self);
      const { globals, output } = opened;
      const host = hostFor(opened);
      const name = profileNameFor(opened, host);
      const profile =
        globals.token !== undefined
          ? await tokenProfile(host, globals.token)
          : await sessionProfile(host, email);
      const old = await changeConfig(configPath(opened.env), (config) => ({
        config: { ...withProfile(config, name, profile), current: name },
        result: config.profiles[name],
      }));
      if (old !== undefined) await signOut(old).catch(() => {});
      const document = { host, profile: name, email: profile.email };
      await output.result(document, () => [
        `Signed in to ${host} as ${profile.email ?? "the token's owner"} (profile ${name})`,
      ]);
      if (host.startsWith("http:") && !isThisMachine(host)) {
        output.note(
          "Warning: http sends tokens unencrypted; use https on networks that you do not trust.",
        );
      }
    });
}

const isThisMachine = (host: string) =>
  /^(localhost|127\.|\[::1\])/.test(new URL(host).host) || new URL(host).hostname === "[::1]";

/** The server to sign in to; a profile that exists already knows its own. */
function hostFor({ globals, env }: Opened): string {
  const config = readConfig(configPath(env));
  const { profile: name } = globals;
  if (name !== undefined && !Object.hasOwn(config.profiles, name)) {
    const { profile: _, ...others } = globals;
    return resolveTarget(others, env, { current: null, profiles: {} }).host;
  }
  // Another server under an old name is a new profile in its place.
  const isMoved = name !== undefined && globals.host !== undefined;
  if (isMoved) return parseHost(globals.host ?? "");
  return resolveTarget({ ...globals, token: undefined }, env, config).host;
}

/** The profile to write: the one named, the one that has this server, else a new one. */
function profileNameFor({ globals, env }: Opened, host: string): string {
  if (globals.profile !== undefined) {
    if (/^[\w.-]{1,64}$/.test(globals.profile)) return globals.profile;
    throw usage("a profile's name has 1 to 64 letters, digits, dots, hyphens and underscores");
  }
  const { current, profiles } = readConfig(configPath(env));
  if (current !== null && profiles[current]?.host === host) return current;
  const other = Object.keys(profiles).find((key) => profiles[key]?.host === host);
  if (other !== undefined) return other;
  return Object.hasOwn(profiles, DEFAULT_PROFILE)
    ? new URL(host).host.replace(/[^\w.-]/g, "-")
    : DEFAULT_PROFILE;
}

async function sessionProfile(host: string, email: string | undefined): Promise<Profile> {
  const needsTerminal = denied(
    "there is no terminal to ask for the password: give --token, or set ASSAY_TOKEN",
  );
  const address = email ?? (await ask(`E-mail address at ${host}: `));
  if (address === null) throw needsTerminal;
  const password = await ask(`Password of ${address}: `, true);
  if (password === null) throw needsTerminal;
  return signIn(host, address.trim(), password);
}

/** A profile with a token as it is, which the server has accepted. */
async function tokenProfile(host: string, given: string): Promise<Profile> {
  const token = checkToken(given === "-" ? (await readInput()).trim() : given, "--token");
  const api = createApi({ host, token: async () => token });
  const { email } = await body(api.GET("/v0/users/me"));
  return {
    host,
    email,
    access_token: token,
    access_expires_at: null,
    refresh_token: null,
    signed_in_at: null,
  };
}

async function readInput(): Promise<string> {
  let text = "";
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.length > 8_192) break;
  }
  return text;
}

export function logoutCommand(open: Open): AnyCommand {
  return verb("logout", "Sign out: ends the session on the server and removes the profile", [
    "assay logout",
    "assay logout --profile staging",
  ]).action(async (_options, self) => {
    const { globals, env, output } = open(self);
    const path = configPath(env);
    const target = resolveTarget(
      { ...globals, token: undefined },
      { ...env, ASSAY_TOKEN: "", BENCHER_API_TOKEN: "" },
      readConfig(path),
    );
    if (target.credential.kind !== "profile") throw denied(`not signed in to ${target.host}`);
    const { name } = target.credential;
    const removed = await changeConfig(path, (config) => ({
      config: withProfile(config, name, null),
      result: config.profiles[name],
    }));
    if (removed !== undefined) {
      await signOut(removed).catch((error: Error) =>
        output.say(
          `assay: the token was removed here, but the session did not end on the server: ${error.message}`,
        ),
      );
    }
    await output.result({ signed_out: name, host: target.host }, () => [
      `Signed out of ${target.host} (profile ${name})`,
    ]);
  });
}

export function whoamiCommand(open: Open): AnyCommand {
  return verb("whoami", "Show the person whose token is used", [
    "assay whoami",
    "assay whoami --json",
  ]).action(async (_options, self) => {
    const { api, output } = open(self);
    const me = await body(api().GET("/v0/users/me"));
    await output.result(me, () => showUser(me));
  });
}

export function statusCommand(open: Open): AnyCommand {
  return verb("status", "Show server, version, clock skew, and what this token may do", [
    "assay status",
  ]).action(async (_options, self) => {
    const opened = open(self);
    const { session, output } = opened;
    const { host, credential } = session();
    const asked = Date.now();
    const reply = await send(new Request(`${host}/v0/server/version`));
    const version = await readVersion(reply);
    const skew = skewSeconds(reply, asked, Date.now());
    const rights = await readRights(opened);
    const document = {
      host,
      server_version: version,
      clock_skew_seconds: skew,
      profile: credential.kind === "profile" ? credential.name : null,
      ...rights,
    };
    await output.result(document, () =>
      fields([
        ["Server", host],
        ["Version", version],
        ["Clock skew", skew === null ? "not known" : `${skew} s`],
        ["Profile", document.profile],
        ["Token", document.token],
        ["Person", document.email],
        ["Role", document.role],
        ["May", document.may],
      ]),
    );
    if (rights.failure !== null) throw rights.failure;
  });
}

async function readVersion(reply: Response): Promise<string> {
  // `as`: checked below.
  const body = (await reply.json().catch(() => null)) as { assay?: unknown } | null;
  if (reply.ok && typeof body?.assay === "string") return body.assay;
  throw new Failure("this is not an Assay server, or it is failing: check --host", 69);
}

/** Seconds by which this machine's clock is ahead of the server's, whose header has whole seconds. */
function skewSeconds(reply: Response, asked: number, answered: number): number | null {
  const date = Date.parse(reply.headers.get("date") ?? "");
  if (Number.isNaN(date)) return null;
  const here = (asked + answered) / 2;
  return Math.abs(here - date - 500) <= 1_000 ? 0 : Math.round((here - date - 500) / 1_000);
}

interface Rights {
  token: string;
  email: string | null;
  role: string | null;
  may: string;
  failure: Failure | null;
}

const ROLES: Readonly<Record<string, string>> = {
  user: "create jobs, and see your own",
  customer_admin: "see all jobs of your customer, and manage its people",
  staff: "see all jobs",
  root_admin: "everything",
};

/** Tells what the token is and may do; a refused one is part of the answer. */
async function readRights({ session, api }: Opened): Promise<Rights> {
  const { credential } = session();
  const kind = kindOf(credential);
  try {
    const me = await body(api().GET("/v0/users/me"));
    const rights = ROLES[me.role] ?? me.role;
    const scope = await readScope(kind, session, api);
    const may = [
      scope === "read" ? `read only: ${rights}` : rights,
      ...(kind.startsWith("session") ? [] : ["not: change people, passwords, tokens and keys"]),
    ].join("; ");
    return {
      token: scope === null ? kind : `${kind}, ${scope}`,
      email: me.email,
      role: me.role,
      may,
      failure: null,
    };
  } catch (error) {
    if (!(error instanceof Failure) || error.exitCode !== 77) throw error;
    return { token: kind, email: null, role: null, may: "nothing", failure: error };
  }
}

type Credential = ReturnType<Opened["session"]>["credential"];

function kindOf(credential: Credential): string {
  if (credential.kind === "none") return "none";
  if (credential.kind === "profile" && credential.profile.access_expires_at !== null) {
    return "session";
  }
  const token =
    credential.kind === "given" ? credential.token : (credential.profile.access_token ?? "");
  const from = credential.kind === "given" ? ` of ${credential.from}` : "";
  if (token.startsWith("bencher_user_")) return `API key${from}`;
  const typ = String(readPart(token, 0).typ ?? "");
  const KINDS: Readonly<Record<string, string>> = {
    "api+jwt": "API token",
    "job+jwt": "token of a job",
    "user+jwt": "session",
  };
  return `${KINDS[typ] ?? "token"}${from}`;
}

/** A part of a JWT, unverified: for showing alone. */
function readPart(token: string, at: 0 | 1): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(
      Buffer.from(token.split(".")[at] ?? "", "base64url").toString(),
    );
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** The scope of an API token, which its own entry tells; null where it is not known. */
async function readScope(
  kind: string,
  session: Opened["session"],
  api: Opened["api"],
): Promise<string | null> {
  if (!kind.startsWith("API token")) return null;
  const { jti } = readPart((await session().token()) ?? "", 1);
  if (typeof jti !== "string") return null;
  const params = { path: { user: "me", uuid: jti } };
  const reply = await api().GET("/v0/users/{user}/tokens/{uuid}", { params });
  return reply.data?.scope ?? null;
}
