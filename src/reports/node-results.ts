/** The part of one node's results that a report shows, read from the bodies that its agent sent. Pure. */
import { boundFault } from "../benchmarks/bounds.ts";
import { linkFault } from "../benchmarks/cluster-network.ts";
import { type Hardware, modelOfTest, modelsByUuid } from "../benchmarks/gpus.ts";
import { hostMark } from "../benchmarks/host-mark.ts";
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
import { cutAt } from "../lib/text.ts";
import { readInventory } from "./inventory.ts";
import { type LinkTable, toLinkTable } from "./link-table.ts";
import { readMeasurement } from "./measurement.ts";
import type { HostFigures, QuickMarkFigures } from "./report-data.ts";

type JsonObject = Record<string, unknown>;

/** The part of one node's results that a report shows. */
export interface NodeResults {
  inventory: ReturnType<typeof readInventory>;
  quickMark: QuickMarkFigures | null;
  /** By position in the sequence. */
  hosts: Map<number, Omit<HostFigures, "key">>;
  /** Links of network steps, by position in the sequence. */
  links: Map<number, LinkTable>;
}

/** An identifier is cut to this many characters: a GPU's UUID has 40, a slice's 50. */
const MAX_ID = 64;

/** Equal texts as one: the nodes of a job have many paths and reasons in common. */
export function shareTexts(): (text: string) => string {
  const known = new Map<string, string>();
  return (text) => {
    const first = known.get(text);
    if (first === undefined) known.set(text, text);
    return first ?? text;
  };
}

/**
 * Reduces the results of one node, so that all results of a large job are never in memory together.
 *
 * @param share that of the whole job
 */
export function readNodeResults(
  sequence: readonly SequenceStep[],
  task: Hardware,
  bodies: readonly { position: number; text: string }[],
  share = shareTexts(),
): NodeResults {
  const inventory = bodies.find(({ position }) => position === INVENTORY)?.text ?? null;
  const read: NodeResults = {
    inventory: readInventory(inventory, share),
    quickMark: null,
    hosts: new Map(),
    links: new Map(),
  };
  for (const { position, text } of bodies) {
    if (position === INVENTORY) continue;
    // The value passed the benchmark's schema before it was stored.
    const value: JsonObject = JSON.parse(text);
    const id = sequence[position]?.benchmark_id;
    if (id === "quick_mark") {
      const models = modelsByUuid(inventory === null ? null : JSON.parse(inventory));
      read.quickMark = readQuickMark(value, task, models, share);
    }
    if (id === "host_mark") read.hosts.set(position, readHost(value, task, share));
    if (id === "cluster_network") read.links.set(position, readLinks(value));
  }
  return read;
}

/** A reason is cut to this many characters. */
const MAX_REASON = 300;

function readHost(
  value: JsonObject,
  hardware: Hardware,
  share: (text: string) => string,
): Omit<HostFigures, "key"> {
  const names = Object.keys(hostMark.fields);
  const reason = value.disk_reason;
  const measurement = objectOf(value.measurement);
  return {
    figures: Object.fromEntries(
      names.flatMap((name) => {
        const figure = numberOf(value[name]);
        return figure === null ? [] : [[name, figure]];
      }),
    ),
    implausible: Object.fromEntries(
      hostMark
        .implausible(value, { hardware, models: new Map() })
        .map(({ field, reason }) => [field, share(reason)]),
    ),
    diskReason: typeof reason === "string" ? share(cutAt(reason, MAX_REASON)) : null,
    isBusy: objectOf(measurement.conditions).busy === true,
    isSettled: typeof measurement.settled === "boolean" ? measurement.settled : null,
  };
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
  share: (text: string) => string,
): QuickMarkFigures {
  const sent = objectOf(value.aggregate_results);
  const tests: unknown[] = Array.isArray(value.test_results) ? value.test_results : [];
  const aggregate = readMetrics(sent);
  return {
    isReplayed: isReplayed(value),
    measuredAt: typeof value.timestamp === "string" ? value.timestamp : null,
    measurement: readMeasurement(value.measurement, share),
    aggregate,
    implausible: Object.fromEntries(
      findImplausible(
        aggregate,
        gpusBehind(hardware.gpuCount, tests.length),
        limitsOfNode(hardware),
      ),
    ),
    faults: implausibleFields(value, hardware, models).map(({ field, reason }) => ({
      field: share(field),
      reason: share(reason),
    })),
    gpus: tests.map((test) => {
      const gpu = objectOf(test);
      const figures = readMetrics(gpu);
      const id = typeof gpu.gpu_id === "string" ? cutAt(gpu.gpu_id, MAX_ID) : "not stated";
      const limits = limitsOf(modelOfTest(gpu, models) ?? hardware.gpuModel);
      const faults = [...findImplausible(figures, 1, limits)];
      const implausible = Object.fromEntries(faults.map(([name, why]) => [name, share(why)]));
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
