/** The terms by which lists find machines (`machines_indexed` in db/schema/triggers.sql). */
import { normalizeModel } from "../benchmarks/models.ts";
import { INDEXED_SEARCH_LENGTH } from "../db/named-search.ts";
import { labelPrefix, type Scope } from "../identity/actor.ts";
import type { PerformanceStatus, SpecCheckStatus } from "../lib/enums.ts";
import { foldedText } from "../lib/text.ts";

export interface MachineFilter {
  /** In any common spelling. */
  gpuModel?: string | undefined;
  /** In any case, as `region`. */
  provider?: string | undefined;
  region?: string | undefined;
  status?: PerformanceStatus | undefined;
  specCheck?: SpecCheckStatus | undefined;
  hasFindings?: true | undefined;
}

/** The labels that a machine must have, one for each filter: without any, that of all machines of the scope. */
export function labelsOf(scope: Scope, filter: MachineFilter): string[] {
  const { gpuModel, provider, region, status, specCheck, hasFindings } = filter;
  const model = gpuModel === undefined ? undefined : (normalizeModel(gpuModel) ?? "");
  const kinds: [kind: string, text: string | undefined][] = [
    ["g", model],
    ["p", provider && foldedText(provider)],
    ["r", region && foldedText(region)],
    ["s", status],
    ["x", specCheck],
    ["f", hasFindings && ""],
  ];
  const prefix = labelPrefix(scope);
  const labels = kinds.flatMap(([kind, text]) =>
    text === undefined ? [] : [`${prefix}${kind}${hexOf(text)}`],
  );
  return labels.length === 0 ? [prefix] : labels;
}

/** The terms of a part of a host name: each three characters of it; none for a shorter part. */
export function nameTerms(part: string): string[] {
  const letters = [...part.replace(/[A-Z]+/g, (upper) => upper.toLowerCase())];
  const starts = letters.slice(0, Math.max(0, letters.length - INDEXED_SEARCH_LENGTH + 1));
  const terms = starts.map(
    (_, at) => `n${hexOf(letters.slice(at, at + INDEXED_SEARCH_LENGTH).join(""))}`,
  );
  return [...new Set(terms)];
}

/** As SQLite writes it. */
function hexOf(text: string): string {
  return Buffer.from(text).toString("hex").toUpperCase();
}
