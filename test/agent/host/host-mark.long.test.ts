/** HostMark as it really runs: this agent's program, its threads, its disk; and what a killed one leaves. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../agent/src/clock.ts";
import { runHostMark } from "../../../agent/src/host/step.ts";
import { hostMark } from "../../../src/benchmarks/host-mark.ts";
import { patient } from "../../patience.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "assay-host-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const command = [process.execPath, join(import.meta.dirname, "../../../agent/src/main.ts")];
const CONFIG = { disk_mib: 64 };

test(
  "measures this machine: whole, plausible, and nothing is left in the folder",
  async () => {
    const heard: string[] = [];
    const outcome = await runHostMark({ command, diskPath: folder }, CONFIG, {
      clock: systemClock,
      log: () => {},
      report: (_, message) => void heard.push(message),
      signal: new AbortController().signal,
    });
    expect(outcome).toMatchObject({ state: "completed" });
    const results = hostMark.result.parse(outcome.results);
    const hardware = { gpuModel: null, gpuCount: null, gpuModels: null };
    expect(hostMark.implausible(results, { hardware, models: new Map() })).toEqual([]);
    for (const metric of ["cpu_single_gbs", "cpu_all_gbs", "memory_triad_gbs", "memory_copy_gbs"]) {
      expect(results[metric], metric).toBeGreaterThan(0);
    }
    expect(results.disk_direct === true || typeof results.disk_reason === "string").toBe(true);
    expect(heard).toEqual(expect.arrayContaining(["effective_cores", "memory_triad_gbs"]));
    expect(readdirSync(folder)).toEqual([]);
  },
  patient(180_000),
);

test(
  "stopped in the middle: it ends at once, and the next one begins",
  async () => {
    const stop = new AbortController();
    const run = runHostMark({ command, diskPath: folder }, CONFIG, {
      clock: systemClock,
      log: () => {},
      report: (_, message) => {
        if (message === "effective_cores") stop.abort(new Error("stopped"));
      },
      signal: stop.signal,
    });
    await expect(run).rejects.toThrow("stopped");
    expect(readdirSync(folder)).toEqual([]);
    const again = new AbortController();
    const next = runHostMark({ command, diskPath: folder }, CONFIG, {
      clock: systemClock,
      log: () => {},
      report: (_, message) => {
        if (message === "effective_cores") again.abort(new Error("enough"));
      },
      signal: again.signal,
    });
    await expect(next).rejects.toThrow("enough");
  },
  patient(180_000),
);
