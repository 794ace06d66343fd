import type { Benchmark, Measurer } from "../benchmarks/benchmark.ts";
import { cardGbpsOf, modelsByUuid } from "../benchmarks/gpus.ts";
import { INVENTORY } from "../lib/stored-json.ts";
import type { Node } from "./life/model.ts";
import type { CoordinatorStorage } from "./storage/storage.ts";

/**
 * The machine of a node, as far as its figures need it: which GPU is of which model matters only where there are several,
 * the network card only between nodes.
 */
export function measurerOf(
  storage: CoordinatorStorage,
  { rank, machine }: Node,
  { kind }: Pick<Benchmark, "kind">,
): Measurer {
  const { gpuModel, gpuCount, gpuModels } = machine;
  const isNeeded = gpuModels !== null || kind === "cluster";
  const bytes = isNeeded ? storage.body({ rank, position: INVENTORY, bytes: 0 }) : null;
  const inventory: unknown = bytes && JSON.parse(new TextDecoder().decode(bytes));
  return {
    hardware: { gpuModel, gpuCount, gpuModels },
    models: modelsByUuid(gpuModels && inventory),
    cardGbps: cardGbpsOf(inventory),
  };
}
