/** Where a job's machines were rented, and under which order. */
import type { FoldedOrigins } from "../lib/stored-json.ts";
import { foldedText } from "../lib/text.ts";
import type { NewJobRow } from "./creation-store.ts";

/** The kinds of labels in the search index, one letter each (db/schema/triggers.sql). */
export const ORIGIN_KINDS = { provider: "p", region: "r", order: "o" } as const;

export type Origin = keyof typeof ORIGIN_KINDS;

/** The three as a request or a filter names them; empty text is none. */
export type Origins = { [Name in Origin]?: string | null | undefined };

/** The columns of a new job. */
export function originColumns(
  given: Origins,
): Pick<NewJobRow, "provider" | "region" | "orderReference" | "foldedOrigins"> {
  const folded: FoldedOrigins = {};
  for (const [kind, text] of originLabels(given)) folded[kind] = text;
  return {
    provider: given.provider || null,
    region: given.region || null,
    orderReference: given.order || null,
    foldedOrigins: Object.keys(folded).length === 0 ? null : folded,
  };
}

/** The labels by which the search finds a job: the same text in another case has the same label. */
export function originLabels(given: Origins): [kind: keyof FoldedOrigins, text: string][] {
  return Object.entries(ORIGIN_KINDS).flatMap(([name, kind]): [keyof FoldedOrigins, string][] => {
    const value = given[name as Origin]; // the keys of ORIGIN_KINDS
    return value ? [[kind, foldedText(value)]] : [];
  });
}
