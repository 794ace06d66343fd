export type LogLevel = "info" | "warn" | "error";

/** Snake_case names and JSON values; never a token, a body or a secret. */
export interface LogFields {
  level?: never;
  event?: never;
  [name: string]: unknown;
}

const METHODS = { info: "log", warn: "warn", error: "error" } as const;

/**
 * Writes one line of JSON, `{"level", "event", …fields}`: the same shape everywhere, so that a query can
 * ask for events. The platform bills each line.
 *
 * @param event what happened, a value in snake_case such as `request` or `report_failed`
 */
export function logEvent(level: LogLevel, event: string, fields: LogFields = {}): void {
  console[METHODS[level]](JSON.stringify({ level, event, ...fields }));
}
