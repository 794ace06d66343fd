/** Calls of `libcuda.so.1`. Every one is checked; an error names the call, the code and its name. */
import { CudaError } from "./driver.ts";
import type { CValue, Ffi, Signature } from "./ffi.ts";

const SIGNATURES = {
  cuInit: ["i32", "u32"],
  cuGetErrorName: ["i32", "i32", "ptr"],
  cuDriverGetVersion: ["i32", "ptr"],
  cuDeviceGetCount: ["i32", "ptr"],
  cuDeviceGet: ["i32", "ptr", "i32"],
  cuDeviceGetName: ["i32", "ptr", "i32", "i32"],
  cuDeviceGetUuid: ["i32", "ptr", "i32"],
  // Of a MIG slice its own; drivers before r470 do not have it.
  cuDeviceGetUuid_v2: ["i32", "ptr", "i32"],
  cuDeviceTotalMem_v2: ["i32", "ptr", "i32"],
  cuDeviceGetAttribute: ["i32", "ptr", "i32", "i32"],
  cuDeviceGetPCIBusId: ["i32", "ptr", "i32", "i32"],
  cuDeviceCanAccessPeer: ["i32", "ptr", "i32", "i32"],
  cuDevicePrimaryCtxRetain: ["i32", "ptr", "i32"],
  cuCtxSetCurrent: ["i32", "ptr"],
  cuCtxEnablePeerAccess: ["i32", "ptr", "u32"],
  cuMemGetInfo_v2: ["i32", "ptr", "ptr"],
  cuMemAlloc_v2: ["i32", "ptr", "u64"],
  cuMemFree_v2: ["i32", "u64"],
  cuMemHostAlloc: ["i32", "ptr", "u64", "u32"],
  cuMemFreeHost: ["i32", "ptr"],
  cuMemcpyHtoDAsync_v2: ["i32", "u64", "ptr", "u64", "ptr"],
  cuMemcpyDtoHAsync_v2: ["i32", "ptr", "u64", "u64", "ptr"],
  cuMemcpyDtoH_v2: ["i32", "ptr", "u64", "u64"],
  cuMemcpyPeerAsync: ["i32", "u64", "ptr", "u64", "ptr", "u64", "ptr"],
  cuModuleLoadData: ["i32", "ptr", "ptr"],
  cuLinkCreate_v2: ["i32", "u32", "ptr", "ptr", "ptr"],
  cuLinkAddData_v2: ["i32", "ptr", "i32", "ptr", "u64", "ptr", "u32", "ptr", "ptr"],
  cuLinkComplete: ["i32", "ptr", "ptr", "ptr"],
  cuModuleGetFunction: ["i32", "ptr", "ptr", "ptr"],
  cuFuncSetAttribute: ["i32", "ptr", "i32", "i32"],
  // biome-ignore format: grid, block, shared memory, stream, arguments
  cuLaunchKernel: ["i32", "ptr", "u32", "u32", "u32", "u32", "u32", "u32", "u32", "ptr", "ptr", "ptr"],
  cuStreamCreate: ["i32", "ptr", "u32"],
  cuStreamSynchronize: ["i32", "ptr"],
  cuEventCreate: ["i32", "ptr", "u32"],
  cuEventRecord: ["i32", "ptr", "ptr"],
  cuEventSynchronize: ["i32", "ptr"],
  cuEventElapsedTime: ["i32", "ptr", "ptr", "ptr"],
} as const satisfies Record<string, Signature>;

export type CallName = keyof typeof SIGNATURES;

const NOT_IN_LIBRARY = -1;

export interface Calls {
  call(name: CallName, ...args: CValue[]): void;
  int(name: CallName, ...args: CValue[]): number;
  /** An address, handle or size. */
  word(name: CallName, ...args: CValue[]): bigint;
  text(name: CallName, device: number): string;
  float(name: CallName, ...args: CValue[]): number;
  address(buffer: Uint8Array): bigint;
  has(name: CallName): boolean;
}

/** @throws when the library cannot be opened */
export function checkedCalls(ffi: Ffi, file: string): Calls {
  const library = ffi.open(file, SIGNATURES);
  const out = Buffer.alloc(8);
  const nameOf = (code: number): string => {
    const at = Buffer.alloc(8);
    if (library.cuGetErrorName?.(code, at) !== 0) return "unknown error";
    const address = at.readBigUInt64LE();
    return address === 0n ? "unknown error" : ffi.text(address);
  };
  const call = (name: CallName, ...args: CValue[]): void => {
    const run = library[name];
    if (run === null) throw new CudaError(name, NOT_IN_LIBRARY, "not in this driver");
    const code = Number(run(...args));
    if (code !== 0) throw new CudaError(name, code, nameOf(code));
  };
  return {
    call,
    int(name, ...args) {
      call(name, out, ...args);
      return out.readInt32LE();
    },
    word(name, ...args) {
      call(name, out, ...args);
      return out.readBigUInt64LE();
    },
    float(name, ...args) {
      call(name, out, ...args);
      return out.readFloatLE();
    },
    text(name, device) {
      const bytes = Buffer.alloc(256);
      call(name, bytes, bytes.length - 1, device);
      return bytes.toString("utf8", 0, bytes.indexOf(0));
    },
    address: (buffer) => ffi.address(buffer),
    has: (name) => library[name] !== null,
  };
}

export function cText(text: string): Buffer {
  return Buffer.from(`${text}\0`, "ascii");
}
