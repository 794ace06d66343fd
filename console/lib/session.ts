/**
 * A person's session, or a token that somebody pasted. It lives in `sessionStorage`: a reload keeps it, another tab does
 * not have it, and it ends with the tab.
 */

const KEY = "assay.session";
const CHANNEL = "assay.session";
/** Renewals of a session that was copied with its tab happen in turns. */
const LOCK = "assay.session.renewal";
/** A token is renewed this long before it expires. */
const MARGIN_MS = 60_000;
/** A request for a token that takes longer has failed. */
const TIMEOUT_MS = 30_000;

interface Stored {
  token: string;
  /** Null for a token that somebody pasted. */
  refreshToken: string | null;
  /** By this machine's clock; null for a token that is not renewed. */
  renewAt: number | null;
}

/** Replies of `POST /token`. */
interface Tokens {
  access_token: string;
  refresh_token: string;
  /** Seconds. */
  expires_in: number;
}

type News =
  | { kind: "renewed"; instead: string; stored: Stored }
  | { kind: "ended"; refreshToken: string };

/** The way a session ended: by the person here, or by the server or another tab. */
export type Ending = "signed_out" | "ended_elsewhere";

export type SignInFault = { kind: "refused"; message: string } | { kind: "unreachable" };

export class Session {
  #stored: Stored | null = read();
  #renewing: Promise<void> | null = null;
  readonly #listeners = new Set<(ending: Ending | null) => void>();
  readonly #channel = new BroadcastChannel(CHANNEL);

  constructor() {
    this.#channel.addEventListener("message", ({ data }: MessageEvent<News>) => this.#hear(data));
  }

  get isOpen(): boolean {
    return this.#stored !== null;
  }

  /** Calls `listener` whenever somebody signs in (null) or a session has ended. Answers how to stop that. */
  listen(listener: (ending: Ending | null) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The token to send; null without a session. */
  async credential(): Promise<string | null> {
    const renewAt = this.#stored?.renewAt ?? null;
    if (renewAt !== null && Date.now() >= renewAt) await this.renew();
    return this.#stored?.token ?? null;
  }

  /** Gets new tokens; ends the session where the server refuses. Requests at the same time share one renewal. */
  renew(): Promise<void> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  /** Answers null, or the reason for the failure. */
  async signIn(email: string, password: string): Promise<SignInFault | null> {
    const answer = await ask({ grant_type: "password", username: email, password });
    if ("fault" in answer) return answer.fault;
    this.#keep(answer.stored);
    this.#tell(null);
    return null;
  }

  /** Sends this token from now on. */
  use(token: string): void {
    this.#keep({ token, refreshToken: null, renewAt: null });
    this.#tell(null);
  }

  /** Ends the session here and at the server, in every tab that has it. */
  async signOut(): Promise<void> {
    const refreshToken = this.#stored?.refreshToken ?? null;
    this.end("signed_out");
    if (refreshToken === null) return;
    this.#channel.postMessage({ kind: "ended", refreshToken } satisfies News);
    const body = new URLSearchParams({ token: refreshToken });
    // Offline, the token expires by itself.
    await fetch("/token/revoke", { method: "POST", body, keepalive: true }).catch(() => undefined);
  }

  /** Forgets the session. */
  end(ending: Ending): void {
    if (this.#stored === null) return;
    this.#keep(null);
    this.#tell(ending);
  }

  async #renew(): Promise<void> {
    const before = this.#stored?.refreshToken ?? null;
    if (before === null) return;
    await inTurn(async () => {
      // A message of the tab that had the lock may be on its way.
      await new Promise((heard) => setTimeout(heard, 0));
      // Another tab with the same session was first: a refresh token is valid once.
      if (this.#stored?.refreshToken !== before) return;
      const answer = await ask({ grant_type: "refresh_token", refresh_token: before });
      if ("stored" in answer) {
        this.#keep(answer.stored);
        const news: News = { kind: "renewed", instead: before, stored: answer.stored };
        this.#channel.postMessage(news);
      } else if (answer.fault.kind === "refused") {
        this.end("ended_elsewhere");
      }
    });
  }

  #hear(news: News): void {
    const own = this.#stored?.refreshToken ?? null;
    if (own === null) return;
    if (news.kind === "renewed" && news.instead === own) this.#keep(news.stored);
    if (news.kind === "ended" && news.refreshToken === own) this.end("ended_elsewhere");
  }

  #keep(stored: Stored | null): void {
    this.#stored = stored;
    if (stored === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, JSON.stringify(stored));
  }

  #tell(ending: Ending | null): void {
    for (const listener of this.#listeners) listener(ending);
  }
}

/** One tab at a time; without https browsers have no locks, and a copied session ends at its first renewal. */
async function inTurn(act: () => Promise<void>): Promise<void> {
  if (window.isSecureContext) await navigator.locks.request(LOCK, act);
  else await act();
}

function read(): Stored | null {
  try {
    const stored: Partial<Stored> | null = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    if (typeof stored?.token !== "string") return null;
    const { token, refreshToken = null, renewAt = null } = stored;
    return { token, refreshToken, renewAt };
  } catch {
    return null;
  }
}

async function ask(
  form: Record<string, string>,
): Promise<{ stored: Stored } | { fault: SignInFault }> {
  try {
    const response = await fetch("/token", {
      method: "POST",
      body: new URLSearchParams(form),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const reply: Partial<Tokens> & { error_description?: string } = await response.json();
    if (response.ok && reply.access_token !== undefined && reply.refresh_token !== undefined) {
      const { access_token: token, refresh_token: refreshToken, expires_in: seconds = 0 } = reply;
      return { stored: { token, refreshToken, renewAt: Date.now() + seconds * 1_000 - MARGIN_MS } };
    }
    // Busy or broken, the server has said nothing about the session.
    if (response.status >= 500 || response.status === 429) {
      if (form.grant_type === "refresh_token") return { fault: { kind: "unreachable" } };
    }
    return { fault: { kind: "refused", message: reply.error_description ?? "" } };
  } catch {
    return { fault: { kind: "unreachable" } };
  }
}

/** Of this page. */
export const session = new Session();
