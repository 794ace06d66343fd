/** Figures of a job in the form its tables have. Pure: what agents sent may have any shape. */

export type Json = Readonly<Record<string, unknown>>;

export function objectOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json) // JSON: keys are strings
    : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function textOf(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

export interface Figure {
  name: string;
  value: number;
  /** Width of the middle 80 % of its samples, as a share of their median; null where nothing was said of it. */
  spread: number | null;
  /** False: it still changed when the time was up. */
  isSettled: boolean | null;
  /** Reason why it cannot be true. */
  implausible: string | null;
  method: string | null;
}

interface Step {
  results: unknown;
  implausible: readonly { field: string; reason: string }[];
}

/** Names of figures that stand in tables of their own. */
const APART = new Set(["gpu_id", "gpu_bandwidth_matrix"]);

/** The figures of a node as a whole, in the catalogue's order, then the unknown ones. */
export function nodeFigures(step: Step, order: readonly string[]): Figure[] {
  const results = objectOf(step.results);
  const hasAggregate = typeof results.aggregate_results === "object";
  const sent = hasAggregate ? objectOf(results.aggregate_results) : results;
  const prefix = hasAggregate ? "aggregate_results." : "";
  const measurement = objectOf(results.measurement);
  const names = Object.keys(sent).filter(
    (name) => !APART.has(name) && numberOf(sent[name]) !== null,
  );
  const rank = (name: string) => (order.indexOf(name) + order.length + 1) % (order.length + 1);
  return names
    .toSorted((a, b) => rank(a) - rank(b))
    .map((name) => {
      const quality = objectOf(objectOf(measurement.quality)[name]);
      const fault = step.implausible.find(({ field }) => field === prefix + name);
      return {
        name,
        value: numberOf(sent[name]) ?? 0,
        spread: numberOf(quality.spread),
        isSettled: typeof quality.settled === "boolean" ? quality.settled : null,
        implausible: fault?.reason ?? null,
        method: textOf(objectOf(measurement.methods)[name]),
      };
    });
}

export interface GpuRow {
  id: string;
  figures: Json;
  /** What its sensors said while it was measured. */
  facts: Json;
}

/** The GPUs of a node, one by one. */
export function gpuRows(results: unknown): GpuRow[] {
  const sent = objectOf(results);
  const facts = listOf(objectOf(objectOf(sent.measurement).conditions).facts);
  const tests = listOf(sent.test_results);
  return Array.from({ length: Math.max(facts.length, tests.length) }, (_, gpu) => {
    const figures = objectOf(tests[gpu]);
    const of = objectOf(facts[gpu]);
    return { id: textOf(figures.gpu_id) ?? textOf(of.uuid) ?? `GPU ${gpu}`, figures, facts: of };
  });
}

export interface GpuPair {
  from: string;
  to: string;
  type: string | null;
  simplex: number | null;
  duplex: number | null;
}

/** The bandwidth between each two GPUs of a node. */
export function gpuPairs(results: unknown): GpuPair[] {
  const matrix = objectOf(objectOf(objectOf(results).aggregate_results).gpu_bandwidth_matrix);
  return Object.entries(matrix).flatMap(([name, sent]) => {
    const [from, to] = name.split("_to_");
    if (from === undefined || to === undefined) return [];
    const pair = objectOf(sent);
    return [
      {
        from,
        to,
        type: textOf(pair.connection_type),
        simplex: numberOf(pair.simplex_gbs),
        duplex: numberOf(pair.duplex_gbs),
      },
    ];
  });
}

/** An inventory as dotted names and values, in the order the machine sent them. */
export function flatten(value: unknown, name = ""): [name: string, value: string][] {
  if (Array.isArray(value) && value.every((each) => typeof each !== "object")) {
    return [[name, value.length === 0 ? "–" : value.join(", ")]];
  }
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).flatMap(([key, inner]) =>
      flatten(inner, name === "" ? key : `${name}.${key}`),
    );
  }
  return [[name, value === null || value === "" ? "–" : String(value)]];
}
