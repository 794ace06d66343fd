/**
 * The CUDA driver, as much of it as measuring takes. cuda-driver.ts calls the real one; the tests have one that runs the
 * kernels in their emulator.
 */
export interface GpuDescription {
  name: string;
  uuid: string;
  /** PCI address, such as `0000:17:00.0`. */
  busId: string;
  /** 10 × major + minor. */
  capability: number;
  multiprocessors: number;
  memoryBytes: number;
}

export type DeviceAddress = bigint;
export type HostAddress = bigint;
export type EventHandle = bigint;

/** An argument of a kernel. */
export type KernelArgument = readonly ["u32", number] | readonly ["u64", bigint | number];

export interface KernelLaunch {
  /** Blocks and threads, one-dimensional. */
  grid: number;
  threads: number;
  sharedBytes?: number;
  args: readonly KernelArgument[];
}

export interface Driver {
  /** Such as 13000 for CUDA 13.0. */
  readonly version: number;
  readonly gpus: readonly GpuDescription[];
  /** Makes a context, which takes some 100 MiB of the GPU's memory. */
  open(index: number): Gpu;
}

/** One GPU with its context and one stream, which all work here goes through. */
export interface Gpu {
  readonly description: GpuDescription;
  freeMemory(): number;
  allocate(bytes: number): DeviceAddress;
  free(address: DeviceAddress): void;
  /** Host memory that the GPU reads without the processor's help. */
  allocateHost(bytes: number): HostAddress;
  freeHost(address: HostAddress): void;
  /** Compiles PTX; the answer finds its kernels. */
  load(ptx: string): (name: string) => Kernel;
  copyToDevice(to: DeviceAddress, from: HostAddress, bytes: number): void;
  copyToHost(to: HostAddress, from: DeviceAddress, bytes: number): void;
  /** Lets this GPU and another one reach each other's memory; false where the machine does not allow it. */
  enablePeer(other: Gpu): boolean;
  copyToPeer(to: DeviceAddress, peer: Gpu, from: DeviceAddress, bytes: number): void;
  /** Waits for the stream, then copies. */
  read(address: DeviceAddress, bytes: number): Uint8Array;
  createEvent(): EventHandle;
  record(event: EventHandle): void;
  waitFor(event: EventHandle): void;
  elapsedMs(from: EventHandle, to: EventHandle): number;
  /** Waits until all work is done. */
  finish(): void;
  /** For calls of other libraries that use this context: makes it current and answers its stream. */
  enter(): bigint;
}

export interface Kernel {
  /** Binds the arguments once; each call launches. */
  bind(launch: KernelLaunch): () => void;
}

/** A call that the driver refused. */
export class CudaError extends Error {
  readonly call: string;
  readonly code: number;

  constructor(call: string, code: number, name: string) {
    super(`${call}: ${name} (${code})`);
    this.call = call;
    this.code = code;
  }

  /**
   * The context is lost, and with it all that was on its way: an uncorrectable memory error, an illegal access, a failed
   * launch, an unknown error.
   */
  get isFatal(): boolean {
    return this.code === 214 || (this.code >= 700 && this.code <= 799) || this.code === 999;
  }

  get isOutOfMemory(): boolean {
    return this.code === 2;
  }
}
