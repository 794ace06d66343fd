import { describe, expect, test } from "vitest";
import type { GemmTile } from "../../../agent/src/gpu/ptx-gemm.ts";
import { GEMM_TILE } from "../../../agent/src/gpu/ptx-gemm.ts";
import { ORDERS, ROUNDING, runGemm } from "./kernel-runs.ts";

/** Tiles that a calibration tries, and sizes with odd remainders of groups and of stages. */
const RUNS: readonly (readonly [
  string,
  "bf16" | "f16",
  GemmTile,
  readonly [number, number, number],
])[] = [
  ["measured", "bf16", GEMM_TILE, [256, 512, 192]],
  ["measured", "f16", GEMM_TILE, [128, 256, 96]],
  ["128x128x32, 3 stages", "bf16", { ...GEMM_TILE, bn: 128, stages: 3 }, [256, 384, 160]],
  ["128x256x64, 3 stages", "bf16", { ...GEMM_TILE, bk: 64, stages: 3 }, [128, 256, 256]],
  ["256x128x32, 4 stages", "bf16", { ...GEMM_TILE, bm: 256, bn: 128 }, [256, 256, 128]],
  ["one step", "bf16", { ...GEMM_TILE, bn: 128, stages: 3, group: 2 }, [384, 128, 32]],
];

describe.each(RUNS)("%s %s", (_, type, tile, size) => {
  for (const copiesLandEarly of [false, true]) {
    test.each(Object.keys(ORDERS))(
      `copies land ${copiesLandEarly ? "early" : "late"}, warps: %s`,
      (order) => {
        const { error, statistics } = runGemm({ type, tile, size, order, copiesLandEarly });
        expect(error).toBeLessThan(ROUNDING);
        const [m, n, k] = size;
        expect(statistics).toMatchObject({ flop: 2 * m * n * k, bankConflicts: 0 });
      },
    );
  }
});
