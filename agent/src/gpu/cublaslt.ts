/** cuBLASLt as PyTorch calls it: its first heuristic, FP32 accumulation, 32 MiB of workspace. Values are those of cublasLt.h. */
import type { Gpu } from "./driver.ts";
import type { LaunchedEngine, Product } from "./engine.ts";
import type { CFunction, CValue, Ffi, Signature } from "./ffi.ts";
import type { Element } from "./ptx.ts";

const SIGNATURES = {
  cublasLtGetVersion: ["u64"],
  cublasLtCreate: ["i32", "ptr"],
  cublasLtGetStatusName: ["ptr", "i32"],
  cublasLtMatmulDescCreate: ["i32", "ptr", "i32", "i32"],
  cublasLtMatmulDescSetAttribute: ["i32", "ptr", "i32", "ptr", "u64"],
  cublasLtMatrixLayoutCreate: ["i32", "ptr", "i32", "u64", "u64", "u64"],
  cublasLtMatmulPreferenceCreate: ["i32", "ptr"],
  cublasLtMatmulPreferenceSetAttribute: ["i32", "ptr", "i32", "ptr", "u64"],
  // biome-ignore format: handle, operation, four layouts, preference, wanted, results, found
  cublasLtMatmulAlgoGetHeuristic: ["i32", "ptr", "ptr", "ptr", "ptr", "ptr", "ptr", "ptr", "i32", "ptr", "ptr"],
  // biome-ignore format: handle, operation, alpha, A, B, beta, C, D with their layouts, algorithm, workspace, stream
  cublasLtMatmul: ["i32", "ptr", "ptr", "ptr", "u64", "ptr", "u64", "ptr", "ptr", "u64", "ptr", "u64", "ptr", "ptr", "u64", "u64", "ptr"],
} as const satisfies Record<string, Signature>;

type Name = keyof typeof SIGNATURES;

const DATA_TYPE: Readonly<Record<Element, number>> = { bf16: 14, f16: 2 };
const COMPUTE_32F = 68;
const SCALE_32F = 0;
const TRANSPOSE_FIRST = 3;
const TRANSPOSE = 1;
const MAX_WORKSPACE = 1;
const WORKSPACE_BYTES = 32 * 2 ** 20;
/** cublasLtMatmulHeuristicResult_t; the algorithm is its first field. */
const HEURISTIC_BYTES = 96;

interface Handles {
  handle: bigint;
  preference: bigint;
  workspace: bigint;
}

/**
 * @param isTransposed whether B lies by columns, which a calibration compares; figures are made without
 * @throws when the file is no cuBLASLt that can be called
 */
export function openCublasLt(ffi: Ffi, file: string, isTransposed = false): LaunchedEngine {
  const library: Record<Name, CFunction | null> = ffi.open(file, SIGNATURES);
  const out = Buffer.alloc(8);
  const call = (name: Name, ...args: CValue[]): void => {
    const code = Number(library[name]?.(...args) ?? -1);
    if (code === 0) return;
    const text = library.cublasLtGetStatusName?.(code);
    throw new Error(`${name}: ${typeof text === "bigint" ? ffi.text(text) : "error"} (${code})`);
  };
  const create = (name: Name, ...args: CValue[]): bigint => {
    call(name, out, ...args);
    return out.readBigUInt64LE();
  };
  const perGpu = new WeakMap<Gpu, Handles>();
  const open = (gpu: Gpu): Handles => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(WORKSPACE_BYTES));
    const preference = create("cublasLtMatmulPreferenceCreate");
    call("cublasLtMatmulPreferenceSetAttribute", preference, MAX_WORKSPACE, bytes, 8n);
    const handle = create("cublasLtCreate");
    return { handle, preference, workspace: gpu.allocate(WORKSPACE_BYTES) };
  };
  return {
    id: "cublaslt",
    library: versionText(Number(library.cublasLtGetVersion?.() ?? 0)),
    isTransposed,
    prepare(gpu, { type, n, a, b, c }: Product) {
      const stream = gpu.enter();
      const handles = perGpu.get(gpu) ?? open(gpu);
      perGpu.set(gpu, handles);
      const { handle, preference, workspace } = handles;
      const operation = create("cublasLtMatmulDescCreate", COMPUTE_32F, SCALE_32F);
      if (isTransposed) {
        // By columns, B is the first factor.
        const transpose = Buffer.alloc(4);
        transpose.writeInt32LE(TRANSPOSE);
        call("cublasLtMatmulDescSetAttribute", operation, TRANSPOSE_FIRST, transpose, 4n);
      }
      const size = BigInt(n);
      const layout = create("cublasLtMatrixLayoutCreate", DATA_TYPE[type], size, size, size);
      const layouts = [layout, layout, layout, layout];
      const heuristic = Buffer.alloc(HEURISTIC_BYTES);
      const found = Buffer.alloc(4);
      // biome-ignore format: as in the signature
      call("cublasLtMatmulAlgoGetHeuristic", handle, operation, ...layouts, preference, 1, heuristic, found);
      if (found.readInt32LE() < 1) throw new Error("cuBLASLt has no kernel for this product");
      const one = Buffer.alloc(4);
      one.writeFloatLE(1);
      const zero = Buffer.alloc(4);
      // The library counts by columns: B · A by columns is A · B by rows.
      // biome-ignore format: as in the signature
      const args = [handle, operation, one, b, layout, a, layout, zero, c, layout, c, layout, heuristic, workspace, BigInt(WORKSPACE_BYTES), stream];
      return () => {
        gpu.enter();
        call("cublasLtMatmul", ...args);
      };
    },
  };
}

/** 120804 is 12.8.4, and 130001 is 13.0.1. */
function versionText(version: number): string {
  return `${Math.floor(version / 10_000)}.${Math.floor((version % 10_000) / 100)}.${version % 100}`;
}
