/** A person's session, or a token that somebody pasted: in memory alone. */

/** Replies of `POST /token`. */
interface Tokens {
  access_token: string;
  refresh_token: string;
  /** Seconds. */
  expires_in: number;
}

/** A token is renewed this long before it expires. */
const MARGIN_MS = 60_000;

export class Session {
  #token: string | null = null;
  #refreshToken: string | null = null;
  #renewAt = Number.POSITIVE_INFINITY;
  #renewing: Promise<string | null> | null = null;

  /** False before anybody has signed in, and after the session has ended. */
  get isSignedIn(): boolean {
    return this.#token !== null;
  }

  /** The token to send; null before anybody has signed in, and after a session has ended. */
  async credential(): Promise<string | null> {
    if (this.#refreshToken === null || performance.now() < this.#renewAt) return this.#token;
    // A refresh token is valid once: requests at the same time share one renewal.
    this.#renewing ??= this.#renew(this.#refreshToken).finally(() => {
      this.#renewing = null;
    });
    return this.#renewing;
  }

  /** Answers null, or what to tell the person. */
  async signIn(email: string, password: string): Promise<string | null> {
    const form = new URLSearchParams({ grant_type: "password", username: email, password });
    try {
      const response = await fetch("/token", { method: "POST", body: form });
      if (!response.ok) return await faultOf(response);
      this.#keep(await response.json());
      return null;
    } catch {
      return "The server cannot be reached. Check your connection, and try again.";
    }
  }

  /** Sends this token from now on. */
  use(token: string): void {
    this.#token = token;
    this.#refreshToken = null;
  }

  async signOut(): Promise<void> {
    const token = this.#refreshToken;
    this.#token = null;
    this.#refreshToken = null;
    if (token !== null) {
      await fetch("/token/revoke", { method: "POST", body: new URLSearchParams({ token }) }).catch(
        // Offline, the token expires by itself.
        () => undefined,
      );
    }
  }

  async #renew(refreshToken: string): Promise<string | null> {
    const form = new URLSearchParams({ grant_type: "refresh_token", refresh_token: refreshToken });
    const response = await fetch("/token", { method: "POST", body: form }).catch(() => null);
    // If the server is busy or cannot be reached, the next request tries again.
    if (response?.ok) this.#keep(await response.json());
    else if (response?.status === 400 || response?.status === 401) await this.signOut();
    return this.#token;
  }

  #keep(tokens: Tokens): void {
    this.#token = tokens.access_token;
    this.#refreshToken = tokens.refresh_token;
    this.#renewAt = performance.now() + tokens.expires_in * 1_000 - MARGIN_MS;
  }
}

async function faultOf(response: Response): Promise<string> {
  const text: { error_description?: string } = await response.json().catch(() => ({}));
  return text.error_description ?? `The server answered ${response.status}. Try again.`;
}
