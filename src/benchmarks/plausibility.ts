/** Telemetry of QuickMark that cannot be true, and why. Per-watt figures from such readings are nonsense. */

/**
 * No data-centre GPU draws less than this while it multiplies matrices; most idle above it. Real hosts
 * have reported 4.64 W for one GPU and 41.7 W for eight.
 */
const MIN_LOADED_WATTS_PER_GPU = 20;
/** The most power-hungry GPU of 2026 is specified at less than half of it. */
const MAX_WATTS_PER_GPU = 5_000;
/** Dense half-precision throughput per watt is between 0.4 and 3 on the data sheets of 2020 to 2026. */
const MAX_TFLOPS_PER_WATT = 10;

/**
 * Why a node's power reading cannot be true; null when it can, or when there is none.
 *
 * @param figures of the whole node
 * @param gpus how many share the reading
 */
export function powerFault(
  { power_consumption_watts: watts, bf16_tflops: tflops }: Readonly<Record<string, number>>,
  gpus: number,
): string | null {
  if (watts === undefined) return null;
  if (watts < MIN_LOADED_WATTS_PER_GPU * gpus) {
    return `${watts} W for ${plural(gpus, "GPU")} under load cannot be true: far below what they draw when idle`;
  }
  if (watts > MAX_WATTS_PER_GPU * gpus) {
    return `${watts} W for ${plural(gpus, "GPU")} cannot be true: more than any GPU draws`;
  }
  if (tflops !== undefined && tflops > MAX_TFLOPS_PER_WATT * watts) {
    return `${watts} W for ${tflops} BF16 TFLOPS cannot be true: no GPU is that efficient`;
  }
  return null;
}

/** Why a figure per watt cannot be true; null when it can. */
export function perWattFault(tflopsPerWatt: number): string | null {
  if (tflopsPerWatt > 0 && tflopsPerWatt <= MAX_TFLOPS_PER_WATT) return null;
  return `${tflopsPerWatt} TFLOPS per watt cannot be true`;
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
