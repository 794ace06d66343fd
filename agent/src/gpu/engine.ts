/** The engine that multiplies matrices: the library that PyTorch uses, where the machine has it, or our own kernel. */
import type { DeviceAddress, Gpu, Kernel } from "./driver.ts";
import type { StartBatch } from "./lanes.ts";
import { type Element, gemmModule } from "./ptx.ts";
import { GEMM_TILE, gemmSharedBytes, gemmThreads } from "./ptx-gemm.ts";

/** n × n matrices of 16-bit elements, row by row. */
export interface Product {
  type: Element;
  n: number;
  a: DeviceAddress;
  b: DeviceAddress;
  c: DeviceAddress;
}

export interface ProductCheck {
  /** The same bits twice. */
  isRepeatable: boolean;
  /** The largest error of sampled elements, over the size that they have. */
  error: number;
}

export type Engine = LaunchedEngine | RemoteEngine;

/** Its products are launched on the stream of this process. */
export interface LaunchedEngine {
  id: "cublaslt" | "ptx";
  /** Version of the library; null for our own kernel. */
  library: string | null;
  /** C = A · Bᵀ rather than A · B. */
  isTransposed: boolean;
  /** Everything that comes before the first launch. @throws when this engine cannot do it here */
  prepare(gpu: Gpu, product: Product): () => void;
}

/** Its products are made by another process. */
export interface RemoteEngine {
  id: "torch";
  library: string | null;
  /** @throws when it cannot do it on so many GPUs */
  open(type: Element, n: number, gpus: number): RemoteProducts;
}

export interface RemoteProducts {
  start: StartBatch;
  /** Makes the products once more. Of each GPU. */
  check(): ProductCheck[];
  close(): void;
}

export function ptxEngine(): LaunchedEngine {
  // Compiling takes the driver a second or more.
  const kernels = new WeakMap<Gpu, Map<Element, Kernel>>();
  return {
    id: "ptx",
    library: null,
    isTransposed: true,
    prepare(gpu, { type, n, a, b, c }) {
      const known = kernels.get(gpu) ?? new Map<Element, Kernel>();
      const kernel = known.get(type) ?? gpu.load(gemmModule(type))(`gemm_${type}`);
      kernels.set(gpu, known.set(type, kernel));
      return kernel.bind({
        grid: (n / GEMM_TILE.bm) * (n / GEMM_TILE.bn),
        threads: gemmThreads(GEMM_TILE),
        sharedBytes: gemmSharedBytes(GEMM_TILE),
        args: [
          ["u64", a],
          ["u64", b],
          ["u64", c],
          ["u32", n],
          ["u32", n],
          ["u32", n],
        ],
      });
    },
  };
}
