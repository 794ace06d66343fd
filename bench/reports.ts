/** Cost of a report: CPU time of workerd, which draws it, the heap that it needs, and the file's size. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { convertV4MiniflareOptions, Miniflare, NoOpLog } from "miniflare";
import { ROOT } from "../scripts/lib/project.ts";
import { cpuMs, workerdProcesses } from "./cpu.ts";
import { median } from "./rounds.ts";
import { buildBaseline } from "./stage.ts";

const FILES = ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf"].map((name) =>
  join(ROOT, "public/fonts", name),
);
const [REGULAR, BOLD] = FILES.map((path) => readFileSync(path));
const FONTS = Buffer.concat([REGULAR ?? "", BOLD ?? ""].map((file) => Buffer.from(file)));
const SIZES = `&regular=${REGULAR?.length}`;

const TIMES = 5;
const HEAP_TIMEOUT_MS = 60_000;
interface Case {
  name: string;
  nodes: number;
  gpus: number;
  /** Limits that must hold. */
  /** `heapMib`: half of what an isolate has for everything. */
  limits: { cpuMs: number; bytes: number; heapMib: number };
}

const CASES: readonly Case[] = [
  {
    name: "4 nodes of 8 GPUs",
    nodes: 4,
    gpus: 8,
    limits: { cpuMs: 150, bytes: 300_000, heapMib: 64 },
  },
  {
    name: "256 nodes of 8 GPUs",
    nodes: 256,
    gpus: 8,
    limits: { cpuMs: 3_000, bytes: 5_000_000, heapMib: 64 },
  },
];

export interface ReportCost {
  name: string;
  /** The first one, which loads the library; null where the system does not say (only Linux does). */
  firstCpuMs: number | null;
  /** Median of those after it. */
  cpuMs: number | null;
  /** In which heap it could be drawn; null where it could not. */
  heapMib: number | null;
  bytes: number;
  isWithin: boolean;
}

export async function timeReports(folder: string): Promise<ReportCost[]> {
  const path = await buildBaseline(folder, "report-draw");
  const costs: ReportCost[] = [];
  for (const each of CASES) costs.push(await timeReport(path, folder, each));
  return costs;
}

async function timeReport(
  path: string,
  folder: string,
  { name, nodes, gpus, limits }: Case,
): Promise<ReportCost> {
  const before = new Set(workerdProcesses());
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      workers: [
        {
          name: "reports",
          compatibilityDate: "2026-10-20",
          compatibilityFlags: ["nodejs_compat"],
          modulesRoot: folder,
          modules: [{ type: "ESModule", path }],
        },
      ],
      host: "127.0.0.1",
      cf: false,
      log: new NoOpLog(),
      handleStructuredLogs: () => {},
    }),
  );
  try {
    const url = await miniflare.ready;
    const ask = async (idle = "") => {
      const response = await fetch(`${url}?nodes=${nodes}&gpus=${gpus}${SIZES}${idle}`, {
        method: "POST",
        body: FONTS,
      });
      if (!response.ok) throw new Error(`drawing ${name}: ${await response.text()}`);
      const { bytes } = (await response.json()) as { bytes: number }; // the reply of the baseline
      return bytes;
    };
    const [pid] = workerdProcesses().filter((each) => !before.has(each));
    const costOf = async (run: () => Promise<unknown>) => {
      const start = pid === undefined ? 0 : cpuMs(pid);
      await run();
      return pid === undefined ? 0 : cpuMs(pid) - start;
    };
    await ask("&idle");
    const dataMs = await costOf(() => ask("&idle"));
    let bytes = 0;
    const draw = async () => {
      bytes = await ask();
    };
    const first = (await costOf(draw)) - dataMs;
    const times: number[] = [];
    for (let time = 0; time < TIMES; time++) times.push((await costOf(draw)) - dataMs);
    const heapMib = fitsInHeap(path, `nodes=${nodes}&gpus=${gpus}`, limits.heapMib)
      ? limits.heapMib
      : null;
    const typical = median(times);
    const isWithin =
      bytes <= limits.bytes &&
      (pid === undefined || Math.max(first, typical) <= limits.cpuMs) &&
      heapMib !== null;
    return {
      name,
      firstCpuMs: pid === undefined ? null : first,
      cpuMs: pid === undefined ? null : typical,
      heapMib,
      bytes,
      isWithin,
    };
  } finally {
    await miniflare.dispose();
  }
}

/** Answers true if V8 draws the same with no more heap than this. Nothing else enforces the limit locally. */
function fitsInHeap(path: string, query: string, heapMib: number): boolean {
  const program = `import worker from ${JSON.stringify(pathToFileURL(path).href)};
    import { readFileSync } from "node:fs";
    const body = Buffer.concat(${JSON.stringify(FILES)}.map((file) => readFileSync(file)));
    const reply = await worker.fetch(new Request("http://heap/?${query}${SIZES}", { method: "POST", body }));
    if (!reply.ok) process.exit(1);`;
  const limits = [`--max-old-space-size=${heapMib}`, "--max-semi-space-size=4"];
  const options = { input: program, timeout: HEAP_TIMEOUT_MS };
  return spawnSync(process.execPath, [...limits, "--input-type=module"], options).status === 0;
}
