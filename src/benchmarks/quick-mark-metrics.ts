import type { ResultField } from "./benchmark.ts";

export interface QuickMarkMetric extends ResultField {
  name: string;
  /** The sum over nodes has a meaning. */
  isAdditive: boolean;
  /** A throughput divided by the power reading. */
  isPerWatt: boolean;
}

const TFLOPS = "TFLOPS";
const GB_PER_SECOND = "GB/s";

/** All metrics of QuickMark, per GPU and per node, in the units that real agents send. */
export const QUICK_MARK_METRICS: readonly QuickMarkMetric[] = [
  additive("bf16_tflops", "BF16", TFLOPS),
  additive("fp16_tflops", "FP16", TFLOPS),
  additive("fp32_tflops", "FP32 (TF32 tensor cores)", TFLOPS),
  additive("fp32_cuda_core_tflops", "FP32 (CUDA cores)", TFLOPS),
  additive("mixed_precision_tflops", "Mixed precision", TFLOPS),
  additive("memory_bandwidth_gbs", "Memory bandwidth", GB_PER_SECOND),
  plain("l2_bandwidth_gbs", "L2 bandwidth", GB_PER_SECOND),
  plain("kernel_launch_overhead_us", "Kernel launch overhead", "µs"),
  additive("host_to_device_bandwidth_gbs", "Host to device", GB_PER_SECOND),
  additive("device_to_host_bandwidth_gbs", "Device to host", GB_PER_SECOND),
  plain("allreduce_bandwidth_gbs", "All-reduce", GB_PER_SECOND),
  plain("broadcast_bandwidth_gbs", "Broadcast", GB_PER_SECOND),
  perWatt("bf16_tflops_per_peak_watt", "BF16"),
  perWatt("fp16_tflops_per_peak_watt", "FP16"),
  perWatt("fp32_tflops_per_peak_watt", "FP32"),
  perWatt("mixed_precision_tflops_per_peak_watt", "Mixed precision"),
  additive("power_consumption_watts", "Power", "W"),
  plain("temperature_centigrade", "Temperature", "°C"),
];

function additive(name: string, display_name: string, unit: string): QuickMarkMetric {
  return { name, display_name, unit, isAdditive: true, isPerWatt: false };
}

function plain(name: string, display_name: string, unit: string): QuickMarkMetric {
  return { name, display_name, unit, isAdditive: false, isPerWatt: false };
}

function perWatt(name: string, throughput: string): QuickMarkMetric {
  const display_name = `${throughput} per watt`;
  return { name, display_name, unit: "TFLOPS/W", isAdditive: false, isPerWatt: true };
}

/** Figures by metric; a metric that was not measured is absent. */
export type Figures = Readonly<Record<string, number>>;

/** The known metrics of an agent's figures, in the order above, without values that are no finite numbers. */
export function readMetrics(sent: Readonly<Record<string, unknown>>): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const { name } of QUICK_MARK_METRICS) {
    const figure = sent[name];
    if (typeof figure === "number" && Number.isFinite(figure)) figures[name] = figure;
  }
  return figures;
}
