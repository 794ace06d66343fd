import { quickMark } from "../../../benchmarks/quick-mark.ts";
import { label } from "../writing.ts";

export function metricName(metric: string): string {
  return quickMark.fields[metric]?.display_name ?? label(metric);
}

export function metricUnit(metric: string): string {
  return quickMark.fields[metric]?.unit ?? "";
}

const NAMES = Object.keys(quickMark.fields)
  .sort((a, b) => b.length - a.length)
  .join("|");
/** The name of a metric, and the figure behind it. */
const FIGURES = new RegExp(`\\b(${NAMES})\\b(?:((?: per GPU)?:? )(\\d+(?:\\.\\d+)?)\\b)?`, "g");

/** A text with metrics as people write them: `bf16_tflops per GPU 94` is "BF16 per GPU 94 TFLOPS". */
export function withMetricNames(text: string): string {
  return text.replaceAll(FIGURES, (_, metric: string, between = "", value = "") => {
    // Within a sentence, words are small; abbreviations stay.
    const name = metricName(metric).replace(/^[A-Z](?=[a-z])/, (first) => first.toLowerCase());
    return value === "" ? name : `${name}${between}${value} ${metricUnit(metric)}`.trimEnd();
  });
}

/** Columns of the tables by GPU: metrics with short titles. */
export const GPU_COLUMNS: readonly (readonly [metric: string, title: string])[] = [
  ["bf16_tflops", "BF16"],
  ["fp16_tflops", "FP16"],
  ["fp32_tflops", "TF32"],
  ["fp32_cuda_core_tflops", "FP32"],
  ["mixed_precision_tflops", "Mixed"],
  ["memory_bandwidth_gbs", "Memory"],
  ["l2_bandwidth_gbs", "L2"],
  ["host_to_device_bandwidth_gbs", "To GPU"],
  ["device_to_host_bandwidth_gbs", "To host"],
  ["kernel_launch_overhead_us", "Launch"],
  ["power_consumption_watts", "Power"],
  ["temperature_centigrade", "Temp."],
];

export const PER_WATT_COLUMNS: readonly (readonly [metric: string, title: string])[] = [
  ["bf16_tflops_per_peak_watt", "BF16"],
  ["fp16_tflops_per_peak_watt", "FP16"],
  ["fp32_tflops_per_peak_watt", "FP32 (TF32)"],
  ["mixed_precision_tflops_per_peak_watt", "Mixed"],
];
