/**
 * A driver without a GPU. It runs kernels in the emulator, so that products are true, and keeps clocks of its own: device
 * times are as the test says, and the host's clock goes on only where the host would wait.
 */
import { createHash } from "node:crypto";
import {
  CudaError,
  type Driver,
  type Gpu,
  type GpuDescription,
  type KernelLaunch,
} from "../../../agent/src/gpu/driver.ts";
import { emulatedOnce } from "./emulated.ts";
import { launch } from "./emulator/launch.ts";
import { Memory } from "./emulator/machine.ts";
import { type Entry, parsePtx } from "./emulator/parse.ts";

export interface FakeOptions {
  gpus?: number;
  name?: string;
  capability?: number;
  /** Device time of one launch of a kernel, in ms; `at` is the device's clock. */
  launchMs?: (kernel: string, gpu: number, at: number) => number;
  /** Between device and host; GB/s. */
  copyGbs?: number;
  /** Between devices; as `copyGbs` by default. */
  peerGbs?: number;
  /** What the device's events count of a millisecond. */
  clockRate?: number;
  /** Memory that is free before anything is allocated, and in all. */
  freeBytes?: number;
  totalBytes?: number;
  /** The call of this name and number (from 1) fails with this code. */
  fail?: { call: string; nth: number; code: number };
  /** From this launch of a kernel on (from 1) that GPU flips a bit of what it writes. */
  corrupt?: { gpu: number; kernel: string; launch: number };
  /** How long the host waits for a context, for the compilation of a module (once for all GPUs), and for a product. */
  openMs?: number;
  compileMs?: number;
  readMs?: number;
  peers?: boolean;
}

export interface FakeDriver extends Driver {
  /** The host's clock, in ms. */
  now: () => number;
  /** Keeps the host for so long, in ms; GPUs go on meanwhile. */
  pass: (ms: number) => void;
  /** Calls by name. */
  calls: Map<string, number>;
  /** Bytes that are allocated on all GPUs, and pinned on the host. */
  allocatedBytes: () => number;
}

/** A launch keeps the host busy for so long. */
const LAUNCH_HOST_MS = 0.003;
const ERROR_NAMES: Readonly<Record<number, string>> = {
  2: "CUDA_ERROR_OUT_OF_MEMORY",
  214: "CUDA_ERROR_ECC_UNCORRECTABLE",
  700: "CUDA_ERROR_ILLEGAL_ADDRESS",
};

export function fakeDriver(options: FakeOptions = {}): FakeDriver {
  const { gpus: count = 1, name = "NVIDIA A100-SXM4-80GB", capability = 80 } = options;
  const host = { now: 0 };
  const calls = new Map<string, number>();
  const sizes = new Map<bigint, number>();
  const call = (method: string): void => {
    const nth = (calls.get(method) ?? 0) + 1;
    calls.set(method, nth);
    const { fail } = options;
    if (fail?.call === method && fail.nth === nth) {
      throw new CudaError(method, fail.code, ERROR_NAMES[fail.code] ?? "CUDA_ERROR");
    }
  };
  const descriptions = Array.from(
    { length: count },
    (_, i): GpuDescription => ({
      name,
      uuid: `GPU-00000000-0000-4000-8000-${String(i + 1).padStart(12, "0")}`,
      busId: `0000:${(i + 1).toString(16).padStart(2, "0")}:00.0`,
      capability,
      multiprocessors: 4,
      memoryBytes: options.totalBytes ?? 80 * 2 ** 30,
    }),
  );
  const memory = new Memory();
  const compiled = new Set<string>();
  return {
    version: 13000,
    gpus: descriptions,
    now: () => host.now,
    pass: (ms) => {
      host.now += ms;
    },
    calls,
    allocatedBytes: () => [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0),
    open(index) {
      call("open");
      host.now += options.openMs ?? 300;
      const description = descriptions[index];
      if (description === undefined) throw new RangeError(`GPU ${index}`);
      return fakeGpu({ options, index, description, memory, compiled, host, call, sizes });
    },
  };
}

interface World {
  options: FakeOptions;
  index: number;
  description: GpuDescription;
  memory: Memory;
  /** Texts of modules. */
  compiled: Set<string>;
  host: { now: number };
  call: (method: string) => void;
  sizes: Map<bigint, number>;
}

