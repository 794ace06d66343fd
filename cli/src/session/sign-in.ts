/** The calls that begin, renew and end a session. */
import { failureOf } from "../api/errors.ts";
import { LostReply, send } from "../api/transport.ts";
import type { TokenReply } from "../api/types.ts";
import { denied, unreachable } from "../failure.ts";
import type { Profile } from "./config.ts";

/** Less than the age at which a lock counts as left behind. */
const REFRESH_MS = 20_000;

/** A new session, by password. */
export async function signIn(host: string, email: string, password: string): Promise<Profile> {
  const form = { grant_type: "password", username: email, password };
  const reply = await send(formRequest(host, "/token", form));
  if (reply.status === 400 || reply.status === 401) {
    throw denied("the e-mail address or the password is wrong, or the account is locked", {
      requestId: reply.headers.get("x-request-id") ?? undefined,
    });
  }
  const token = await readToken(reply);
  return profileOf(host, email, token, new Date().toISOString());
}

/**
 * A newer token for a session. A refresh token works once, and its second use ends the session.
 *
 * @returns null where the session has ended; `wasLost` where the reply did not come, so that the session may have ended
 */
export async function refresh(
  profile: Profile,
): Promise<{ profile: Profile | null; wasLost: boolean }> {
  const form = { grant_type: "refresh_token", refresh_token: profile.refresh_token ?? "" };
  let reply: Response;
  try {
    reply = await send(formRequest(profile.host, "/token", form), { replyMs: REFRESH_MS });
  } catch (error) {
    if (!(error instanceof LostReply) || !error.wasSent) throw error;
    return { profile: null, wasLost: true };
  }
  if (reply.status === 400 || reply.status === 401) return { profile: null, wasLost: false };
  const token = await readToken(reply);
  const next = profileOf(profile.host, profile.email, token, profile.signed_in_at);
  return { profile: next, wasLost: false };
}

/** Ends a session at the server. */
export async function signOut({ host, refresh_token }: Profile): Promise<void> {
  if (refresh_token === null) return;
  const reply = await send(formRequest(host, "/token/revoke", { token: refresh_token }), {
    repeatable: true,
  });
  if (!reply.ok) throw failureOf(reply, null);
}

function formRequest(host: string, path: string, form: Record<string, string>): Request {
  return new Request(host + path, { method: "POST", body: new URLSearchParams(form) });
}

async function readToken(reply: Response): Promise<TokenReply> {
  const text = await reply.text();
  let body: Partial<TokenReply> | null = null;
  try {
    body = JSON.parse(text);
  } catch {
    // An error page of something between, or no Assay server.
  }
  if (!reply.ok) throw failureOf(reply, body);
  if (typeof body?.access_token !== "string" || typeof body.refresh_token !== "string") {
    throw unreachable("the server's reply holds no token: check that --host names an Assay server");
  }
  // `as`: both tokens are there; `expires_in` is read with care.
  return body as TokenReply;
}

function profileOf(
  host: string,
  email: string | null,
  { access_token, refresh_token, expires_in }: TokenReply,
  signedInAt: string | null,
): Profile {
  const expiresAt = new Date(Date.now() + (Number(expires_in) || 0) * 1_000).toISOString();
  return {
    host,
    email,
    access_token,
    access_expires_at: expiresAt,
    refresh_token,
    signed_in_at: signedInAt,
  };
}
