/** From the form of a new job to the request, and from the server's faults back to its fields. Pure. */

import { splitTags } from "../../lib/list-query.ts";
import { fieldsOf, type Problem, readForm, type Typed } from "../../lib/schema-form.ts";
import type { Schemas } from "../../lib/schemas.ts";

type Benchmark = Schemas["Benchmark"];

export type SpecUse = "none" | "compare" | "run";

export interface Form {
  name: string;
  description: string;
  tags: string;
  nodes: string;
  /** Ids, in the catalogue's order. */
  benchmarks: readonly string[];
  /** By benchmark. */
  options: Readonly<Record<string, Typed>>;
  specUse: SpecUse;
  spec: string;
  provider: string;
  region: string;
  order: string;
}

export const EMPTY: Form = {
  name: "",
  description: "",
  tags: "",
  nodes: "1",
  benchmarks: ["quick_mark"],
  options: {},
  specUse: "none",
  spec: "",
  provider: "",
  region: "",
  order: "",
};

export type FormFault = Problem | { kind: "min_nodes"; benchmark: string; min: number };

/** By field: `nodes`, `spec`, or `host_mark.disk_mib`. */
export type FormFaults = Readonly<Record<string, FormFault>>;

export function readOrder(
  form: Form,
  catalogue: readonly Benchmark[],
): { order: Schemas["CreateJob"] } | { faults: FormFaults } {
  const chosen = catalogue.filter(({ id }) => form.benchmarks.includes(id));
  const faults: Record<string, FormFault> = {};
  const nodes = Number(form.nodes);
  const isCount = form.nodes.trim() !== "" && Number.isInteger(nodes) && nodes >= 1 && nodes <= 256;
  if (!isCount) faults.nodes = { kind: "range", min: 1, max: 256 };
  const greedy = chosen.find(({ min_nodes: min }) => isCount && nodes < min);
  if (greedy !== undefined) {
    faults.nodes = { kind: "min_nodes", benchmark: greedy.name, min: greedy.min_nodes };
  }
  if (form.specUse !== "none" && form.spec === "") faults.spec = { kind: "required" };
  const benchmarks = chosen.map(({ id: name, config_schema: schema }) => {
    const id = name as Schemas["BenchmarkId"]; // the catalogue's ids; the server checks them
    const reading = readForm(fieldsOf(schema), form.options[id] ?? {});
    if (!reading.ok) {
      for (const [name, fault] of Object.entries(reading.faults)) faults[`${id}.${name}`] = fault;
      return id;
    }
    return Object.keys(reading.value).length === 0
      ? id
      : { benchmark_id: id, config: reading.value };
  });
  if (Object.keys(faults).length > 0) return { faults };
  const orNull = (text: string) => (text.trim() === "" ? null : text.trim());
  return {
    order: {
      name: orNull(form.name),
      description: orNull(form.description),
      tags: splitTags(form.tags),
      node_count: nodes,
      benchmarks,
      provider: orNull(form.provider),
      region: orNull(form.region),
      order: orNull(form.order),
      ...(form.specUse === "run" ? { spec: form.spec } : {}),
      ...(form.specUse === "compare" ? { expected_spec: form.spec } : {}),
    },
  };
}

/** The form's field that a fault of the server is about: `benchmarks.1.config.disk_mib` is `host_mark.disk_mib`. */
export function fieldOfFault(path: string, benchmarks: readonly string[]): string {
  const option = /^benchmarks\.(\d+)\.config\.(.+)$/.exec(path);
  if (option !== null) return `${benchmarks[Number(option[1])]}.${option[2]}`;
  const [first = ""] = path.split(".");
  return { node_count: "nodes", expected_spec: "spec" }[first] ?? first;
}
