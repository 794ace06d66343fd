/**
 * How each figure is made. An id names engine, size, layout and data; its number rises whenever the definition or the
 * kernel behind it changes, so that figures with one id can be compared. test/agent/gpu/methods.test.ts holds the kernels'
 * checksums to it.
 */
import type { Element } from "./ptx.ts";

/** A matrix product of n × n × n; `nn` and `nt` say whether B lies by rows or by columns. */
export function gemmMethod(engine: "cublaslt" | "ptx" | "torch", n: number): string {
  return `gemm.${engine}.${n}.${engine === "ptx" ? "nt" : "nn"}.normal/1`;
}

/** Device to device; bytes read and bytes written both count. */
export function copyMethod(bytes: number): string {
  return `copy.ptx.${size(bytes)}/1`;
}

export const FMA_METHOD = "fma.ptx/1";

export function hostCopyMethod(direction: "h2d" | "d2h", bytes: number): string {
  return `${direction}.pinned.${size(bytes)}/1`;
}

/** Device time between two events over empty kernels that were all queued before: never the host's time per call. */
export const LAUNCH_METHOD = "launch.events/1";

export function peerMethod(bytes: number): string {
  return `peer.${size(bytes)}/1`;
}

/** Metric of the product of a type. */
export const GEMM_METRIC = { bf16: "bf16_tflops", f16: "fp16_tflops" } as const satisfies Record<
  Element,
  string
>;

function size(bytes: number): string {
  return bytes % 2 ** 30 === 0 ? `${bytes / 2 ** 30}gib` : `${bytes / 2 ** 20}mib`;
}
