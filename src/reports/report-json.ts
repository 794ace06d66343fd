/** The data of a report as JSON for others to read: canonical (RFC 8785), with the names and times of the API. */
import { canonicalJson } from "../lib/json.ts";
import { DATA_FORMAT } from "./check/format.ts";
import { eachLink, type LinkTable } from "./link-table.ts";
import type { ReportData } from "./report-data.ts";

/**
 * The JSON in parts, so that no text of megabytes is made: the items of long lists one by one.
 *
 * @param hash the content hash printed in the report
 */
export function* reportJson(data: ReportData, hash: string): Generator<string> {
  const whole: Record<string, unknown> = { ...data, contentHash: hash, format: DATA_FORMAT };
  const members = Object.entries(whole).map(([key, value]) => [snakeCase(key), value] as const);
  // By UTF-16 units, as RFC 8785 sorts.
  members.sort(([one], [other]) => (one < other ? -1 : 1));
  let separator = "{";
  for (const [key, value] of members) {
    yield `${separator}${JSON.stringify(key)}:`;
    separator = ",";
    if (Array.isArray(value)) yield* listJson(value);
    else yield canonicalJson(toWire(value));
  }
  yield "}";
}

function* listJson(items: readonly unknown[]): Generator<string> {
  let separator = "[";
  for (const item of items) {
    yield separator + canonicalJson(toWire(item));
    separator = ",";
  }
  yield items.length === 0 ? "[]" : "]";
}

/** Keys in snake case and times as text. Names of metrics are in snake case already. */
function toWire(value: unknown, key = ""): unknown {
  if (typeof value === "number") return isTime(key) ? new Date(value).toISOString() : value;
  if (typeof value === "string") return value.toWellFormed();
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => toWire(item));
  if (isLinkTable(value)) return linksOf(value);
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [snakeCase(name), toWire(inner, name)]),
  );
}

function isTime(key: string): boolean {
  return key === "at" || key.endsWith("At");
}

function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function isLinkTable(value: object): value is LinkTable {
  return "numbers" in value && value.numbers instanceof Float64Array;
}

/** As rows of numbers: a large job has 65,000 links. */
function linksOf(table: LinkTable) {
  const rows: unknown[] = [];
  const failed: unknown[] = [];
  for (const { source, target, gbps, latencyMs, error } of eachLink(table)) {
    if (error === null) rows.push([source, target, gbps, latencyMs]);
    else failed.push({ source_rank: source, target_rank: target, error: error.toWellFormed() });
  }
  const columns = ["source_rank", "target_rank", "bandwidth_gbps", "latency_ms"];
  return { columns, rows, failed };
}
