import { isRecord } from "./protocol.ts";

/** Kinds of tokens that are no job's, by the `typ` of their header (docs/security.md). */
const OTHER_KINDS: Readonly<Record<string, string>> = {
  "user+jwt": "an access token of a person who signed in",
  "refresh+jwt": "a refresh token",
  "api+jwt": "an API token",
  "password+jwt": "the token of a password link",
  "task+jwt": "the token of a single task",
};

/**
 * The kind of a credential that cannot be a job's token, by its shape alone; null where it can be one. The
 * server answers all of them alike.
 */
export function otherKindOf(token: string): string | null {
  if (/^(?:bencher|assay)_runner_/.test(token))
    return "the key of a runner, for --runner and --key";
  if (token.startsWith("bencher_user_")) return "the API key of a person";
  const typ = partOf(token, 0)?.typ;
  return typeof typ === "string" ? (OTHER_KINDS[typ.toLowerCase()] ?? null) : null;
}

/** Whether this is a runner's key by its shape. Older keys begin with the name of this project. */
export function isRunnerKey(key: string): boolean {
  return /^(?:bencher|assay)_runner_[A-Za-z0-9]{30}$/.test(key);
}

/** Whether this is a job's token by its shape. */
export function isJobToken(token: string): boolean {
  return partOf(token, 0)?.typ === "job+jwt";
}

/** Possible reasons why the server refuses a job's token. */
export function explainRefusal(token: string, now: number): string {
  const exp = partOf(token, 1)?.exp;
  if (typeof exp === "number" && exp * 1000 < now) {
    return `the token is valid until ${new Date(exp * 1000).toISOString()} only`;
  }
  return "the job of this token has ended or was deleted, or --host is not the server that made the token";
}

/** Header (0) or payload (1) of a JWT, unverified; null for anything else. */
function partOf(token: string, part: 0 | 1): Record<string, unknown> | null {
  try {
    const text = Buffer.from(token.split(".")[part] ?? "", "base64url").toString("utf8");
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}
