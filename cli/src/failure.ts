import { EXIT, type ExitCode } from "./exit-codes.ts";

/** An expected end of the program: one sentence for people, and the exit code. */
export class Failure extends Error {
  readonly exitCode: ExitCode;
  /** The request's id, for the server's operator. */
  readonly requestId: string | undefined;
  /** Code of the API's error, such as `RESOURCE_NOT_FOUND`. */
  readonly code: string | undefined;
  readonly status: number | undefined;

  constructor(
    message: string,
    exitCode: ExitCode,
    more: { requestId?: string | undefined; code?: string; status?: number } = {},
  ) {
    super(message);
    this.exitCode = exitCode;
    this.requestId = more.requestId;
    this.code = more.code;
    this.status = more.status;
  }
}

/** A fault of the command line or the configuration. */
export const usage = (message: string) => new Failure(message, EXIT.usage);
export const denied = (message: string, more = {}) => new Failure(message, EXIT.denied, more);
export const unreachable = (message: string, more = {}) =>
  new Failure(message, EXIT.unreachable, more);
export const stopped = () => new Failure("stopped", EXIT.stopped);

/** The reason of a failed system call, such as "no such file or directory", without its code and the path, which may be a draft's. */
export function systemReason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/^[A-Z0-9]+: /, "").replace(/, \w+(?: '.*)?$/, "");
}
