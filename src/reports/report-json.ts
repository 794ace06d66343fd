/** The data of a report as JSON for others to read: canonical (RFC 8785), with the names and times of the API. */
import { isObject } from "../lib/json.ts";
import { DATA_FORMAT } from "./check/format.ts";
import { eachLink, type LinkTable } from "./link-table.ts";
import type { ReportData } from "./report-data.ts";

/** Links are written so many at a time. */
const PART_LINKS = 64;

/**
 * The JSON in parts, so that no text of megabytes is made: the items of long lists one by one, and links some at a time.
 *
 * @param hash the content hash printed in the report
 */
export function reportJson(data: ReportData, hash: string): Generator<string> {
  return membersJson({ ...data, contentHash: hash, format: DATA_FORMAT });
}

function* membersJson(value: object): Generator<string> {
  let separator = "{";
  for (const [wire, name, inner] of sortedMembers(value)) {
    yield `${separator}"${wire}":`;
    separator = ",";
    if (Array.isArray(inner)) yield* listJson(inner);
    else if (isLinkTable(inner)) yield* linksJson(inner);
    // A verdict has those of all nodes.
    else if (isObject(inner)) yield* membersJson(inner);
    else yield wireJson(inner, name);
  }
  yield separator === "{" ? "{}" : "}";
}

function* listJson(items: readonly unknown[]): Generator<string> {
  let separator = "[";
  for (const item of items) {
    yield separator;
    separator = ",";
    if (isObject(item) && isLinkTable(item.links)) yield* membersJson(item);
    else yield wireJson(item);
  }
  yield items.length === 0 ? "[]" : "]";
}

/** As rows of numbers: a large job has 65,000 links. */
function* linksJson(table: LinkTable): Generator<string> {
  const failed: unknown[] = [];
  for (const { source, target, error } of table.errors.length === 0 ? [] : eachLink(table)) {
    if (error !== null) failed.push({ sourceRank: source, targetRank: target, error });
  }
  yield `{"columns":["source_rank","target_rank","bandwidth_gbps","latency_ms"],"failed":${wireJson(failed)},"rows":`;
  let separator = "[";
  let rows = "";
  let count = 0;
  for (const { source, target, gbps, latencyMs, error } of eachLink(table)) {
    if (error !== null) continue;
    rows += `${separator}[${source},${target},${gbps},${latencyMs}]`;
    separator = ",";
    if (++count % PART_LINKS > 0) continue;
    yield rows;
    rows = "";
  }
  yield count === 0 ? "[]}" : `${rows}]}`;
}

/** Keys in snake case and sorted, times as text. Names of metrics are in snake case already. */
function wireJson(value: unknown, key = ""): string {
  if (typeof value === "number" && isTime(key)) return `"${new Date(value).toISOString()}"`;
  if (typeof value === "string") return JSON.stringify(value.toWellFormed());
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  if (Array.isArray(value)) return `[${value.map((item) => wireJson(item)).join()}]`;
  const texts = sortedMembers(value).map(
    ([wire, name, inner]) => `"${wire}":${wireJson(inner, name)}`,
  );
  return `{${texts.join()}}`;
}

/** By UTF-16 units of their names, as RFC 8785 sorts. */
function sortedMembers(value: object) {
  const members = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return members
    .map(([name, inner]): [wire: string, name: string, inner: unknown] => [
      snakeCase(name),
      name,
      inner,
    ])
    .sort(([one], [other]) => (one < other ? -1 : 1));
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

function isLinkTable(value: unknown): value is LinkTable {
  return isObject(value) && value.numbers instanceof Float64Array;
}
