import { normalizeModel } from "./models.ts";

/**
 * Peak figures of one GPU, dense (no sparsity), from NVIDIA's data sheets of the A100, H100, H200, L40S, L4 and
 * A10. The bound of plausible figures (`plausibility.ts`), but never a baseline: healthy machines reach 54–85 % of
 * them.
 */
export interface DataSheet {
  /** The driver's name of the model. */
  gpuModel: string;
  bf16Tflops: number;
  /** TF32 on tensor cores; `fp32_tflops` in QuickMark. */
  tf32Tflops: number;
  /** FP32 without tensor cores. */
  fp32CudaCoreTflops: number;
  memoryBandwidthGbs: number;
}

const sheet = (
  gpuModel: string,
  bf16Tflops: number,
  tf32Tflops: number,
  fp32CudaCoreTflops: number,
  memoryBandwidthGbs: number,
): DataSheet => ({ gpuModel, bf16Tflops, tf32Tflops, fp32CudaCoreTflops, memoryBandwidthGbs });

const SHEETS = [
  sheet("NVIDIA A100-SXM4-40GB", 312, 156, 19.5, 1_555),
  sheet("NVIDIA A100-SXM4-80GB", 312, 156, 19.5, 2_039),
  sheet("NVIDIA A100-PCIE-40GB", 312, 156, 19.5, 1_555),
  sheet("NVIDIA H100 80GB HBM3", 989, 494, 66.9, 3_350),
  sheet("NVIDIA H100 NVL", 835, 417, 60, 3_938),
  sheet("NVIDIA H100 PCIe", 756, 378, 51.2, 2_000),
  sheet("NVIDIA H200", 989, 494, 66.9, 4_800),
  sheet("NVIDIA L40S", 362, 183, 91.6, 864),
  sheet("NVIDIA L4", 121, 60, 30.3, 300),
  sheet("NVIDIA A10", 125, 62.5, 31.2, 600),
];

/** Data sheets by normalised model. */
export const DATA_SHEETS: ReadonlyMap<string, DataSheet> = new Map(
  SHEETS.map((each) => [normalizeModel(each.gpuModel) ?? "", each]),
);

/** The data sheet of a GPU model, in any common spelling; null for a model that is not in the table. */
export function dataSheetOf(gpuModel: string | null): DataSheet | null {
  return DATA_SHEETS.get(normalizeModel(gpuModel) ?? "") ?? null;
}
