/** The data of a report as JSON for others to read: canonical (RFC 8785), with the names and times of the API. */
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
    else yield wireJson(value);
  }
  yield "}";
}

function* listJson(items: readonly unknown[]): Generator<string> {
  let separator = "[";
  for (const item of items) {
    yield separator + wireJson(item);
    separator = ",";
  }
  yield items.length === 0 ? "[]" : "]";
}

/** Keys in snake case and sorted, times as text. Names of metrics are in snake case already. */
function wireJson(value: unknown, key = ""): string {
  if (typeof value === "number" && isTime(key)) return `"${new Date(value).toISOString()}"`;
  if (typeof value === "string") return JSON.stringify(value.toWellFormed());
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  if (Array.isArray(value)) return `[${value.map((item) => wireJson(item)).join()}]`;
  if (isLinkTable(value)) return wireJson(linksOf(value));
  const members = Object.entries(value).filter(([, inner]) => inner !== undefined);
  const named = members.map(([name, inner]) => [snakeCase(name), name, inner] as const);
  named.sort(([one], [other]) => (one < other ? -1 : 1));
  const texts = named.map(([wire, name, inner]) => `"${wire}":${wireJson(inner, name)}`);
  return `{${texts.join()}}`;
}

function isTime(key: string): boolean {
  return key === "at" || key.endsWith("At");
}

/** By key. All keys are the code's own, so there are few. */
const wireNames = new Map<string, string>();

function snakeCase(key: string): string {
  let name = wireNames.get(key);
  if (name === undefined) {
    name = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    wireNames.set(key, name);
  }
  return name;
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
