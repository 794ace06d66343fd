/** Which GPUs they were, and the conditions that explain their figures. */
import {
  type GpuConditions,
  MAX_INVENTORIES,
  type ReportData,
  type ReportNode,
} from "../../report-data.ts";
import type { Flow } from "../flow.ts";
import { type Cell, type Row, table } from "../table.ts";
import { SIZE, SOFT, WARNING } from "../theme.ts";
import { words } from "../writing.ts";

/** The GPUs of the report, after their figures; of a large job in the reports of the nodes. */
export function conditions(flow: Flow, { nodes }: ReportData): void {
  if (nodes.length > MAX_INVENTORIES) {
    if (nodes.every(({ quickMark }) => quickMark?.measurement == null)) return;
    const style = { size: SIZE.small, colour: SOFT };
    flow.paragraph(
      "Identity, clocks, power limits and memory errors of each GPU are in the report of its node.",
      style,
    );
    return;
  }
  const told = nodes.filter(({ quickMark }) => (quickMark?.measurement?.gpus.length ?? 0) > 0);
  if (told.length > 0) detailed(flow, told);
  else identifiers(flow, nodes);
}

function detailed(flow: Flow, nodes: readonly ReportNode[]): void {
  flow.heading(
    "GPUs and their conditions",
    60,
    "Clocks are medians, taken while the figures were measured. A triangle marks what slows a GPU down or shows wear: throttling, a power limit below the default, memory errors, memory rows waiting for replacement. A dash marks what the driver does not report.",
  );
  const right = "right" as const;
  table(
    flow,
    [
      { title: "GPU", width: 23 },
      { title: "UUID, serial number", width: 148 },
      { title: "PCI address", width: 60 },
      { title: "SM clock", unit: "MHz / max", width: 41, align: right },
      { title: "Memory", unit: "MHz / max", width: 41, align: right },
      { title: "", width: 4 },
      { title: "Throttled by", width: 47 },
      { title: "Power limit", unit: "W / default", width: 49, align: right },
      { title: "ECC", unit: "errors", width: 22, align: right },
      { title: "Rows", unit: "remapped", width: 33, align: right },
      { title: "PCIe", unit: "gen × lanes", width: 37, align: right },
    ],
    rowsOf(nodes),
    { dense: true },
  );
}

function* rowsOf(nodes: readonly ReportNode[]): Generator<Row> {
  for (const { rank, gpus, quickMark } of nodes) {
    const measurement = quickMark?.measurement;
    if (measurement == null) continue;
    const facts = [measurement.driver && `driver ${measurement.driver}`, measurement.engine];
    const known = facts.filter((each) => each !== null && each !== "");
    const how = known.length === 0 ? "" : `; ${known.join(", ")}`;
    const busy = measurement.isBusy ? "; busy with other work" : "";
    yield { group: `Node ${rank}: ${gpus ?? "GPUs"}${how}${busy}` };
    for (const [at, each] of measurement.gpus.entries()) yield rowOf(at, each);
  }
}

const MARK = "▼";

function rowOf(at: number, gpu: GpuConditions): Cell[] {
  const { throttle, eccErrors, remappedRows, rowState } = gpu;
  const isLimited =
    gpu.powerLimitWatts !== null &&
    gpu.defaultPowerLimitWatts !== null &&
    gpu.powerLimitWatts < gpu.defaultPowerLimitWatts;
  const isThrottled = throttle !== null && throttle.length > 0;
  const rows = remappedRows === null ? "–" : String(remappedRows);
  const width = gpu.pcieWidth === null ? "–" : String(gpu.pcieWidth);
  return [
    `GPU ${at}`,
    [gpu.uuid, gpu.serial].filter((each) => each !== null).join("\n") || "–",
    gpu.pciAddress ?? "–",
    of(gpu.smMhz, gpu.maxSmMhz),
    of(gpu.memoryMhz, gpu.maxMemoryMhz),
    "",
    marked(
      throttle === null ? "–" : isThrottled ? throttle.map(reason).join(", ") : "nothing",
      isThrottled,
    ),
    marked(of(gpu.powerLimitWatts, gpu.defaultPowerLimitWatts), isLimited),
    marked(eccErrors === null ? "–" : String(eccErrors), (eccErrors ?? 0) > 0),
    marked(rowState === null ? rows : `${rows} ${rowState}`, rowState !== null),
    gpu.pcieGeneration === null ? "–" : `${gpu.pcieGeneration} × ${width}`,
  ];
}

function of(value: number | null, most: number | null): string {
  if (value === null) return "–";
  return most === null ? String(Math.round(value)) : `${Math.round(value)} / ${Math.round(most)}`;
}

function marked(text: string, isMarked: boolean): Cell {
  return isMarked ? { text: `${MARK} ${text}`, face: "bold", colour: WARNING } : text;
}

/** Reasons as the driver's manual has them. */
const REASONS: Readonly<Record<string, string>> = {
  applications_clocks: "application clocks",
  sw_power_cap: "power cap",
  hw_slowdown: "hardware slowdown",
  sync_boost: "sync boost",
  sw_thermal: "temperature",
  hw_thermal: "temperature (hardware)",
  hw_power_brake: "power brake",
  display_clocks: "display clocks",
};

function reason(name: string): string {
  return REASONS[name] ?? words(name);
}

/** Of results that say nothing of conditions. */
function identifiers(flow: Flow, nodes: readonly ReportNode[]): void {
  const rows = nodes.flatMap(({ rank, quickMark }) =>
    (quickMark?.gpus ?? []).map(({ id }, at) => [String(rank), `GPU ${at}`, id]),
  );
  if (rows.length === 0) return;
  flow.subheading("GPU identifiers, as reported by the agent", 40);
  table(
    flow,
    [
      { title: "Node", width: 40 },
      { title: "GPU", width: 60 },
      { title: "Identifier", width: 300 },
    ],
    rows,
    { dense: true },
  );
}
