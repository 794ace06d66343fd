/** Measurements on the fake driver, with kernels that really run. */
import { ptxEngine } from "../../../agent/src/gpu/engine.ts";
import type { RunWorld } from "../../../agent/src/gpu/measure-step.ts";
import type { ProbeMessage, Results } from "../../../agent/src/gpu/messages.ts";
import { SIZES, type Sizes } from "../../../agent/src/gpu/plan.ts";
import { COPY_GRANULE } from "../../../agent/src/gpu/ptx.ts";
import { runMeasurement } from "../../../agent/src/gpu/run.ts";
import type {
  GpuFacts,
  GpuTelemetry,
  Sample,
  Telemetry,
} from "../../../agent/src/gpu/telemetry.ts";
import { type FakeDriver, type FakeOptions, fakeDriver } from "./fake-driver.ts";

/** What the emulator computes in a moment. */
export const SMALL: Sizes = {
  ...SIZES,
  gemm: 256,
  copy: [2 * COPY_GRANULE],
  hostCopy: 1_000,
  peerCopy: 1_000,
  fmaIterations: 1,
  fmaBlocks: 1,
  holdIterations: 1,
};

export interface Ran {
  messages: ProbeMessage[];
  driver: FakeDriver;
  /** Host time of each message, in ms. */
  times: number[];
  end: ProbeMessage | undefined;
  /** Of the result, or the last partial ones. */
  results: Results;
  /** Known parts of `measurement`. */
  measurement: Measurement;
}

export interface Measurement {
  partial?: true;
  methods: Record<string, string>;
  quality: Record<string, Record<string, unknown>>;
  conditions: Record<string, unknown> & { facts: Record<string, unknown>[] };
  checks: Record<string, unknown>;
  faults: { metric: string; gpu: number | null; code: string; message: string }[];
}

/** A machine with the fake driver. */
export function fakeWorld(
  options: FakeOptions,
  emit: (message: ProbeMessage) => void,
): RunWorld & { driver: FakeDriver } {
  const driver = fakeDriver({ copyGbs: 0.002, ...options });
  return {
    driver,
    telemetry: null,
    engines: [{ name: "own", open: ptxEngine }],
    ffi: "fake 1",
    busyOk: false,
    sizes: SMALL,
    now: driver.now,
    timestamp: () => "2026-11-29T00:00:00.000Z",
    emit,
  };
}

export function measure(options: FakeOptions = {}, world: Partial<RunWorld> = {}): Ran {
  const messages: ProbeMessage[] = [];
  const times: number[] = [];
  const machine = fakeWorld(options, (message) => {
    messages.push(message);
    times.push(machine.driver.now());
  });
  const { driver } = machine;
  runMeasurement({ ...machine, ...world });
  const results = messages.reduce<Results>(
    (last, message) => ("results" in message ? message.results : last),
    {},
  );
  return {
    messages,
    driver,
    times,
    end: messages.at(-1),
    results,
    measurement: results.measurement as Measurement, // `as`: results.ts writes it
  };
}

export const SAMPLE: Sample = {
  watts: 391.2,
  celsius: 61,
  smMhz: 1_410,
  memoryMhz: 1_593,
  pcieGeneration: 4,
  pcieWidth: 16,
  throttle: [],
};

export const FACTS: GpuFacts = {
  uuid: "GPU-00000000-0000-4000-8000-000000000001",
  serial: "1320000000000",
  pci_address: "0000:01:00.0",
  pcie_max_generation: 4,
  pcie_max_width: 16,
  power_limit_watts: 400,
  default_power_limit_watts: 400,
  ecc: true,
  uncorrected_ecc_errors: 0,
  remapped_rows: { correctable: 0, uncorrectable: 0, pending: false, failed: false },
  mig: false,
  persistence: true,
  nvlink_links: 12,
  nvlink_version: 3,
  max_sm_mhz: 1_410,
  max_memory_mhz: 1_593,
};

export function telemetryOf(of: Partial<GpuTelemetry> = {}): Telemetry {
  return {
    driverVersion: "580.159.04",
    gpu: (busId) => ({
      facts: () => ({ ...FACTS, pci_address: busId }),
      sample: () => SAMPLE,
      processes: () => [],
      utilization: () => 0,
      usedBytes: () => 500 * 2 ** 20,
      isLinkedTo: () => true,
      ...of,
    }),
  };
}
