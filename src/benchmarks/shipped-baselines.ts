/** Baselines shipped with the project, so that a server's first machine can be rated. */
import type { RatedMetric } from "../lib/enums.ts";
import { normalizeModel } from "./models.ts";

/** Origin of the figures, as shown to users. */
export const SHIPPED_SOURCE =
  "QuickMark runs on rented machines, posted publicly, December 2025; per GPU: a node's aggregate divided by its GPU count";

/** Figures of recorded runs of real machines, which ship with the project. */
export interface ShippedBaseline {
  min: number;
  median: number;
  max: number;
  runs: number;
}

export type ShippedModel = { gpuModel: string } & Readonly<Record<RatedMetric, ShippedBaseline>>;

const measured = (
  gpuModel: string,
  runs: number,
  bf16: readonly [min: number, median: number, max: number],
  memory: readonly [min: number, median: number, max: number],
): ShippedModel => {
  const of = ([min, median, max]: readonly [number, number, number]) => ({
    min,
    median,
    max,
    runs,
  });
  return { gpuModel, bf16_tflops: of(bf16), memory_bandwidth_gbs: of(memory) };
};

/** BF16 in TFLOPS, memory bandwidth in GB/s, each as smallest, median and largest run. Models as named by drivers. */
export const SHIPPED_BASELINES: readonly ShippedModel[] = [
  measured("NVIDIA A100-SXM4-40GB", 12, [148.9, 255.5, 276.4], [1_320, 1_371, 1_391]),
  measured("NVIDIA A100-SXM4-80GB", 12, [258.4, 265.2, 285.8], [1_603, 1_740, 1_753]),
  measured("NVIDIA H100 80GB HBM3", 17, [686.8, 708.9, 731.5], [2_571, 2_972, 3_025]),
  measured("NVIDIA A100-PCIE-40GB", 1, [208.8, 208.8, 208.8], [1_384, 1_384, 1_384]),
  measured("NVIDIA H100 NVL", 1, [452.2, 452.2, 452.2], [3_254, 3_254, 3_254]),
];

/** Shipped baselines by normalised model. */
export const SHIPPED: ReadonlyMap<string, ShippedModel> = new Map(
  SHIPPED_BASELINES.map((model) => [normalizeModel(model.gpuModel) ?? "", model]),
);
