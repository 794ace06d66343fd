import { type Api, type Caller, createApi } from "../api/client.ts";
import { denied } from "../failure.ts";
import { changeConfig, configPath, type Profile, readConfig, withProfile } from "./config.ts";
import { type Credential, type Globals, resolveTarget } from "./credentials.ts";
import { ask } from "./prompt.ts";
import { refresh, signIn, signOut } from "./sign-in.ts";

/** A token that ends sooner is renewed first. */
const MARGIN_MS = 60_000;
/** The server asks for a sign-in within 15 minutes for sensitive changes; the rest is for the request. */
const RECENT_MS = 14 * 60_000;

const SIGN_IN = "sign in with assay login, or set ASSAY_TOKEN";

/** A server and the token that it gets: of a session, renewed when its time has come, or one that was given. */
export class Session implements Caller {
  readonly host: string;
  readonly path: string;
  #credential: Credential;

  constructor(globals: Globals, env: NodeJS.ProcessEnv) {
    this.path = configPath(env);
    const target = resolveTarget(globals, env, readConfig(this.path));
    this.host = target.host;
    this.#credential = target.credential;
  }

  get credential(): Credential {
    return this.#credential;
  }

  api(signal?: AbortSignal): Api {
    return createApi(this, { signal });
  }

  /** The token for the next request. */
  readonly token = async (): Promise<string> => {
    const credential = this.#credential;
    if (credential.kind === "given") return credential.token;
    if (credential.kind === "none") throw denied(`not signed in to ${this.host}: ${SIGN_IN}`);
    const { access_token, access_expires_at, refresh_token } = credential.profile;
    if (access_token === null) throw denied(`the session at ${this.host} has ended: ${SIGN_IN}`);
    const isFresh =
      access_expires_at === null || Date.parse(access_expires_at) - Date.now() > MARGIN_MS;
    if (isFresh || refresh_token === null) return access_token;
    return this.#renew(credential.name, access_token);
  };

  /** A newer token than the one that was refused; null where there can be none. */
  readonly renew = async (refused: string): Promise<string | null> => {
    const credential = this.#credential;
    if (credential.kind !== "profile" || credential.profile.refresh_token === null) return null;
    return this.#renew(credential.name, refused);
  };

  /** Renews the session under the configuration's lock: another process may just have done so. */
  async #renew(name: string, known: string): Promise<string> {
    const { profile, wasLost } = await changeConfig(this.path, async (config) => {
      const current = config.profiles[name];
      if (current === undefined || current.host !== this.host || current.refresh_token === null) {
        return { config: null, result: { profile: null, wasLost: false } };
      }
      if (current.access_token !== null && current.access_token !== known) {
        return { config: null, result: { profile: current, wasLost: false } };
      }
      const renewed = await refresh(current);
      const next = renewed.profile ?? { ...current, access_token: null, refresh_token: null };
      return { config: withProfile(config, name, next), result: renewed };
    });
    if (profile?.access_token == null) {
      throw denied(
        wasLost
          ? `the reply to renewing the session at ${this.host} was lost, and a token to renew it works once: sign in again with assay login`
          : `the session at ${this.host} has ended: ${SIGN_IN}`,
      );
    }
    this.#credential = { kind: "profile", name, profile };
    return profile.access_token;
  }

  /**
   * Makes sure that the password was given within 15 minutes, as the server demands for changes of people's rights: asks for
   * it again where the session is older.
   */
  async requireRecentSignIn(): Promise<void> {
    const credential = this.#credential;
    // The server says what a given token may not do.
    if (credential.kind !== "profile" || credential.profile.refresh_token === null) return;
    const { name, profile } = credential;
    const age = Date.now() - Date.parse(profile.signed_in_at ?? "");
    if (age >= 0 && age < RECENT_MS) return;
    const { email } = profile;
    const why = "this asks for a sign-in within the last 15 minutes";
    if (email === null) throw denied(`${why}: sign in again with assay login`);
    const password = await ask(`${why}.\nPassword of ${email}: `, true);
    if (password === null) {
      throw denied(
        `${why}, and there is no terminal to ask for the password: run assay login first`,
      );
    }
    await this.replace(name, await signIn(this.host, email, password));
  }

  /** Puts a new session in the place of a profile's old one, which it ends. */
  async replace(name: string, profile: Profile): Promise<void> {
    const old = await changeConfig(this.path, (config) => ({
      config: withProfile(config, name, profile),
      result: config.profiles[name],
    }));
    this.#credential = { kind: "profile", name, profile };
    // Best effort: a session that is not ended here ends by itself.
    if (old !== undefined) await signOut(old).catch(() => {});
  }
}
