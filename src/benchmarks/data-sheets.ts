/**
 * What manufacturers promise of their GPUs: dense peak figures (no sparsity) of one GPU, as NVIDIA's data
 * sheets of the A100, H100, H200, L40S, L4 and A10 print them, collected in the project's reference
 * `gpu-figures.json`. For information, never a baseline: healthy machines reach 54–85 % of them.
 */
export interface DataSheet {
  bf16Tflops: number;
  /** TF32 on tensor cores, which QuickMark calls fp32. */
  tf32Tflops: number;
  /** True FP32. */
  fp32CudaCoreTflops: number;
  memoryBandwidthGbs: number;
}

const sheet = (
  bf16Tflops: number,
  tf32Tflops: number,
  fp32CudaCoreTflops: number,
  memoryBandwidthGbs: number,
): DataSheet => ({ bf16Tflops, tf32Tflops, fp32CudaCoreTflops, memoryBandwidthGbs });

/** By the name that the driver gives. */
export const DATA_SHEETS: ReadonlyMap<string, DataSheet> = new Map([
  ["NVIDIA A100-SXM4-40GB", sheet(312, 156, 19.5, 1_555)],
  ["NVIDIA A100-SXM4-80GB", sheet(312, 156, 19.5, 2_039)],
  ["NVIDIA A100-PCIE-40GB", sheet(312, 156, 19.5, 1_555)],
  ["NVIDIA H100 80GB HBM3", sheet(989, 494, 66.9, 3_350)],
  ["NVIDIA H100 NVL", sheet(835, 417, 60, 3_938)],
  ["NVIDIA H100 PCIe", sheet(756, 378, 51.2, 2_000)],
  ["NVIDIA H200", sheet(989, 494, 66.9, 4_800)],
  ["NVIDIA L40S", sheet(362, 183, 91.6, 864)],
  ["NVIDIA L4", sheet(121, 60, 30.3, 300)],
  ["NVIDIA A10", sheet(125, 62.5, 31.2, 600)],
]);

/** The data sheet of a GPU model; null of one that is not in the table. */
export function dataSheetOf(gpuModel: string | null): DataSheet | null {
  return gpuModel === null ? null : (DATA_SHEETS.get(gpuModel) ?? null);
}
