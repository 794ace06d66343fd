import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import {
  copyMethod,
  FMA_METHOD,
  gemmMethod,
  LAUNCH_METHOD,
} from "../../../agent/src/gpu/methods.ts";
import { PAIRS, SIZES } from "../../../agent/src/gpu/plan.ts";
import { SEEDS } from "../../../agent/src/gpu/product-check.ts";
import { basicModule, gemmModule } from "../../../agent/src/gpu/ptx.ts";
import { GEMM_TILE } from "../../../agent/src/gpu/ptx-gemm.ts";
import { RATE } from "../../../agent/src/gpu/rate.ts";
import { TORCH_PROGRAM } from "../../../agent/src/gpu/torch-program.ts";

/**
 * The kernels behind each method id, by checksum. A changed kernel makes other figures: raise the number of its method in
 * methods.ts and add a line here. A line that is here never changes.
 */
const KERNELS: Readonly<Record<string, string>> = {
  "gemm.ptx.4096.nt.normal/1": "1b40eb9f05c88c08",
  "gemm.cublaslt.4096.nn.normal/1": "38a3d8a71042aac8",
  "gemm.torch.4096.nn.normal/1": "698f21b45915c9e9",
  "copy.ptx.4gib/1": "db5c09a03af5b1bf",
  "copy.ptx.1gib/1": "db5c09a03af5b1bf",
  "copy.ptx.256mib/1": "db5c09a03af5b1bf",
  "fma.ptx/1": "68602482d83ebc4b",
  "launch.events/1": "1e840cc803337d87",
};

/** A kernel alone: the others of its module may change. */
function kernel(name: string): string {
  const text = new RegExp(`^\\.visible \\.entry ${name}\\([^]*?^}$`, "m").exec(basicModule())?.[0];
  if (text === undefined) throw new Error(`no kernel ${name}`);
  return text;
}

const current: readonly (readonly [string, string])[] = [
  [
    gemmMethod("ptx", SIZES.gemm),
    [gemmModule("bf16"), gemmModule("f16"), kernel("fill_bf16"), kernel("fill_f16")].join("\n"),
  ],
  // Of a library's product the data are ours.
  [gemmMethod("cublaslt", SIZES.gemm), [kernel("fill_bf16"), kernel("fill_f16")].join("\n")],
  // Of PyTorch's the program that fills, multiplies and times.
  [
    gemmMethod("torch", SIZES.gemm),
    /def open_products[\s\S]*(?=def check)/.exec(TORCH_PROGRAM)?.[0] ?? "",
  ],
  ...SIZES.copy.map((bytes) => [copyMethod(bytes), kernel("copy")] as const),
  [FMA_METHOD, kernel("fma_f32")],
  [LAUNCH_METHOD, kernel("empty")],
];

test.each(current)("%s is what it was", (method, text) => {
  expect({ [method]: createHash("sha256").update(text).digest("hex").slice(0, 16) }).toEqual({
    [method]: KERNELS[method],
  });
});

/** As much a part of the figures as the kernels: whoever changes one of these raises the number of its methods. */
test("launches, samples and data of every method are what they were", () => {
  expect({ SIZES, GEMM_TILE, SEEDS, RATE, PAIRS }).toEqual({
    SIZES: {
      gemm: 4_096,
      copy: [4 * 2 ** 30, 2 ** 30, 2 ** 28],
      hostCopy: 2 ** 27,
      peerCopy: 2 ** 26,
      fmaIterations: 512,
      fmaBlocks: 8,
      copyBlocks: 16,
      holdIterations: 20_000,
    },
    GEMM_TILE: { bm: 128, bn: 256, bk: 32, wm: 64, wn: 64, stages: 4, group: 8 },
    SEEDS: { a: 0x1000_0000, b: 0x9000_0000 },
    RATE: {
      warmMs: 500,
      batchMs: 80,
      window: 12,
      tolerance: 0.02,
      maxMs: 3_000,
      maxCalls: 4_096,
      maxBatches: 400,
    },
    PAIRS: { copies: 8, samples: 3, budgetMs: 8_000 },
  });
});

test("method ids name engine, size, layout and data", () => {
  expect(current.map(([method]) => method)).toEqual([
    "gemm.ptx.4096.nt.normal/1",
    "gemm.cublaslt.4096.nn.normal/1",
    "gemm.torch.4096.nn.normal/1",
    "copy.ptx.4gib/1",
    "copy.ptx.1gib/1",
    "copy.ptx.256mib/1",
    "fma.ptx/1",
    "launch.events/1",
  ]);
});

test("the PTX text, to be read in a review", async () => {
  await expect(basicModule()).toMatchFileSnapshot("kernels/basic.ptx");
  await expect(gemmModule("bf16")).toMatchFileSnapshot("kernels/gemm_bf16.ptx");
  // The other type differs in its name alone.
  expect(gemmModule("f16")).toBe(gemmModule("bf16").replaceAll("bf16", "f16"));
});

test("the PTX text is ASCII, which older assemblers demand", () => {
  for (const [, text] of current) expect(text).toMatch(/^[\n\x20-\x7e]*$/);
});
