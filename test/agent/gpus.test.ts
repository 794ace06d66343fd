/** What nvidia-smi prints on real machines, healthy and sick, and what the agent makes of it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ASK_BOUND_MS } from "../../agent/src/gpus/ask.ts";
import { factsOf, surveyLine } from "../../agent/src/gpus/facts.ts";
import { readRows, readSlices } from "../../agent/src/gpus/rows.ts";
import { type GpuSurvey, surveyGpus } from "../../agent/src/gpus/survey.ts";
import { patient } from "../patience.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "assay-gpus-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const NEVER = new AbortController().signal;
let scripts = 0;

/** A stand-in for nvidia-smi; `$1` is the query, or `-L`. */
function tool(script: string): string {
  const file = join(folder, `nvidia-smi-${scripts++}`);
  writeFileSync(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return file;
}

const survey = (script: string, boundMs = patient(10_000)): Promise<GpuSurvey> =>
  surveyGpus(NEVER, { command: tool(script), boundMs });

const H100 = "NVIDIA H100 80GB HBM3";
const uuidOf = (at: number) => `GPU-00000000-0000-4000-8000-${String(at).padStart(12, "0")}`;
const row = (at: number, model = H100, memory = 81_559, mig = "Disabled") =>
  `${model}, 570.195.03, ${memory}, ${uuidOf(at)}, ${mig}`;
const rows = (count: number, model?: string) =>
  Array.from({ length: count }, (_, at) => row(at, model));
const printed = (lines: readonly string[], exit = 0) =>
  `cat <<'END'\n${lines.join("\n")}\nEND\nexit ${exit}`;

describe("these GPUs", () => {
  const EIGHT = { gpuModel: H100, gpuCount: 8, gpuModels: [{ model: H100, count: 8 }] };
  const WARNING = "WARNING: infoROM is corrupted at gpu 0000:C1:00.0";

  test.for([
    ["eight rows", rows(8), 0],
    ["eight rows, then a warning, exit 14", [...rows(8), WARNING], 14],
    [
      "a message before the rows, exit 0",
      ["NVIDIA-SMI has new options, see --help", ...rows(8)],
      0,
    ],
    ["a message between the rows, exit 0", rows(8).toSpliced(3, 0, WARNING, ""), 0],
    [
      "a message with commas",
      [...rows(8), "Warning, persistence mode is off, see nvidia-smi -h"],
      0,
    ],
    ["an exit code that nobody has documented", rows(8), 77],
  ] as const)("%s", async ([, lines, exit], { expect }) => {
    const found = await survey(printed(lines, exit));
    expect(factsOf(found)).toMatchObject(EIGHT);
    expect(factsOf(found).inventory.gpu).not.toHaveProperty("lost");
    const notes = lines.filter((line) => line !== "" && !line.startsWith(H100));
    expect(found).toMatchObject({ kind: "listed", notes });
  });

  test("messages on standard error are notes, too; all are cleaned and bounded", async ({
    expect,
  }) => {
    const loud = `i=0; while [ $i -lt 50 ]; do printf 'warn\\033[31m\\t%0400d\\n' $i >&2; i=$((i+1)); done`;
    const found = await survey(`${loud}\n${printed(rows(8))}`);
    const { inventory, ...facts } = factsOf(found);
    expect(facts).toEqual(EIGHT);
    expect(inventory.gpu.notes).toHaveLength(8);
    expect(JSON.stringify(inventory.gpu.notes)).toMatch(/^\["warn \[31m 0+…"/);
    expect(surveyLine(found)).not.toMatch(/\p{Cc}/u);
  });

  test("every GPU is in the inventory, with model, UUID and memory", async ({ expect }) => {
    const { inventory } = factsOf(await survey(printed(rows(2))));
    expect(inventory.gpus).toEqual([
      { model: H100, uuid: uuidOf(0), memory_mib: 81_559 },
      { model: H100, uuid: uuidOf(1), memory_mib: 81_559 },
    ]);
    expect(inventory.gpu).toMatchObject({ count: 2, outcome: "listed", memory_gb: 80 });
  });

  test("an older driver, which knows no MIG, is asked again", async ({ expect }) => {
    const old = `case "$1" in *mig*) echo 'Field "mig.mode.current" is not a valid field to query.'; exit 2;; esac`;
    const found = await survey(`${old}\necho "Tesla V100-SXM2-16GB, 418.87, 16160, ${uuidOf(1)}"`);
    expect(factsOf(found)).toMatchObject({ gpuModel: "Tesla V100-SXM2-16GB", gpuCount: 1 });
  });

  test("a value that is not there is null, as is a memory size that no GPU has", async ({
    expect,
  }) => {
    const { inventory } = factsOf(
      await survey(
        printed([
          `NVIDIA GB10, 580.95.05, [N/A], ${uuidOf(1)}, [N/A]`,
          `NVIDIA GB10, [Unknown Error], 4294967295, [N/A], [Not Supported]`,
        ]),
      ),
    );
    expect(inventory.gpus).toEqual([
      { model: "NVIDIA GB10", uuid: uuidOf(1), memory_mib: null },
      { model: "NVIDIA GB10", uuid: null, memory_mib: null },
    ]);
  });

  test("a tool that takes its time", async ({ expect }) => {
    expect(factsOf(await survey(`sleep 1\n${printed(rows(8))}`)).gpuCount).toBe(8);
    expect(ASK_BOUND_MS).toBe(30_000);
  });

  test("rows of an ended tool count, though something that it started keeps the pipe open", async ({
    expect,
  }) => {
    const started = performance.now();
    const found = await survey(`sh -c 'trap "" TERM; sleep 600' &\n${printed(rows(8))}`);
    expect(factsOf(found).gpuCount).toBe(8);
    expect(performance.now() - started).toBeLessThan(patient(20_000));
  });
});

describe("lost GPUs are counted, and named as lost", () => {
  const BUS = "0000:C1:00.0";

  test.for([
    ["GPU is lost, exit 15", [...rows(7), "GPU is lost"], 15, 1],
    [
      "a GPU that has fallen off the bus",
      [
        ...rows(7),
        `Unable to determine the device handle for GPU ${BUS}: GPU is lost. Reboot the system to recover this GPU`,
      ],
      15,
      1,
    ],
    [
      "two messages about one GPU",
      [
        ...rows(7),
        `Unable to determine the device handle for GPU ${BUS}: Unknown Error`,
        `GPU ${BUS} has fallen off the bus`,
      ],
      0,
      1,
    ],
    [
      "two GPUs",
      [
        ...rows(6),
        `Unable to determine the device handle for GPU ${BUS}: Unknown Error`,
        "Unable to determine the device handle for GPU 0000:C2:00.0: Unknown Error",
      ],
      0,
      2,
    ],
    [
      "its row, without a value",
      [...rows(7), "[GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost]"],
      0,
      1,
    ],
    [
      "its row and a message",
      [
        "[Unknown Error], [Unknown Error], [Unknown Error], [Unknown Error], [N/A]",
        ...rows(7),
        `GPU ${BUS}: GPU requires reset`,
      ],
      0,
      1,
    ],
  ] as const)("%s", async ([, lines, exit, lost], { expect }) => {
    const found = await survey(printed(lines, exit));
    const { inventory, ...facts } = factsOf(found);
    expect(facts).toMatchObject({ gpuModel: H100, gpuCount: 8 - lost });
    expect(inventory.gpu).toMatchObject({ count: 8 - lost, outcome: "listed", lost });
    expect(inventory.gpu.lost_gpus).toHaveLength(lost);
    if (lines.some((line) => line.includes(BUS))) expect(inventory.gpu.lost_gpus).toContain(BUS);
    expect(surveyLine(found)).toContain(`${lost} LOST`);
  });

  test("all of them: a count of 0, and the number that is lost", async ({ expect }) => {
    const lost = "[GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost], [N/A]";
    const { inventory, gpuCount } = factsOf(await survey(printed([lost, lost])));
    expect({ gpuCount, lost: inventory.gpu.lost }).toEqual({ gpuCount: 0, lost: 2 });
  });
});

describe("none", () => {
  test.for([0, 6])("No devices were found, exit %i", async (exit, { expect }) => {
    const found = await survey(printed(["No devices were found"], exit));
    expect(found.kind).toBe("none");
    const { inventory, ...facts } = factsOf(found);
    expect(facts).toEqual({ gpuModel: null, gpuCount: 0, gpuModels: [] });
    expect(inventory.gpu).toMatchObject({ count: 0, outcome: "none" });
  });
});

describe("could not be asked, and why", () => {
  const NVML = "Failed to initialize NVML: Driver/library version mismatch";

  test.for([
    ["NVML, exit 18", printed([NVML], 18), /failed with code 18: Failed to initialize NVML/],
    ["the same on standard error", `echo '${NVML}' >&2; exit 18`, /code 18: Failed to initialize/],
    [
      "a lost GPU that ends the list before its first row",
      printed(["GPU is lost"], 15),
      /code 15: GPU is lost/,
    ],
    ["nothing at all, exit 0", "exit 0", /listed no GPU/],
    [
      "nothing but talk, exit 0",
      "echo NVIDIA A100 has been seen nearby",
      /listed no GPU: NVIDIA A100/,
    ],
    ["ended by a signal", "kill -9 $$", /was ended by SIGKILL/],
    ["an endless flow", "exec yes", /printed more than 256 KiB/],
    [
      "a list that is cut off by a signal",
      `${printed(rows(3)).replace("exit 0", "")}kill -9 $$`,
      /SIGKILL \(it had listed 3\)/,
    ],
  ] as const)("%s", async ([, script, why], { expect }) => {
    const found = await survey(script);
    expect(found).toMatchObject({ kind: "could not be asked", why: expect.stringMatching(why) });
    const { inventory, ...facts } = factsOf(found);
    expect(facts).toEqual({ gpuModel: null, gpuCount: null, gpuModels: [] });
    expect(inventory.gpu).toMatchObject({
      count: null,
      outcome: "could not be asked",
      reason: expect.stringMatching(why),
    });
    expect(surveyLine(found)).toMatch(why);
  });

  test("no nvidia-smi at all, or one that is no program", async ({ expect }) => {
    const missing = await surveyGpus(NEVER, { command: join(folder, "missing") });
    expect(missing).toMatchObject({ why: "nvidia-smi was not found" });
    const file = join(folder, "no-program");
    writeFileSync(file, "", { mode: 0o644 });
    const refused = await surveyGpus(NEVER, { command: file });
    expect(refused).toMatchObject({ why: "nvidia-smi did not start (EACCES)" });
  });

  test.for([
    ["never returns", "exec sleep 600"],
    ["ignores SIGTERM", "trap '' TERM; while :; do sleep 600; done"],
    ["hangs after some rows", `${printed(rows(3)).replace("exit 0", "")}exec sleep 600`],
    [
      "its child keeps the pipe and ignores SIGTERM",
      `sh -c 'trap "" TERM; while :; do sleep 600; done'`,
    ],
  ] as const)("%s: the bound holds", async ([, script], { expect }) => {
    const started = performance.now();
    const found = await survey(script, 700);
    expect(found).toMatchObject({
      kind: "could not be asked",
      why: expect.stringContaining("did not end within 0.7 s"),
    });
    expect(performance.now() - started).toBeLessThan(patient(20_000));
  });

  test("reason and list are bounded", async ({ expect }) => {
    const found = await survey(
      `i=0; while [ $i -lt 99 ]; do printf 'x%0500d\\n' $i; i=$((i+1)); done; exit 9`,
    );
    expect(found.kind === "could not be asked" && found.why.length).toBeLessThanOrEqual(500);
  });
});

describe("an interrupted question", () => {
  test("ends at once, and with it everything that the tool has started", async ({ expect }) => {
    const pidFile = join(folder, "pid");
    const script = `sh -c 'trap "" TERM; echo $$ > ${pidFile}; while :; do sleep 600; done'`;
    const stop = new AbortController();
    const asked = surveyGpus(stop.signal, { command: tool(script) });
    const pid = await untilWritten(pidFile);
    stop.abort(new Error("SIGTERM"));
    await expect(asked).rejects.toThrow("SIGTERM");
    await untilGone(pid);
  });

  async function untilWritten(file: string): Promise<number> {
    const deadline = performance.now() + patient(10_000);
    for (;;) {
      try {
        const pid = Number(readFileSync(file, "utf8"));
        if (pid > 0) return pid;
      } catch {}
      if (performance.now() > deadline) throw new Error("the tool never started");
      await delay(10);
    }
  }

  async function untilGone(pid: number): Promise<void> {
    const deadline = performance.now() + patient(10_000);
    for (;;) {
      try {
        // A zombie is gone, though it has a pid until it is reaped.
        if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return;
      } catch {
        return;
      }
      if (performance.now() > deadline) throw new Error("the tool's child still runs");
      await delay(10);
    }
  }
});

describe("several models", () => {
  const NVL = "NVIDIA H100 NVL";
  const L40S = "NVIDIA L40S";

  test("are counted apart, and no model names them all", async ({ expect }) => {
    const { inventory, ...facts } = factsOf(
      await survey(printed([row(0, NVL), row(1, L40S, 46_068), row(2, NVL), row(3, L40S, 46_068)])),
    );
    const models = [
      { model: NVL, count: 2 },
      { model: L40S, count: 2 },
    ];
    expect(facts).toEqual({ gpuModel: null, gpuCount: 4, gpuModels: models });
    expect(inventory.gpu).toMatchObject({ count: 4, model: null, memory_gb: null, models });
    expect(inventory.gpus).toHaveLength(4);
  });

  test.for([
    ["DGX Display", 4],
    ["NVIDIA DGX Display", 4],
    ["NVIDIA T400 4GB", 4],
    ["Quadro P400", 2],
    ["NVIDIA GeForce GT 1030", 2],
  ] as const)("%s beside an A100 is not counted", async ([display], { expect }) => {
    const A100 = "NVIDIA A100-SXM4-80GB";
    const all = [...Array.from({ length: 4 }, (_, at) => row(at, A100)), row(4, display, 3_911)];
    const { inventory, ...facts } = factsOf(await survey(printed(all)));
    expect(facts).toEqual({ gpuModel: A100, gpuCount: 4, gpuModels: [{ model: A100, count: 4 }] });
    expect(inventory.gpu.display_adapters).toEqual([display]);
  });

  test("a small card alone is the machine's GPU; a display adapter alone is none", async ({
    expect,
  }) => {
    expect(factsOf(await survey(printed([row(0, "NVIDIA T400 4GB")]))).gpuCount).toBe(1);
    expect(factsOf(await survey(printed([row(0, "NVIDIA DGX Display")]))).gpuCount).toBe(0);
  });

  test("more GPUs than the server takes are said in the inventory alone", async ({ expect }) => {
    const { inventory, ...facts } = factsOf(await survey(printed(rows(65))));
    expect(facts).toEqual({ gpuModel: H100, gpuCount: null, gpuModels: [] });
    expect(inventory.gpu).toMatchObject({ count: 65, reason: expect.stringContaining("64") });
    expect(inventory.gpus).toHaveLength(65);
  });
});

describe("MIG", () => {
  const A100 = "NVIDIA A100-SXM4-40GB";
  const enabled = (at: number) => row(at, A100, 40_960, "Enabled");
  const listing = (at: number, profiles: readonly string[]) => [
    `GPU ${at}: ${A100} (UUID: ${uuidOf(at)})`,
    ...profiles.map(
      (profile, device) =>
        `  MIG ${profile}     Device  ${device}: (UUID: MIG-${at}${device}f4ef-42e4)`,
    ),
  ];
  const mig = (query: readonly string[], list: readonly string[]) =>
    `if [ "$1" = -L ]; then\n${printed(list)}\nfi\n${printed(query)}`;

  test("slices are named with their profile, each with its own UUID and memory", async ({
    expect,
  }) => {
    const list = [...listing(0, ["3g.20gb", "1g.5gb", "1g.5gb"]), ...listing(1, [])];
    const script = mig([enabled(0), row(1, A100, 40_960)], list);
    const { inventory, ...facts } = factsOf(await survey(script));
    expect(facts).toEqual({
      gpuModel: null,
      gpuCount: 4,
      gpuModels: [
        { model: `${A100} MIG 3g.20gb`, count: 1 },
        { model: `${A100} MIG 1g.5gb`, count: 2 },
        { model: A100, count: 1 },
      ],
    });
    expect(inventory.gpus[1]).toEqual({
      model: `${A100} MIG 1g.5gb`,
      uuid: "MIG-01f4ef-42e4",
      memory_mib: 5_120,
    });
  });

  test("a GPU in MIG mode without slices computes nothing, and is said", async ({ expect }) => {
    const { inventory, gpuCount } = factsOf(await survey(mig([enabled(0)], listing(0, []))));
    expect(gpuCount).toBe(0);
    expect(JSON.stringify(inventory.gpu.notes)).toContain("MIG mode without slices");
  });

  test("slices that cannot be listed leave a GPU that is named as divided", async ({ expect }) => {
    const script = mig([enabled(0)], ["Failed to initialize NVML"]);
    const { inventory, gpuModel } = factsOf(await survey(script));
    expect(gpuModel).toBe(`${A100} MIG`);
    expect(JSON.stringify(inventory.gpu.notes)).toContain("could not be listed");
  });

  test("older UUIDs of slices are read, too", ({ expect }) => {
    const list = `GPU 0: ${A100} (UUID: ${uuidOf(0)})\n  MIG 1g.5gb+me Device 0: (UUID: MIG-GPU-${"0".repeat(8)}/7/0)`;
    expect(readSlices(list).get(uuidOf(0))).toEqual([
      { profile: "1g.5gb+me", uuid: "MIG-GPU-00000000/7/0" },
    ]);
  });
});

test("no text makes a row, and no text between rows costs one", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "binary", maxLength: 80 }), { maxLength: 6 }),
      (texts) => {
        fc.pre(texts.every((text) => !text.includes("[")));
        const lines = rows(8).flatMap((line, at) => [
          line,
          ...(at < texts.length ? [texts[at]] : []),
        ]);
        expect(readRows(lines.join("\n"), texts.join("\n")).rows).toHaveLength(8);
        expect(readRows(texts.join("\n"), "").rows).toHaveLength(0);
      },
    ),
  );
});
