/** GPUs by the CUDA driver API. */

import { cleaned } from "../gpus/rows.ts";
import { clip } from "../log.ts";
import { type CallName, type Calls, checkedCalls, cText } from "./cuda-calls.ts";
import { compiler } from "./cuda-modules.ts";
import {
  CudaError,
  type Driver,
  type Gpu,
  type GpuDescription,
  type Kernel,
  type KernelLaunch,
} from "./driver.ts";
import type { CValue, Ffi } from "./ffi.ts";

/** CUdevice_attribute, CUfunction_attribute and flags, by their values in cuda.h. */
const MULTIPROCESSORS = 16;
const CAPABILITY_MAJOR = 75;
const CAPABILITY_MINOR = 76;
const MAX_DYNAMIC_SHARED = 8;
const STREAM_NON_BLOCKING = 1;
const HOST_PORTABLE = 1;
const PEER_ACCESS_ENABLED = 704;
const MAX_GPUS = 64;
const MAX_NAME = 128;
/** More shared memory than this must be asked for. */
const STATIC_SHARED_BYTES = 48 * 1024;

/**
 * @throws CudaError when the driver refuses to start, and another Error when the library cannot be opened
 */
export function openCudaDriver(ffi: Ffi, file = "libcuda.so.1"): Driver {
  const calls = checkedCalls(ffi, file);
  calls.call("cuInit", 0);
  const count = calls.int("cuDeviceGetCount");
  if (count < 0 || count > MAX_GPUS) {
    throw new CudaError("cuDeviceGetCount", count, "no possible number of GPUs");
  }
  const devices = Array.from({ length: count }, (_, i) => calls.int("cuDeviceGet", i));
  const gpus = devices.map((device) => describe(calls, device));
  let current = -1n;
  const select = (context: bigint): void => {
    if (context === current) return;
    calls.call("cuCtxSetCurrent", context);
    current = context;
  };
  const load = compiler(calls);
  const contexts = new WeakMap<Gpu, { context: bigint; device: number }>();
  return {
    version: calls.int("cuDriverGetVersion"),
    gpus,
    open(index) {
      const [device, description] = [devices[index], gpus[index]];
      if (device === undefined || description === undefined) throw new RangeError(`GPU ${index}`);
      const context = calls.word("cuDevicePrimaryCtxRetain", device);
      const gpu = openGpu({ calls, select, load, context, device, description, contexts });
      contexts.set(gpu, { context, device });
      return gpu;
    },
  };
}

function describe(calls: Calls, device: number): GpuDescription {
  const attribute = (id: number) => calls.int("cuDeviceGetAttribute", id, device);
  const uuid = Buffer.alloc(16);
  calls.call(
    calls.has("cuDeviceGetUuid_v2") ? "cuDeviceGetUuid_v2" : "cuDeviceGetUuid",
    uuid,
    device,
  );
  const hex = uuid.toString("hex");
  return {
    name: clip(cleaned(calls.text("cuDeviceGetName", device)), MAX_NAME) || "a GPU without a name",
    uuid: `GPU-${hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-")}`,
    busId: calls.text("cuDeviceGetPCIBusId", device),
    capability: attribute(CAPABILITY_MAJOR) * 10 + attribute(CAPABILITY_MINOR),
    multiprocessors: attribute(MULTIPROCESSORS),
    memoryBytes: Number(calls.word("cuDeviceTotalMem_v2", device)),
  };
}

