/** The parts of HostMark: loops, series, sizes, disk, lock, threads and the process that runs them. */
import { existsSync, mkdtempSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../agent/src/clock.ts";
import { type DiskTools, measureDisk } from "../../../agent/src/host/disk.ts";
import { takeLock } from "../../../agent/src/host/lock.ts";
import { arraysFor, threadsFor } from "../../../agent/src/host/plan.ts";
import { buildResults, type HostRun } from "../../../agent/src/host/results.ts";
import { parseHostOptions } from "../../../agent/src/host/run.ts";
import { figureOf, isDone } from "../../../agent/src/host/series.ts";
import { runHostMark } from "../../../agent/src/host/step.ts";
import { createArrays } from "../../../agent/src/host/thread.ts";
import { LOOP_BYTES, memoryLoops, pageMemory } from "../../../agent/src/host/wasm.ts";
import { hostMark } from "../../../src/benchmarks/host-mark.ts";
import { steppingClock } from "../helpers.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "assay-host-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("memory loops", () => {
  test("do what the same loops over typed arrays do, and touch nothing else", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom("copy" as const, "triad" as const),
        fc.infiniteStream(fc.double({ noNaN: true, min: -1e6, max: 1e6 })),
        (turns, kind, numbers) => {
          const bytes = turns * LOOP_BYTES;
          const memory = pageMemory(4 * bytes);
          const all = new Float64Array(memory.buffer);
          for (const at of all.keys()) all[at] = numbers.next().value ?? 0;
          const expected = all.slice();
          const length = bytes / 8;
          const part = (array: Float64Array, at: number) =>
            array.subarray(at * length, (at + 1) * length);
          for (const at of part(expected, 0).keys()) {
            const [b = 0, c = 0] = [part(expected, 1)[at], part(expected, 2)[at]];
            part(expected, 0)[at] = kind === "copy" ? b : b + 3 * c;
          }
          const loops = memoryLoops(memory);
          if (kind === "copy") loops.copy(0, bytes, bytes);
          else loops.triad(0, bytes, 2 * bytes, bytes);
          expect(all).toEqual(expected);
        },
      ),
      { numRuns: 30 },
    );
  });

  test("addresses beyond 2 GiB are no negative ones", () => {
    const memory = pageMemory(2 * GIB + MIB);
    const from = 2 * GIB + 4_096;
    new Float64Array(memory.buffer, from, LOOP_BYTES / 8).fill(5);
    memoryLoops(memory).copy(0, from, LOOP_BYTES);
    expect([...new Float64Array(memory.buffer, 0, LOOP_BYTES / 8)]).toEqual(
      Array(LOOP_BYTES / 8).fill(5),
    );
  });

  test("arrays know whether a loop wrote what it should", () => {
    const arrays = createArrays(4 * LOOP_BYTES);
    expect(() => arrays.check("triad")).toThrow("gave 0");
    arrays.triad();
    arrays.check("triad");
    expect(() => arrays.check("copy")).toThrow("gave 7");
    arrays.copy();
    arrays.check("copy");
  });
});

describe("series", () => {
  const plan = { window: 3, tolerance: 0.05, maxMs: 1_000 };

  test("ends once the last values agree, or the time is up, and never without a value", () => {
    expect(isDone([], 5_000, plan)).toBe(false);
    expect(isDone([100, 101], 0, plan)).toBe(false);
    expect(isDone([50, 100, 101, 103], 0, plan)).toBe(true);
    expect(isDone([50, 100, 101, 106], 999, plan)).toBe(false);
    expect(isDone([50, 100, 101, 106], 1_000, plan)).toBe(true);
  });

  test("the figure is the median of the last values; quality tells of all", () => {
    expect(figureOf([50, 100, 102, 104], plan)).toEqual({
      value: 102,
      quality: { settled: true, spread: 0.3802, drift: 0.02, samples: 4 },
    });
    expect(figureOf([10, 20, 40], plan).quality.settled).toBe(false);
    expect(() => figureOf([], plan)).toThrow(RangeError);
  });
});

describe("sizes", () => {
  test("a thread for each CPU that may be used; a part of one needs a thread, too", () => {
    const of = (cpus: number, quota: number | null, freeBytes = 2 ** 45) =>
      threadsFor({ cpus, quota, freeBytes });
    expect(of(64, null)).toEqual({ threads: 64, isShort: false });
    expect(of(64, 3.5).threads).toBe(4);
    expect(of(2, 8).threads).toBe(2);
    expect(of(2, 0.1).threads).toBe(1);
    expect(of(4_096, null).threads).toBe(512);
    // An eighth of 4 GiB is enough for 16 threads.
    expect(of(64, null, 4 * GIB)).toEqual({ threads: 16, isShort: true });
    expect(of(16, null, 4 * GIB)).toEqual({ threads: 16, isShort: false });
    expect(of(64, null, 0)).toEqual({ threads: 1, isShort: true });
  });

  test("arrays hold four times the caches, and at most an eighth of what is free", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 512 }),
        fc.maxSafeNat(),
        fc.option(fc.integer({ min: 1, max: 2 ** 31 }), { nil: null }),
        (threads, freeBytes, cacheBytes) => {
          const arrays = arraysFor(threads, { freeBytes, cacheBytes });
          if (arrays === null) {
            // A MiB for each thread and array would have been too much.
            expect(freeBytes / 8).toBeLessThan(3 * threads * (MIB + LOOP_BYTES));
            return;
          }
          const all = 3 * threads * arrays.bytes;
          expect(all).toBeLessThanOrEqual(freeBytes / 8);
          expect(arrays.bytes % LOOP_BYTES).toBe(0);
          if (!arrays.isCached) {
            const rest = threads * LOOP_BYTES;
            expect(threads * arrays.bytes + rest).toBeGreaterThan(4 * (cacheBytes ?? 64 * MIB));
          }
        },
      ),
    );
  });
});