function fakeGpu(world: World): Gpu {
  const { options, index, description, memory, compiled, host, call, sizes } = world;
  const stream = { at: 0 };
  const events = new Map<bigint, number>();
  const busyFor = (ms: number): void => {
    stream.at = Math.max(stream.at, host.now) + ms;
  };
  const copyMs = (bytes: number) => bytes / 1e6 / (options.copyGbs ?? 25);
  const peerMs = (bytes: number) => bytes / 1e6 / (options.peerGbs ?? options.copyGbs ?? 25);
  const allocate = (method: string, bytes: number): bigint => {
    call(method);
    const address = BigInt(memory.allocate(bytes));
    sizes.set(address, bytes);
    return address;
  };
  const free = (method: string, address: bigint): void => {
    call(method);
    memory.free(Number(address));
    sizes.delete(address);
  };
  const wait = (): void => {
    host.now = Math.max(host.now, stream.at);
  };
  const eventTime = (event: bigint): number => {
    const at = events.get(event);
    if (at === undefined || Number.isNaN(at)) throw new Error("an event that was never recorded");
    return at;
  };
  return {
    description,
    freeMemory: () => options.freeBytes ?? 79 * 2 ** 30,
    allocate: (bytes) => allocate("allocate", bytes),
    free: (address) => free("free", address),
    allocateHost: (bytes) => allocate("allocateHost", bytes),
    freeHost: (address) => free("freeHost", address),
    load(ptx) {
      call("load");
      if (!compiled.has(ptx)) host.now += options.compileMs ?? 1_000;
      compiled.add(ptx);
      const entries = parsePtx(ptx);
      const text = createHash("sha1").update(ptx).digest("hex");
      return (name) => {
        const entry = entries.get(name);
        if (entry === undefined) throw new CudaError("cuModuleGetFunction", 500, "NOT_FOUND");
        return {
          bind: (bound) => launcher(world, { entry, text }, bound, busyFor, () => stream.at),
        };
      };
    },
    copyToDevice(to, from, bytes) {
      call("copyToDevice");
      memory.bytesAt(Number(to), bytes).set(memory.bytesAt(Number(from), bytes));
      busyFor(copyMs(bytes));
    },
    copyToHost(to, from, bytes) {
      call("copyToHost");
      memory.bytesAt(Number(to), bytes).set(memory.bytesAt(Number(from), bytes));
      busyFor(copyMs(bytes));
    },
    enablePeer: () => options.peers ?? true,
    copyToPeer(to, peer, from, bytes) {
      call("copyToPeer");
      if (peer.description.uuid === description.uuid) throw new Error("a copy to itself");
      memory.bytesAt(Number(to), bytes).set(memory.bytesAt(Number(from), bytes));
      busyFor(peerMs(bytes));
    },
    read(address, bytes) {
      call("read");
      wait();
      host.now += options.readMs ?? 10;
      return memory.bytesAt(Number(address), bytes).slice();
    },
    createEvent() {
      const event = BigInt(events.size + 1);
      events.set(event, Number.NaN);
      return event;
    },
    record: (event) => {
      events.set(event, Math.max(stream.at, host.now));
    },
    waitFor(event) {
      call("waitFor");
      host.now = Math.max(host.now, eventTime(event));
    },
    elapsedMs: (from, to) => (eventTime(to) - eventTime(from)) * (options.clockRate ?? 1),
    finish: wait,
    enter: () => BigInt(index),
  };
}

function launcher(
  { options, index, memory, host, call }: World,
  { entry, text }: { entry: Entry; text: string },
  { grid, threads, sharedBytes = 0, args }: KernelLaunch,
  busyFor: (ms: number) => void,
  at: () => number,
): () => void {
  const values = args.map(([, value]) => Number(value));
  const buffers = values.flatMap((value) => memory.allocationAt(value) ?? []);
  let launches = 0;
  /** What the kernel left; as long as it is there, another launch leaves the same. */
  let done = false;
  return () => {
    call("launch");
    host.now += LAUNCH_HOST_MS;
    launches += 1;
    const { corrupt } = options;
    const isCorrupt =
      corrupt?.gpu === index && corrupt.kernel === entry.name && launches >= corrupt.launch;
    if (!done) {
      const scalars = values.map((value) =>
        memory.allocationAt(value) === null ? value : "buffer",
      );
      const hash = createHash("sha1").update(
        JSON.stringify([text, entry.name, grid, threads, scalars]),
      );
      for (const buffer of buffers) hash.update(buffer);
      const left = emulatedOnce(hash.digest("hex"), () => {
        launch(entry, { grid, threads, sharedBytes, args: values, memory });
        return buffers.map((buffer) => buffer.slice());
      });
      for (const [i, buffer] of buffers.entries()) buffer.set(left[i] ?? []);
      done = true;
    }
    if (isCorrupt) {
      const written = buffers.at(-1);
      if (written !== undefined) written[2] = (written[2] ?? 0) ^ 0x40;
      // Only once: a second flip would undo the first.
      options.corrupt = { ...corrupt, launch: Number.POSITIVE_INFINITY };
    }
    busyFor(options.launchMs?.(entry.name, index, at()) ?? 1);
  };
}
