/**
 * The emulator's part of `npm test`: 600,000 instructions of warps, about 5 s of one core (a warm emulator does 100,000 to
 * 160,000 in a second of CPU time). It is counted, since no test depends on speed; `npm run test:all` has no such bound.
 */
export const SHARES = {
  /** kernels.test.ts, which always emulates. */
  kernels: 140_000,
  /** Runs on the fake driver, in all: what one process has emulated, the others read. */
  runs: 410_000,
  /** calibration.test.ts, whose products have data of their own. */
  calibration: 50_000,
} as const;
