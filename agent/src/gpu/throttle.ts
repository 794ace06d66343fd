/** Why clocks are held down, by the bits of nvml.h; nvidia-smi prints the same number. */

const IDLE = 0x1;
const REASONS: readonly (readonly [number, string])[] = [
  [0x2, "applications_clocks"],
  [0x4, "sw_power_cap"],
  [0x8, "hw_slowdown"],
  [0x10, "sync_boost"],
  [0x20, "sw_thermal"],
  [0x40, "hw_thermal"],
  [0x80, "hw_power_brake"],
  [0x100, "display_clocks"],
];

/** Names of the bits; one that a newer driver adds is shown as its number. */
export function throttleReasons(mask: bigint): string[] {
  const known = REASONS.filter(([bit]) => (mask & BigInt(bit)) !== 0n);
  const rest = known.reduce((left, [bit]) => left & ~BigInt(bit), mask & ~BigInt(IDLE));
  return [...known.map(([, name]) => name), ...(rest === 0n ? [] : [`0x${rest.toString(16)}`])];
}
