/** Readings by nvidia-smi, from programs that print what the tool prints, and what it should not. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openSmi } from "../../../agent/src/gpu/smi.ts";
import { throttleReasons } from "../../../agent/src/gpu/throttle.ts";

const folder = mkdtempSync(join(tmpdir(), "assay-smi-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const READINGS: Readonly<Record<string, string>> = {
  "pci.bus_id": "00000000:17:00.0",
  uuid: "GPU-aaaa1111-0000-4000-8000-000000000001",
  serial: "1320000000001",
  driver_version: "580.159.04",
  "pcie.link.gen.max": "5",
  "pcie.link.width.max": "16",
  "enforced.power.limit": "600.00",
  "power.default_limit": "700.00",
  "ecc.mode.current": "Enabled",
  "ecc.errors.uncorrected.volatile.total": "0",
  "remapped_rows.correctable": "1",
  "remapped_rows.uncorrectable": "2",
  "remapped_rows.pending": "Yes",
  "remapped_rows.failure": "No",
  "mig.mode.current": "Disabled",
  persistence_mode: "Enabled",
  "clocks.max.sm": "1980",
  "clocks.max.memory": "2619",
  "utilization.gpu": "7",
  "memory.used": "1024",
  "power.draw": "391.23",
  "temperature.gpu": "61",
  "clocks.sm": "1410",
  "clocks.mem": "2619",
  "pcie.link.gen.current": "5",
  "pcie.link.width.current": "8",
  "clocks_throttle_reasons.active": "0x0000000000000044",
  gpu_uuid: "GPU-aaaa1111-0000-4000-8000-000000000001",
  pid: "4242",
  used_gpu_memory: "2048",
};

let programs = 0;

/** A program that answers questions for columns, and writes each question down. */
function tool(readings: Readonly<Record<string, string>>, before = ""): [string, () => string[]] {
  const file = join(folder, `${++programs}`);
  const asked = `${file}.asked`;
  writeFileSync(asked, "");
  writeFileSync(
    file,
    `#!${process.execPath}
const { appendFileSync } = require("node:fs");
const readings = ${JSON.stringify(readings)};
const [, , question = ""] = process.argv;
appendFileSync(${JSON.stringify(asked)}, question + "\\n");
${before}
const fields = question.split("=")[1].split(",");
const unknown = fields.find((field) => !(field in readings));
if (unknown !== undefined) {
  console.log('Field "' + unknown + '" is not a valid field to query.');
  process.exit(2);
}
console.log(fields.map((field) => readings[field]).join(", "));
`,
    { mode: 0o755 },
  );
  return [file, () => readFileSync(asked, "utf8").trim().split("\n")];
}

const BUS = "0000:17:00.0";

test("every reading, in the names that are sent", () => {
  const [command] = tool(READINGS);
  const telemetry = openSmi({ command, now: () => 0 });
  expect(telemetry.driverVersion).toBe("580.159.04");
  const gpu = telemetry.gpu(BUS);
  expect(gpu?.facts()).toEqual({
    uuid: "GPU-aaaa1111-0000-4000-8000-000000000001",
    serial: "1320000000001",
    pci_address: BUS,
    pcie_max_generation: 5,
    pcie_max_width: 16,
    power_limit_watts: 600,
    default_power_limit_watts: 700,
    ecc: true,
    uncorrected_ecc_errors: 0,
    remapped_rows: { correctable: 1, uncorrectable: 2, pending: true, failed: false },
    mig: false,
    persistence: true,
    nvlink_links: null,
    nvlink_version: null,
    max_sm_mhz: 1_980,
    max_memory_mhz: 2_619,
  });
  expect(gpu?.sample()).toEqual({
    watts: 391.23,
    celsius: 61,
    smMhz: 1_410,
    memoryMhz: 2_619,
    pcieGeneration: 5,
    pcieWidth: 8,
    throttle: ["sw_power_cap", "hw_thermal"],
  });
  expect(gpu?.processes()).toEqual([{ pid: 4_242, bytes: 2 * 2 ** 30 }]);
  expect([gpu?.utilization(), gpu?.usedBytes()]).toEqual([7, 2 ** 30]);
  expect(telemetry.gpu("0000:18:00.0")).toBeNull();
});

