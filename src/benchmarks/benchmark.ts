import type { z } from "@hono/zod-openapi";
import type { FieldFault } from "../lib/faults.ts";
import type { Implausible } from "../lib/stored-json.ts";
import type { Hardware } from "./gpus.ts";

/** Display name and unit of a field, for `include_display_names` and `GET /benchmarks`. */
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

/** One node in a summary: the digest of its result, and the GPUs that it had then. */
export interface NodeDigest extends Hardware {
  rank: number;
  digest: JsonObject;
}

/** The machine that measured. */
export interface Measurer {
  hardware: Hardware;
  /** The models of its GPUs by UUID, as its inventory has them. */
  models: ReadonlyMap<string, string>;
  /** The rate of the network card that other nodes reach it by, Gbit/s, for cluster benchmarks; null if it is not known. */
  cardGbps?: number | null;
}

export type JsonObject = { [key: string]: unknown };

/**
 * One benchmark of the catalogue. A new benchmark is a file with this shape and a line in `catalogue.ts`.
 * Everything here is pure.
 */
export interface Benchmark {
  id: string;
  /** The display name; `benchmark_name` in the API. */
  name: string;
  description: string;
  /** `node` runs on each machine alone, as soon as it joins; `cluster` on all together, after a barrier. */
  kind: "node" | "cluster";
  minNodes: number;
  /** A node that has completed it has measured something: its job no longer fails as a whole. */
  measuresNode: boolean;
  /** Options on creation of a job. Unknown keys are refused, so that a typo is not silently ignored. */
  config: z.ZodType<JsonObject>;
  /**
   * The result that a node sends. Older field names are renamed; unknown fields are kept, since agents may be newer
   * than the server.
   */
  result: z.ZodType<JsonObject>;
  /** The checks that depend on the sending node. Answers the first fault, or null. */
  checkResult(result: JsonObject, context: ResultContext): FieldFault | null;
  /** The part of a valid result that is needed for the summary; small, since it is read for every node. */
  digest(result: JsonObject, measurer: Measurer): JsonObject;
  /** The fields of a valid result that cannot be true; bounded. */
  implausible(result: JsonObject, measurer: Measurer): Implausible[];
  /** The figures of the whole job; null without any measurement. */
  summarize(nodes: readonly NodeDigest[], nodeCount: number): JsonObject | null;
  /** For cluster benchmarks: the list in a node's result that `/results` shows of all nodes, by rank; its items. */
  details: { name: string; of(result: JsonObject): readonly unknown[] } | null;
  /** For cluster benchmarks: the fields of the summary that the job's detail shows. */
  detailFields: readonly string[];
  /** Display names and units of the fields of results and summary. */
  fields: Readonly<Record<string, ResultField>>;
}
