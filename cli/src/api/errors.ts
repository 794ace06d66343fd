import { EXIT, type ExitCode } from "../exit-codes.ts";
import { Failure } from "../failure.ts";
import { plain } from "../output/text.ts";
import { showDuration } from "../values/time.ts";
import { retryAfterMs } from "./transport.ts";

/** What to do about an error, by its code. The message itself names the field or the resource. */
const ADVICE: Readonly<Record<string, string>> = {
  CLIENT_TOKEN_INVALID: "sign in with assay login, or give another token",
  PERMISSION_DENIED: "assay status shows what this token may do",
  RESOURCE_NOT_FOUND: "use the list verb to see what exists",
  PRECONDITION_FAILED: "someone else has changed it: view it again",
  SERVICE_UNAVAILABLE: "try again shortly",
  INTERNAL_ERROR: "the server's operator can find the cause with the request id",
};

/** Turns an error reply into its end of the program: 77 not signed in or not allowed, 69 no service, else 1. */
export function failureOf(reply: Response, body: unknown): Failure {
  const { code, message, details } = readError(body);
  const requestId = reply.headers.get("x-request-id") ?? undefined;
  const advice = adviceFor(code, reply);
  const fields = details.filter((detail) => !message.includes(detail));
  const sentence = [message || `the server answered ${reply.status}`, ...fields].join("; ");
  const text = `${sentence.replace(/\.$/, "")}${advice === undefined ? "" : `: ${advice}`}`;
  const more = { requestId, status: reply.status, ...(code === "" ? {} : { code }) };
  return new Failure(plain(text), exitCodeOf(reply.status), more);
}

function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403) return EXIT.denied;
  return [429, 502, 503, 504].includes(status) ? EXIT.unreachable : EXIT.failed;
}

function adviceFor(code: string, reply: Response): string | undefined {
  if (reply.status === 429) {
    const pause = retryAfterMs(reply);
    return pause === null ? "try again later" : `try again in ${showDuration(pause / 1_000)}`;
  }
  return ADVICE[code];
}

interface ReadError {
  code: string;
  message: string;
  details: string[];
}

/** Reads the API's error body, that of /token (RFC 6749), and anything else that a proxy may send. */
function readError(body: unknown): ReadError {
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  if (typeof body !== "object" || body === null) return { code: "", message: "", details: [] };
  const { error, message, error_description } = body as Record<string, unknown>;
  if (typeof error !== "object" || error === null) {
    return { code: text(error), message: text(error_description) || text(message), details: [] };
  }
  const { code, message: inner, details } = error as Record<string, unknown>;
  const named = Array.isArray(details) ? details.slice(0, 20) : [];
  return {
    code: text(code),
    message: text(inner),
    details: named.map(({ field, message }) => `${text(field)} ${text(message)}`.trim()),
  };
}