test("a reading that is not there is null, never 0", () => {
  const absent = Object.fromEntries(
    Object.entries(READINGS).map(([field, value], i) => [
      field,
      field === "pci.bus_id"
        ? value
        : (["[N/A]", "[Not Supported]", "", "N/A", "0x", "-1", "ERR!"][i % 7] ?? ""),
    ]),
  );
  const [command] = tool(absent);
  const gpu = openSmi({ command, now: () => 0 }).gpu(BUS);
  const { pci_address: _address, uuid, serial, ...facts } = gpu?.facts() ?? { pci_address: null };
  for (const value of Object.values(facts)) expect(value).toBeNull();
  expect([uuid, serial]).not.toContain(0);
  for (const value of Object.values(gpu?.sample() ?? {})) expect(value).toBeNull();
  expect(gpu?.processes()).toEqual([]);
  expect([gpu?.utilization(), gpu?.usedBytes()]).toEqual([null, null]);
});

test("columns that an older tool does not know cost themselves only", () => {
  const { "mig.mode.current": _mig, "remapped_rows.pending": _rows, ...older } = READINGS;
  const [command] = tool(older);
  expect(
    openSmi({ command, now: () => 0 })
      .gpu(BUS)
      ?.facts(),
  ).toMatchObject({
    mig: null,
    remapped_rows: null,
    power_limit_watts: 600,
  });
});

test("all GPUs are asked for at once, at most every three seconds", () => {
  const [command, asked] = tool(READINGS);
  let now = 0;
  const telemetry = openSmi({ command, now: () => now });
  const opened = asked().length;
  for (now = 0; now < 9_000; now += 100) telemetry.gpu(BUS)?.sample();
  expect(asked().length - opened).toBe(3);
});

test("a tool that fails later is not asked again", () => {
  const [command, asked] = tool(READINGS, `if (question.includes("power.draw")) process.exit(9);`);
  let now = 0;
  const telemetry = openSmi({ command, now: () => now });
  const opened = asked().length;
  for (now = 0; now < 9_000; now += 1_000) expect(telemetry.gpu(BUS)?.sample().watts).toBeNull();
  expect(asked().length - opened).toBe(1);
});

describe("a tool that is no good", () => {
  test.each([
    ["hangs", "setInterval(() => {}, 1e6); return;", /ETIMEDOUT/],
    ["ends with an error", "process.exit(9);", /failed with code 9/],
    ["prints no row", "console.log('No devices were found'); process.exit(0);", /lists no GPU/],
    [
      "prints without an end",
      `for (;;) process.stdout.write("x".repeat(1 << 16));`,
      /ENOBUFS|ETIMEDOUT/,
    ],
  ])("%s", (_, before, message) => {
    const [command] = tool(READINGS, before);
    expect(() => openSmi({ command, now: () => 0, boundMs: 700 })).toThrow(message);
  });

  test("is not there", () => {
    expect(() => openSmi({ command: join(folder, "none"), now: () => 0 })).toThrow(/ENOENT/);
  });

  test("prints junk around its rows", () => {
    const [command] = tool(
      READINGS,
      `console.log("WARNING: infoROM is corrupted, 1, 2"); console.log("\\x1b[2J");`,
    );
    expect(
      openSmi({ command, now: () => 0 })
        .gpu(BUS)
        ?.facts().uuid,
    ).toBe(READINGS.uuid);
  });
});

test("each reason that holds clocks down has its name; an unknown one its number", () => {
  expect(throttleReasons(0x1n)).toEqual([]);
  expect(throttleReasons(0x1ffn)).toEqual([
    "applications_clocks",
    "sw_power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal",
    "hw_thermal",
    "hw_power_brake",
    "display_clocks",
  ]);
  expect(throttleReasons(0x4000_0004n)).toEqual(["sw_power_cap", "0x40000000"]);
});
