/** What the driver's management library, or its tool, knows of the GPUs. A reading that is not there is null, never 0. */

export interface Telemetry {
  driverVersion: string | null;
  /** The GPU at a PCI address, or null when the library does not know it. */
  gpu(busId: string): GpuTelemetry | null;
}

export interface GpuTelemetry {
  facts(): GpuFacts;
  /** Taken while the GPU works. */
  sample(): Sample;
  /** Processes that compute on this GPU; null where they are not shown. */
  processes(): GpuProcess[] | null;
  /** Percent. */
  utilization(): number | null;
  usedBytes(): number | null;
  /** Whether NVLink joins this GPU and the one at another PCI address. */
  isLinkedTo(busId: string): boolean | null;
}

export interface GpuProcess {
  pid: number;
  bytes: number | null;
}

/** Names as they are sent. */
export interface GpuFacts {
  uuid: string | null;
  serial: string | null;
  pci_address: string;
  pcie_max_generation: number | null;
  pcie_max_width: number | null;
  power_limit_watts: number | null;
  default_power_limit_watts: number | null;
  ecc: boolean | null;
  uncorrected_ecc_errors: number | null;
  remapped_rows: RemappedRows | null;
  mig: boolean | null;
  persistence: boolean | null;
  nvlink_links: number | null;
  nvlink_version: number | null;
  max_sm_mhz: number | null;
  max_memory_mhz: number | null;
}

/** Of a GPU that nothing is known of. */
export const NO_FACTS: Readonly<Omit<GpuFacts, "pci_address">> = {
  uuid: null,
  serial: null,
  pcie_max_generation: null,
  pcie_max_width: null,
  power_limit_watts: null,
  default_power_limit_watts: null,
  ecc: null,
  uncorrected_ecc_errors: null,
  remapped_rows: null,
  mig: null,
  persistence: null,
  nvlink_links: null,
  nvlink_version: null,
  max_sm_mhz: null,
  max_memory_mhz: null,
};

export interface RemappedRows {
  correctable: number;
  uncorrectable: number;
  pending: boolean;
  failed: boolean;
}

export interface Sample {
  watts: number | null;
  celsius: number | null;
  smMhz: number | null;
  memoryMhz: number | null;
  /** Idle links train down, so these hold under load only. */
  pcieGeneration: number | null;
  pcieWidth: number | null;
  /** Names of the reasons that hold clocks down, without idleness. */
  throttle: string[] | null;
}
