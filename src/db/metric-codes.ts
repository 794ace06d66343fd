/** Short codes of metrics, in which stored figures name them. */
import type { Form } from "./forms.ts";

/** Names of metrics; another name is stored as it is. */
const METRIC_CODES = new Map([
  ["bf16_tflops", "b16"],
  ["fp16_tflops", "f16"],
  ["fp32_tflops", "f32"],
  ["fp32_cuda_core_tflops", "cc"],
  ["mixed_precision_tflops", "mix"],
  ["memory_bandwidth_gbs", "mem"],
  ["l2_bandwidth_gbs", "l2"],
  ["kernel_launch_overhead_us", "kl"],
  ["host_to_device_bandwidth_gbs", "h2d"],
  ["device_to_host_bandwidth_gbs", "d2h"],
  ["allreduce_bandwidth_gbs", "ar"],
  ["broadcast_bandwidth_gbs", "bc"],
  ["bf16_tflops_per_peak_watt", "b16w"],
  ["fp16_tflops_per_peak_watt", "f16w"],
  ["fp32_tflops_per_peak_watt", "f32w"],
  ["mixed_precision_tflops_per_peak_watt", "mixw"],
  ["power_consumption_watts", "w"],
  ["temperature_centigrade", "t"],
  ["bandwidth_gbps", "net"],
]);
const METRIC_NAMES = new Map([...METRIC_CODES].map(([name, code]) => [code, name]));

export const metric: Form<string> = {
  pack: (name) => METRIC_CODES.get(name) ?? name,
  unpack: (packed) => METRIC_NAMES.get(String(packed)) ?? String(packed),
};

export function byMetric<T>(value: Form<T>): Form<Readonly<Record<string, T>>> {
  return {
    pack: (values) =>
      Object.fromEntries(
        Object.entries(values).map(([name, each]) => [metric.pack(name), value.pack(each)]),
      ),
    unpack: (packed) =>
      Object.fromEntries(
        Object.entries(packed as object).map(([code, each]) => [
          metric.unpack(code),
          value.unpack(each),
        ]),
      ),
  };
}