function openGpu(of: {
  calls: Calls;
  /** Makes a context current; all calls below are about the current one. */
  select: (context: bigint) => void;
  load: (ptx: string, capability: number) => bigint;
  context: bigint;
  device: number;
  description: GpuDescription;
  contexts: WeakMap<Gpu, { context: bigint; device: number }>;
}): Gpu {
  const { calls, context, device, description, contexts } = of;
  const enter = (): void => of.select(context);
  enter();
  const stream = calls.word("cuStreamCreate", STREAM_NON_BLOCKING);
  const call = (name: CallName, ...args: CValue[]): void => {
    enter();
    calls.call(name, ...args);
  };
  const word = (name: CallName, ...args: CValue[]): bigint => {
    enter();
    return calls.word(name, ...args);
  };
  const contextOf = (gpu: Gpu) => {
    const found = contexts.get(gpu);
    if (found === undefined) throw new RangeError("a GPU of another driver");
    return found;
  };
  return {
    description,
    freeMemory: () => Number(word("cuMemGetInfo_v2", Buffer.alloc(8))),
    allocate: (bytes) => word("cuMemAlloc_v2", BigInt(bytes)),
    free: (address) => call("cuMemFree_v2", address),
    allocateHost: (bytes) => word("cuMemHostAlloc", BigInt(bytes), HOST_PORTABLE),
    freeHost: (address) => call("cuMemFreeHost", address),
    load(ptx) {
      enter();
      const module = of.load(ptx, description.capability);
      return (name) =>
        bindable(word("cuModuleGetFunction", module, cText(name)), call, calls, stream);
    },
    copyToDevice: (to, from, bytes) =>
      call("cuMemcpyHtoDAsync_v2", to, from, BigInt(bytes), stream),
    copyToHost: (to, from, bytes) => call("cuMemcpyDtoHAsync_v2", to, from, BigInt(bytes), stream),
    enablePeer(other) {
      const peer = contextOf(other);
      if (calls.int("cuDeviceCanAccessPeer", device, peer.device) === 0) return false;
      try {
        call("cuCtxEnablePeerAccess", peer.context, 0);
      } catch (error) {
        if (!(error instanceof CudaError && error.code === PEER_ACCESS_ENABLED)) throw error;
      }
      return true;
    },
    copyToPeer: (to, peer, from, bytes) =>
      call("cuMemcpyPeerAsync", to, contextOf(peer).context, from, context, BigInt(bytes), stream),
    read(address, bytes) {
      const buffer = Buffer.alloc(bytes);
      call("cuStreamSynchronize", stream);
      call("cuMemcpyDtoH_v2", buffer, address, BigInt(bytes));
      return buffer;
    },
    createEvent: () => word("cuEventCreate", 0),
    record: (event) => call("cuEventRecord", event, stream),
    waitFor: (event) => call("cuEventSynchronize", event),
    elapsedMs(from, to) {
      enter();
      return calls.float("cuEventElapsedTime", from, to);
    },
    finish: () => call("cuStreamSynchronize", stream),
    enter() {
      enter();
      return stream;
    },
  };
}

function bindable(
  kernel: bigint,
  call: (name: CallName, ...args: CValue[]) => void,
  calls: Calls,
  stream: bigint,
): Kernel {
  return {
    bind({ grid, threads, sharedBytes = 0, args }: KernelLaunch) {
      if (sharedBytes > STATIC_SHARED_BYTES) {
        call("cuFuncSetAttribute", kernel, MAX_DYNAMIC_SHARED, sharedBytes);
      }
      // The driver reads the values at each launch, so both buffers live as long as the function below, and never move.
      const values = Buffer.from(new ArrayBuffer(8 * args.length));
      const pointers = Buffer.alloc(8 * args.length);
      const base = args.length === 0 ? 0n : calls.address(values);
      for (const [i, [type, value]] of args.entries()) {
        if (type === "u32") values.writeUInt32LE(value, 8 * i);
        else values.writeBigUInt64LE(BigInt(value), 8 * i);
        pointers.writeBigUInt64LE(base + BigInt(8 * i), 8 * i);
      }
      const kept = { values, pointers };
      return () =>
        call(
          "cuLaunchKernel",
          kernel,
          grid,
          1,
          1,
          threads,
          1,
          1,
          sharedBytes,
          stream,
          kept.values.length === 0 ? null : kept.pointers,
          null,
        );
    },
  };
}
