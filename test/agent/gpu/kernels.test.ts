import { describe, expect, test } from "vitest";
import { filledValue } from "../../../agent/src/gpu/fill.ts";
import {
  basicModule,
  COPY_GRANULE,
  COPY_THREADS,
  type Element,
  FMA_FLOP_PER_ITERATION,
  FMA_THREADS,
} from "../../../agent/src/gpu/ptx.ts";
import { emulatedInstructions, launch } from "./emulator/launch.ts";
import { Memory } from "./emulator/machine.ts";
import { fromBf16, fromF16 } from "./emulator/numbers.ts";
import { SHARES } from "./emulator/shares.ts";
import {
  entryOf,
  faultOf,
  ROUNDING,
  randomNumbers,
  runGemm,
  SEEDED_FAULTS,
  SMALL_TILE,
} from "./kernel-runs.ts";

const decoders = { bf16: fromBf16, f16: fromF16 };

describe("random numbers", () => {
  test.each(["bf16", "f16"] as const)("%s: N(0,1), and the host computes the same bits", (type) => {
    const memory = new Memory();
    const [words, seed] = [4_096, 0xffff_f000];
    const p = memory.allocate(words * 4);
    const fill = entryOf(basicModule(), `fill_${type}`);
    launch(fill, { grid: 3, threads: 64, args: [p, words, seed], memory });
    const halves = new Uint16Array(memory.bytesAt(p, words * 4).slice().buffer);
    const values = Array.from(halves, decoders[type]);
    expect(values).toEqual(values.map((_, i) => filledValue(type as Element, i, seed)));
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
    expect(Math.abs(mean)).toBeLessThan(0.04);
    expect(Math.abs(deviation - 1)).toBeLessThan(0.03);
    const within = (limit: number) => values.filter((x) => Math.abs(x) < limit).length / 8_192;
    expect(Math.abs(within(1) - 0.683)).toBeLessThan(0.02);
    expect(Math.abs(within(2) - 0.954)).toBeLessThan(0.02);
    expect(new Set(values).size).toBeGreaterThan(400);
  });
});

test("copy moves each byte once, whatever the grid", () => {
  for (const grid of [1, 2, 5]) {
    const memory = new Memory();
    const bytes = 3 * COPY_GRANULE;
    const [from, to] = [memory.allocate(bytes), memory.allocate(bytes)];
    const random = randomNumbers(1);
    memory.bytesAt(from, bytes).forEach((_, i, all) => {
      // No byte makes a 32-bit float that is no number.
      all[i] = random() * 127;
    });
    const copy = entryOf(basicModule(), "copy");
    const statistics = launch(copy, {
      grid,
      threads: COPY_THREADS,
      args: [from, to, bytes],
      memory,
    });
    expect(Buffer.from(memory.bytesAt(to, bytes)).equals(memory.bytesAt(from, bytes))).toBe(true);
    expect(statistics).toMatchObject({ read: bytes, written: bytes });
  }
});

test("fma_f32 does the operations that are counted, and stores nothing", () => {
  const memory = new Memory();
  const iterations = 3;
  const { flop, written } = launch(entryOf(basicModule(), "fma_f32"), {
    grid: 1,
    threads: FMA_THREADS,
    args: [memory.allocate(4), iterations],
    memory,
  });
  expect(flop).toBe(FMA_THREADS * iterations * FMA_FLOP_PER_ITERATION);
  expect(written).toBe(0);
});

test("empty ends", () => {
  const empty = entryOf(basicModule(), "empty");
  launch(empty, { grid: 2, threads: 32, args: [0], memory: new Memory() });
});

describe("matrix product", () => {
  test.each(["bf16", "f16"] as const)(
    "%s, as it is measured: right, without bank conflicts",
    (type) => {
      const { error, statistics } = runGemm({ type, size: [128, 256, 160] });
      expect(error).toBeLessThan(ROUNDING);
      expect(statistics).toMatchObject({ flop: 2 * 128 * 256 * 160, bankConflicts: 0 });
    },
  );

  test("is right for every order of warps and timing of copies", () => {
    const run = { type: "bf16", tile: SMALL_TILE, size: [128, 64, 160] } as const;
    expect(faultOf(run)).toBeNull();
  });

  test.each(Object.entries(SEEDED_FAULTS))("the emulator notices: %s", (_, mutate) => {
    // Two groups of tiles, the second one short, and more steps than stages.
    const run = { type: "bf16", tile: SMALL_TILE, size: [192, 128, 192] } as const;
    let isChanged = false;
    const noticed = faultOf({
      ...run,
      mutate(text) {
        const changed = mutate(text);
        isChanged = changed !== text;
        return changed;
      },
    });
    expect(isChanged).toBe(true);
    expect(noticed).not.toBeNull();
  });
});

describe("the emulator refuses", () => {
  const memory = new Memory();
  const run = (body: string) =>
    launch(entryOf(`.visible .entry x(.param .u64 p)\n{\n${body}\n}\n`, "x"), {
      grid: 1,
      threads: 64,
      args: [memory.allocate(64)],
      memory,
      maxInstructions: 1_000,
    });
  const pointer = ".reg .b64 %p; .reg .b32 %t; .reg .pred %q; ld.param.u64 %p, [p];";

  test.each([
    ["what it does not know", "frob.u32 %a;", /unknown instruction/],
    ["memory of nobody", `${pointer} st.global.u32 [%p+64], %t;`, /illegal address/],
    ["a misaligned access", `${pointer} st.global.u32 [%p+2], %t;`, /misaligned/],
    ["a loop without an end", "L: bra L;", /too many/],
    [
      "a barrier that a warp has left",
      `${pointer} mov.u32 %t, %tid.x; setp.lt.u32 %q, %t, 32; @%q bra END; bar.sync 0; END: ret;`,
      /left/,
    ],
    [
      "a barrier in a divergent warp",
      `${pointer} mov.u32 %t, %tid.x; setp.lt.u32 %q, %t, 7; @%q bra END; bar.sync 0; END: ret;`,
      /divergent/,
    ],
    ["text that is not ASCII", "ret; // \u00e9", /ASCII/],
  ])("%s", (_, body, message) => {
    expect(() => run(body)).toThrow(message);
  });
});

test("all of this takes no more than its share of `npm test`", () => {
  expect(emulatedInstructions()).toBeGreaterThan(0);
  expect(emulatedInstructions()).toBeLessThanOrEqual(SHARES.kernels);
});
