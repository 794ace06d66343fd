import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  clockFault,
  createRateMeter,
  median,
  RATE,
  type Rate,
  type RatePlan,
} from "../../../agent/src/gpu/rate.ts";

/** Runs a meter on devices whose calls take `msPerCall(device time so far)`. */
function run(
  devices: readonly ((elapsedMs: number) => number)[],
  plan: RatePlan = RATE,
): { rates: Rate[]; elapsedMs: number; batches: number; longestMs: number } {
  const meter = createRateMeter(devices.length, plan);
  let elapsedMs = 0;
  let batches = 0;
  let longestMs = 0;
  for (let calls = meter.next(); calls !== null; calls = meter.next()) {
    const times = devices.map((device, i) => device(elapsedMs) * (calls[i] ?? 0));
    meter.add(times, Math.max(...times));
    elapsedMs += Math.max(...times);
    longestMs = Math.max(longestMs, ...times);
    batches += 1;
    if (batches > 10_000) throw new Error("no end");
  }
  return { rates: meter.rates(), elapsedMs, batches, longestMs };
}

const only = ({ rates: [rate] }: { rates: Rate[] }): Rate => {
  if (rate === undefined) throw new Error("no rate");
  return rate;
};

describe("a steady device", () => {
  test("is measured with 12 batches of 80 ms after half a second", () => {
    const result = run([() => 2]);
    expect(only(result)).toEqual({
      msPerCall: 2,
      settled: true,
      spread: 0,
      drift: 0,
      samples: 12,
      callsPerSample: 40,
      clockShare: { own: 1, slowest: 1 },
      deviceMs: 960,
    });
    expect(result.elapsedMs).toBeGreaterThan(1_460);
    expect(result.elapsedMs).toBeLessThan(1_700);
  });

  test("that is slow has one call a batch, and ends in time", () => {
    const result = run([() => 700]);
    expect(only(result)).toMatchObject({ msPerCall: 700, callsPerSample: 1, settled: false });
    expect(result.elapsedMs).toBeLessThanOrEqual(RATE.maxMs + 700);
  });

  test("that is slower than the longest time has one sample", () => {
    const result = run([() => 20_000]);
    expect(only(result)).toMatchObject({ msPerCall: 20_000, samples: 1 });
    expect(result.batches).toBeLessThanOrEqual(3);
  });

  test("whose clock stands still has a finite rate", () => {
    const result = run([() => 0]);
    expect(only(result).msPerCall).toBeGreaterThan(0);
    expect(result.batches).toBeLessThan(1_000);
  });
});

test("a time that is none is refused", () => {
  const meter = createRateMeter(1);
  meter.next();
  expect(() => meter.add([Number.NaN], 1)).toThrow(/no time/);
  expect(() => meter.add([], 1)).toThrow(/1 lane/);
});

