import type { z } from "@hono/zod-openapi";

/** How a field is shown to people: `include_display_names` and `GET /benchmarks`. */
export interface ResultField {
  display_name: string;
  /** Empty for a plain count. */
  unit: string;
}

export interface ResultContext {
  /** Rank of the node that sent the result. */
  rank: number;
  nodeCount: number;
  state: "completed" | "failed";
}

/** What a summary sees of one node: the digest of its result and how many GPUs it joined with. */
export interface NodeDigest {
  rank: number;
  gpuCount: number | null;
  digest: JsonObject;
}

export type JsonObject = { [key: string]: unknown };

/**
 * One benchmark of the catalogue. A new one is a file with this shape and one line in `catalogue.ts`.
 * Everything here is pure.
 */
export interface Benchmark {
  id: string;
  /** Shown to people, as `benchmark_name`. */
  name: string;
  description: string;
  /** `node`: each machine alone, as soon as it joins. `cluster`: all machines together, behind a barrier. */
  kind: "node" | "cluster";
  minNodes: number;
  /** Options on creation. Unknown keys are refused, so that a typing error is not silently ignored. */
  config: z.ZodType<JsonObject>;
  /**
   * What a node sends. Older field names come out as the new ones; unknown fields are kept, since
   * agents are older and newer than the server.
   */
  result: z.ZodType<JsonObject>;
  /** Rules that need to know who sent the result: the first broken one, or null. */
  checkResult(
    result: JsonObject,
    context: ResultContext,
  ): { field: string; message: string } | null;
  /** The part of a valid result that the summary needs; small, since it is read for every node. */
  digest(result: JsonObject): JsonObject;
  /** The figures of the whole job, or null when no node has measured anything. */
  summarize(nodes: readonly NodeDigest[], nodeCount: number): JsonObject | null;
  /** For cluster benchmarks: the summary with what each node sent, for `/results`; results by rank. */
  withDetails(summary: JsonObject, results: readonly JsonObject[]): JsonObject;
  /** For cluster benchmarks: which fields of the summary the job's detail shows (the page shows four). */
  detailFields: readonly string[];
  /** Display names and units of what is in results and summary. */
  fields: Readonly<Record<string, ResultField>>;
}
