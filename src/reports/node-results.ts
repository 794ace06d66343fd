/** The part of one node's results that a report shows, read from the bodies that its agent sent. Pure. */
import { boundFault } from "../benchmarks/bounds.ts";
import { linkFault } from "../benchmarks/cluster-network.ts";
import { type Hardware, modelOfTest, modelsByUuid } from "../benchmarks/gpus.ts";
import { isReplayed } from "../benchmarks/measurement.ts";
import {
  findImplausible,
  gpusBehind,
  implausibleFields,
  limitsOf,
  limitsOfNode,
} from "../benchmarks/plausibility.ts";
import { readMetrics } from "../benchmarks/quick-mark-metrics.ts";
import { INVENTORY, type SequenceStep } from "../lib/stored-json.ts";
import { readInventory } from "./inventory.ts";
import { type LinkTable, toLinkTable } from "./link-table.ts";
import type { QuickMarkFigures } from "./report-data.ts";

type JsonObject = Record<string, unknown>;

/** The part of one node's results that a report shows. */
export interface NodeResults {
  inventory: ReturnType<typeof readInventory>;
  quickMark: QuickMarkFigures | null;
  /** Links of network steps, by position in the sequence. */
  links: Map<number, LinkTable>;
}

/** Reduces the results of one node, so that all results of a large job are never in memory together. */
export function readNodeResults(
  sequence: readonly SequenceStep[],
  task: Hardware,
  bodies: readonly { position: number; text: string }[],
): NodeResults {
  const inventory = bodies.find(({ position }) => position === INVENTORY)?.text ?? null;
  const read: NodeResults = {
    inventory: readInventory(inventory),
    quickMark: null,
    links: new Map(),
  };
  for (const { position, text } of bodies) {
    if (position === INVENTORY) continue;
    // The value passed the benchmark's schema before it was stored.
    const value: JsonObject = JSON.parse(text);
    const id = sequence[position]?.benchmark_id;
    if (id === "quick_mark") {
      const models = modelsByUuid(inventory === null ? null : JSON.parse(inventory));
      read.quickMark = readQuickMark(value, task, models);
    }
    if (id === "cluster_network") read.links.set(position, readLinks(value));
  }
  return read;
}

/** By target. */
function readLinks(value: JsonObject): LinkTable {
  const list = Array.isArray(value.measurements) ? value.measurements : [];
  list.sort((a, b) => a.target_rank - b.target_rank);
  return toLinkTable(
    list.map((link) => {
      const fault = link.error ?? linkFault(link);
      const error = typeof fault === "string" ? fault : null;
      return {
        source: link.source_rank,
        target: link.target_rank,
        gbps: error === null ? link.bandwidth_gbps : null,
        latencyMs: error === null ? link.latency_ms : 0,
        error,
      };
    }),
  );
}

function readQuickMark(
  value: JsonObject,
  hardware: Hardware,
  models: ReadonlyMap<string, string>,
): QuickMarkFigures {
  const sent = objectOf(value.aggregate_results);
  const tests: unknown[] = Array.isArray(value.test_results) ? value.test_results : [];
  const aggregate = readMetrics(sent);
  return {
    isReplayed: isReplayed(value),
    measuredAt: typeof value.timestamp === "string" ? value.timestamp : null,
    aggregate,
    implausible: Object.fromEntries(
      findImplausible(
        aggregate,
        gpusBehind(hardware.gpuCount, tests.length),
        limitsOfNode(hardware),
      ),
    ),
    faults: implausibleFields(value, hardware, models),
    gpus: tests.map((test) => {
      const gpu = objectOf(test);
      const figures = readMetrics(gpu);
      const id = typeof gpu.gpu_id === "string" ? gpu.gpu_id : "not stated";
      const limits = limitsOf(modelOfTest(gpu, models) ?? hardware.gpuModel);
      const implausible = Object.fromEntries(findImplausible(figures, 1, limits));
      return { id, figures, implausible };
    }),
    pairs: Object.entries(objectOf(sent.gpu_bandwidth_matrix)).flatMap(([name, pair]) => {
      const [from, to] = name.split("_to_");
      if (from === undefined || to === undefined) return [];
      const { connection_type: type, duplex_gbs: duplex, simplex_gbs: simplex } = objectOf(pair);
      return [
        {
          from,
          to,
          type: typeof type === "string" ? type : null,
          duplex: plausible("duplex_gbs", duplex),
          simplex: plausible("simplex_gbs", simplex),
        },
      ];
    }),
  };
}

function objectOf(value: unknown): JsonObject {
  return typeof value === "object" && value !== null ? (value as JsonObject) : {}; // JSON: keys are strings
}

function plausible(field: string, value: unknown): number | null {
  return boundFault(field, value, 1) === null ? numberOf(value) : null;
}

/** A number that JSON can hold, or null. */
export function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
