/** What each method of the registry measures, in words, for the pages that explain figures. Loaded with reports alone. Pure. */
import { METHODS, type Method } from "./methods.ts";

interface MethodText {
  title: string;
  definition: string;
}

const PRODUCT =
  "2 n³ operations of a product of two 4096 × 4096 matrices ÷ its time: 16-bit elements from N(0, 1), accumulated in FP32, with a 16-bit result.";
const COPY = "A copy within the GPU's memory; bytes read and bytes written both count.";
const PINNED = "128 MiB between page-locked host memory and the GPU, one direction at a time.";

/** By id, as `METHODS` has them. */
const TEXTS: Readonly<Record<string, MethodText>> = {
  "gemm.cublaslt.4096.nn.normal/1": {
    title: "Matrix product, cuBLASLt",
    definition: `${PRODUCT} The product is NVIDIA's own, of the cuBLASLt library.`,
  },
  "gemm.ptx.4096.nt.normal/1": {
    title: "Matrix product, own kernel",
    definition: `${PRODUCT} The product is the agent's own kernel of tensor core instructions, the second matrix transposed; it needs the driver alone.`,
  },
  "gemm.torch.4096.nn.normal/1": {
    title: "Matrix product, PyTorch",
    definition: `${PRODUCT} The product is torch.mm of the machine's own PyTorch, in a process of its own.`,
  },
  "copy.ptx.4gib/1": { title: "Memory copy, 4 GiB", definition: COPY },
  "copy.ptx.1gib/1": {
    title: "Memory copy, 1 GiB",
    definition: `${COPY} A smaller one, where the memory is too small for 4 GiB.`,
  },
  "copy.ptx.256mib/1": {
    title: "Memory copy, 256 MiB",
    definition: `${COPY} The smallest one, where the memory is too small for 1 GiB.`,
  },
  "fma.ptx/1": {
    title: "Fused multiply-adds",
    definition: "Fused multiply-adds of FP32 in registers, each two operations; no tensor cores.",
  },
  "h2d.pinned.128mib/1": { title: "Host to GPU", definition: PINNED },
  "d2h.pinned.128mib/1": { title: "GPU to host", definition: PINNED },
  "launch.events/1": {
    title: "Kernel launch",
    definition:
      "Device time of an empty kernel among 256 that were queued while another kernel held the GPU; never the host's time for a call.",
  },
  "peer.64mib/1": {
    title: "GPU to GPU",
    definition:
      "8 copies of 64 MiB from one GPU to another, the median of 3: alone, and while the other direction is loaded, too.",
  },
};

export interface DescribedMethod extends Method, MethodText {
  id: string;
}

/** The methods of the registry with these ids, in its order. */
export function describedMethods(ids: ReadonlySet<string>): DescribedMethod[] {
  return [...METHODS].flatMap(([id, method]) => {
    const text = TEXTS[id];
    return !ids.has(id) || text === undefined ? [] : [{ id, ...method, ...text }];
  });
}
