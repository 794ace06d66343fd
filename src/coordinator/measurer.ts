import type { Measurer } from "../benchmarks/benchmark.ts";
import { modelsByUuid } from "../benchmarks/gpus.ts";
import { INVENTORY } from "../lib/stored-json.ts";
import type { Node } from "./life/model.ts";
import type { CoordinatorStorage } from "./storage/storage.ts";

/** The machine of a node, as far as its figures need it: which GPU is of which model matters only where there are several. */
export function measurerOf(storage: CoordinatorStorage, { rank, machine }: Node): Measurer {
  const { gpuModel, gpuCount, gpuModels } = machine;
  const inventory = gpuModels && storage.body({ rank, position: INVENTORY, bytes: 0 });
  const models = modelsByUuid(inventory && JSON.parse(new TextDecoder().decode(inventory)));
  return { hardware: { gpuModel, gpuCount, gpuModels }, models };
}