describe("the disk", () => {
  const tools = (changes: Partial<DiskTools> = {}): DiskTools => ({
    platform: "linux",
    now: () => performance.now(),
    onProgress: () => {},
    ...changes,
  });

  test("is measured past the page cache, or not at all with the reason; nothing is left", () => {
    // Without a name already while it is measured: a run that is killed leaves nothing either.
    const names: string[] = [];
    const onProgress = () => void names.push(...readdirSync(folder));
    const measured = measureDisk(folder, 64 * MIB, tools({ onProgress }));
    expect([...names, ...readdirSync(folder)]).toEqual([]);
    if ("reason" in measured) {
      expect(measured.reason).toMatch(/in memory|O_DIRECT|free/);
      return;
    }
    expect(measured.fileBytes % (32 * MIB)).toBe(0);
    for (const { value } of [measured.write, measured.read, measured.p50]) {
      expect(value).toBeGreaterThan(0);
    }
    expect(measured.p99).toBeGreaterThanOrEqual(measured.p50.value);
  });

  test("a slow one is left after its time, with what it did until then", () => {
    let now = 0;
    // Every look at the clock is a second later.
    const slow = tools({ now: () => (now += 1_000) });
    const measured = measureDisk(folder, 1_024 * MIB, slow);
    if ("reason" in measured) return;
    expect(measured.fileBytes).toBeLessThan(1_024 * MIB);
    expect(measured.fileBytes).toBeGreaterThan(0);
  });

  test("systems other than Linux, little room, no folder, memory: the reason, and no file", () => {
    const of = (at: string, bytes: number, changes = {}) => {
      const measured = measureDisk(at, bytes, tools(changes));
      return "reason" in measured ? measured.reason : "measured";
    };
    expect(of(folder, MIB, { platform: "darwin" })).toMatch(/only on Linux, not on darwin/);
    const { bavail, bsize } = statfsSync(folder);
    const tooLarge = Math.ceil((bavail * bsize) / 4 / MIB + 64) * MIB;
    expect(of(folder, tooLarge)).toMatch(/in memory|free; 4 times the file's \d+ MiB are needed/);
    expect(of(join(folder, "missing"), 64 * MIB)).toMatch(/ENOENT/);
    if (existsSync("/dev/shm")) expect(of("/dev/shm", 64 * MIB)).toMatch(/in memory|free|written/);
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe.skipIf(process.platform !== "linux")("the lock", () => {
  const { signal } = new AbortController();
  const name = () => `assay-test-${process.pid}-${Math.random()}`;

  test("one holder at a time; the next has it as soon as it is free", async () => {
    const at = name();
    const clock = { elapsed: systemClock.elapsed, sleep: () => systemClock.sleep(5, signal) };
    const first = await takeLock(clock, signal, { name: at });
    expect(first).not.toBeNull();
    let waited = 0;
    const onWait = () => {
      waited++;
      if (waited === 2) first?.free();
    };
    const second = await takeLock(clock, signal, { name: at, onWait });
    expect(second).not.toBeNull();
    expect(waited).toBeGreaterThanOrEqual(2);
    second?.free();
  });

  test("given up after two minutes; another name is another lock", async () => {
    const at = name();
    const held = await takeLock(systemClock, signal, { name: at });
    const clock = steppingClock();
    const started = clock.elapsed();
    expect(await takeLock(clock, signal, { name: at })).toBeNull();
    expect(clock.elapsed() - started).toBeGreaterThanOrEqual(120_000);
    const other = await takeLock(clock, signal, { name: name() });
    expect(other).not.toBeNull();
    other?.free();
    held?.free();
  });

  test("an interrupted wait ends", async () => {
    const at = name();
    const held = await takeLock(systemClock, signal, { name: at });
    const stop = new AbortController();
    const waiting = takeLock(systemClock, stop.signal, { name: at, onWait: () => stop.abort() });
    await expect(waiting).rejects.toThrow();
    held?.free();
  });
});

describe("results", () => {
  const figure = (value: number, settled = true) => ({
    value,
    quality: { settled, spread: 0.01, drift: 0, samples: 9 },
  });
  const run: HostRun = {
    cpu: { model: "AMD EPYC", threads: 64, available: 16, quota: 15.5 },
    single: figure(2e9),
    all: figure(27e9),
    triad: figure(180e9),
    copy: figure(150e9),
    disk: {
      write: figure(1.9e9),
      read: figure(3e9),
      p50: figure(80),
      p99: 140,
      fileBytes: 512 * MIB,
    },
    diskPath: "/work",
    diskFileSystem: "ext4",
    threads: 16,
    conditions: { loadBefore: 0.5, busyBefore: 0.01, steal: 0 },
    isBusy: false,
    faults: [],
    timestamp: "2026-01-01T00:00:00.000Z",
  };

  test("have the catalogue's fields and units, and pass its checks", () => {
    const results = buildResults(run);
    expect(results).toMatchObject({
      cpu_single_gbs: 2,
      cpu_all_gbs: 27,
      effective_cores: 13.5,
      memory_triad_gbs: 180,
      memory_copy_gbs: 150,
      disk_sequential_write_mbs: 1_900,
      disk_sequential_read_mbs: 3_000,
      disk_random_read_p50_us: 80,
      disk_random_read_p99_us: 140,
      disk_direct: true,
      disk_reason: null,
      measurement: { version: 1, settled: true },
    });
    for (const field of Object.keys(hostMark.fields)) expect(results).toHaveProperty(field);
    const parsed = hostMark.result.parse(results);
    expect(hostMark.implausible(parsed, { hardware: noHardware, models: new Map() })).toEqual([]);
    const { methods, quality } = parsed.measurement as Record<string, Record<string, unknown>>;
    expect(Object.keys(methods ?? {}).sort()).toEqual(Object.keys(hostMark.fields).sort());
    for (const metric of Object.keys(quality ?? {})) expect(hostMark.fields).toHaveProperty(metric);
  });

  test("without a disk its figures are null, with the reason, and nothing claims a method", () => {
    const results = buildResults({ ...run, disk: { reason: "/work is in memory (tmpfs)" } });
    expect(results).toMatchObject({
      disk_sequential_write_mbs: null,
      disk_random_read_p99_us: null,
      disk_direct: false,
      disk_reason: "/work is in memory (tmpfs)",
    });
    expect(JSON.stringify(results.measurement)).not.toContain("disk_");
    expect(hostMark.result.safeParse(results).success).toBe(true);
  });

  test("one figure that did not settle is enough to say so", () => {
    const results = buildResults({ ...run, triad: figure(180e9, false) });
    expect(results.measurement).toMatchObject({ settled: false });
  });

  const noHardware = { gpuModel: null, gpuCount: null, gpuModels: null };
});

describe("the step", () => {
  const report: [number, string][] = [];
  const tools = () => ({
    clock: systemClock,
    log: () => {},
    report: (progress: number, message: string) => void report.push([progress, message]),
    signal: new AbortController().signal,
  });
  /** A program that says these lines. */
  const saying = (...lines: object[]) => {
    const file = join(folder, "program.mjs");
    const text = lines.map((line) => `${JSON.stringify(line)}\n`).join("");
    const asked = `${JSON.stringify(file)}, JSON.stringify(process.argv.slice(2))`;
    writeFileSync(
      file,
      `import { writeFileSync } from "node:fs";
       writeFileSync(${asked.replace("program.mjs", "asked.json")});
       process.stdout.write(${JSON.stringify(text)});`,
    );
    return { command: [process.execPath, file], diskPath: "." };
  };

  test("passes the size of the file on, and the figures back", async () => {
    const program = saying(
      { type: "progress", progress: 0.5, message: "memory_triad_gbs" },
      { type: "result", results: { effective_cores: 2 } },
    );
    const outcome = await runHostMark(program, { disk_mib: 100 }, tools());
    expect(outcome).toEqual({ state: "completed", results: { effective_cores: 2 } });
    expect(report).toContainEqual([0.5, "memory_triad_gbs"]);
    const { readFileSync } = await import("node:fs");
    const [flag, , options] = JSON.parse(readFileSync(join(folder, "asked.json"), "utf8"));
    expect(flag).toBe("--host-mark");
    expect(parseHostOptions(options)).toEqual({ diskPath: process.cwd(), diskMib: 100 });
  });

  test("busy, short of memory, crashed: failed with the reason", async () => {
    const busy = { type: "failure", code: "busy", message: "another measurement", hint: "wait" };
    expect(await runHostMark(saying(busy), {}, tools())).toEqual({
      state: "failed",
      errorMessage: "another measurement (busy): wait",
    });
    expect(await runHostMark({ command: ["false"], diskPath: "." }, {}, tools())).toMatchObject({
      state: "failed",
      errorMessage: expect.stringContaining("probe_crashed"),
    });
  });

  test.for([63, 8_193, 100.5, "512", null])("a file of %j MiB is refused", async (disk_mib) => {
    const outcome = await runHostMark(saying(), { disk_mib }, tools());
    expect(outcome).toEqual({
      state: "failed",
      errorMessage: "disk_mib must be a whole number between 64 and 8192",
    });
  });
});