test("a GPU whose clock and the host's tell different times is named", () => {
  const rate = only(run([() => 2]));
  const faultOf = (own: number, slowest: number) =>
    clockFault({ ...rate, clockShare: { own, slowest } });
  expect(clockFault({ ...rate, clockShare: null })).toBeNull();
  for (const share of [0.5, 0.97, 1, 1.03]) expect(faultOf(share, share)).toBeNull();
  for (const share of [-1, 0, 0.49, 1.04, 1e9, Number.POSITIVE_INFINITY, Number.NaN]) {
    expect(faultOf(share, share)).toMatch(/do not trust this figure/);
  }
  // A fast GPU beside a slow one has little to do.
  expect(faultOf(0.1, 1)).toBeNull();
  expect(faultOf(1.2, 1.2)).toMatch(/counted 1\.2 s in a second of the host's/);
});

test("batches whose host time is not known say nothing of the clock", () => {
  const meter = createRateMeter(1);
  let batch = 0;
  for (let calls = meter.next(); calls !== null; calls = meter.next()) {
    const ms = 2 * (calls[0] ?? 0);
    meter.add([ms], ++batch % 3 === 0 ? null : ms);
  }
  expect(meter.rates()).toMatchObject([{ clockShare: { own: 1, slowest: 1 }, deviceMs: 960 }]);
  const unknown = createRateMeter(1);
  for (let calls = unknown.next(); calls !== null; calls = unknown.next()) {
    unknown.add([2 * (calls[0] ?? 0)], null);
  }
  expect(unknown.rates()).toMatchObject([{ clockShare: null }]);
});

test("clocks that fall in the first half second do not count", () => {
  const rate = only(run([(elapsed) => (elapsed < 480 ? 1 : 1.2)]));
  expect(rate).toMatchObject({ msPerCall: 1.2, settled: true, drift: 0 });
});

test("a ramp that ends is followed to its end, and its drift is told", () => {
  const rate = only(
    run([(elapsed) => 1 + 0.2 * Math.min(1, elapsed / 1_500)], { ...RATE, maxMs: 6_000 }),
  );
  expect(rate.settled).toBe(true);
  expect(Math.abs(rate.msPerCall - 1.2)).toBeLessThan(0.02);
  expect(rate.drift).toBeGreaterThan(0.02);
});

test("throttling that goes on and off does not settle, and is bounded", () => {
  const result = run([(elapsed) => (Math.floor(elapsed / 300) % 2 === 0 ? 1 : 1.3)]);
  expect(only(result).settled).toBe(false);
  expect(only(result).spread).toBeGreaterThan(0.2);
  expect(result.elapsedMs).toBeLessThan(RATE.maxMs + 200);
});

test("two modes in turn do not settle", () => {
  let batch = 0;
  const rate = only(run([() => (++batch % 2 === 0 ? 1 : 1.1)]));
  expect(rate.settled).toBe(false);
  expect(rate.msPerCall).toBeCloseTo(1.05, 2);
});

test("the other devices wait for the one that has not settled", () => {
  const { rates } = run([() => 1, (elapsed) => (elapsed < 2_000 ? 1 + elapsed / 2_000 : 2)], {
    ...RATE,
    maxMs: 6_000,
  });
  expect(rates.map(({ settled }) => settled)).toEqual([true, true]);
  expect(rates[0]?.samples).toBe(rates[1]?.samples);
});

const times = fc.double({ min: 0.001, max: 200, noNaN: true });
const noise = fc.array(fc.double({ min: -1, max: 1, noNaN: true }), {
  minLength: 50,
  maxLength: 50,
});

test("property: any series ends: the time is passed by the last of the warm-up and one batch", () => {
  fc.assert(
    fc.property(fc.array(times, { minLength: 1, maxLength: 40 }), (series) => {
      let batch = 0;
      const result = run([() => series[batch++ % series.length] ?? 1]);
      const { msPerCall, samples, spread } = only(result);
      expect(samples).toBeGreaterThanOrEqual(1);
      expect(msPerCall).toBeGreaterThanOrEqual(Math.min(...series) * 0.999);
      expect(msPerCall).toBeLessThanOrEqual(Math.max(...series) * 1.001);
      expect(spread).toBeGreaterThanOrEqual(0);
      expect(result.elapsedMs).toBeLessThanOrEqual(RATE.maxMs + 2 * result.longestMs);
    }),
  );
});

test("property: noise of less than 1 % settles at once, near the truth", () => {
  fc.assert(
    fc.property(times, noise, (ms, wobble) => {
      let batch = 0;
      const rate = only(run([() => ms * (1 + 0.0098 * (wobble[batch++ % 50] ?? 0))]));
      // A call longer than the batch leaves no time for twelve.
      fc.pre(rate.samples >= 12);
      expect(rate).toMatchObject({ settled: true, samples: 12 });
      expect(Math.abs(rate.msPerCall / ms - 1)).toBeLessThan(0.01);
    }),
  );
});

test("property: what has settled agrees within 2 %, what has not was given all the time", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 0.2, noNaN: true }), noise, (size, wobble) => {
      const seen: number[] = [];
      const result = run([
        () => {
          const ms = 1 + size * (wobble[seen.length % 50] ?? 0);
          seen.push(ms);
          return ms;
        },
      ]);
      const last = seen.slice(-12);
      const range = (Math.max(...last) - Math.min(...last)) / median(last);
      expect(only(result).settled).toBe(range <= RATE.tolerance + 1e-9);
      if (!only(result).settled) expect(result.elapsedMs).toBeGreaterThanOrEqual(RATE.maxMs);
    }),
  );
});
