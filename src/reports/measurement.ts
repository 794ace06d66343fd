/** How a node's figures were made, as far as a report shows it: from `measurement` of a QuickMark result. Pure. */
import { isObject } from "../lib/json.ts";
import { cutAt } from "../lib/text.ts";
import type { GpuConditions, ReportMeasurement, ReportQuality } from "./report-data.ts";

/** Far more than there are metrics. */
const MAX_METRICS = 24;
const MAX_GPUS = 64;
const MAX_TEXT = 64;
const MAX_REASONS = 8;

type Sent = { readonly [name: string]: unknown };

/** @param sent nothing in it is sure but its size */
export function readMeasurement(
  sent: unknown,
  share: (text: string) => string,
): ReportMeasurement | null {
  if (!isObject(sent)) return null;
  const conditions = sectionOf(sent, "conditions");
  const engine = sectionOf(sent, "engine");
  const text = (value: unknown) =>
    typeof value === "string" ? share(cutAt(value, MAX_TEXT)) : null;
  const facts = Array.isArray(conditions.facts) ? conditions.facts.slice(0, MAX_GPUS) : [];
  return {
    engine: [text(engine.id), text(engine.library)].filter((each) => each !== null).join(" "),
    driver: text(engine.driver),
    isBusy: conditions.busy === true,
    quality: qualityOf(sectionOf(sent, "methods"), sectionOf(sent, "quality"), text),
    gpus: facts.map((each) => conditionsOf(isObject(each) ? each : {}, text)),
  };
}

function qualityOf(
  methods: Sent,
  quality: Sent,
  text: (value: unknown) => string | null,
): ReportQuality[] {
  return Object.entries(methods)
    .slice(0, MAX_METRICS)
    .map(([metric, method]) => {
      const sent = sectionOf(quality, metric);
      return {
        metric: text(metric) ?? "",
        method: text(method) ?? "",
        samples: numberOf(sent.samples),
        spread: numberOf(sent.spread),
        drift: numberOf(sent.drift),
        seconds: numberOf(sent.seconds),
        isSettled: typeof sent.settled === "boolean" ? sent.settled : null,
      };
    });
}

function conditionsOf(sent: Sent, text: (value: unknown) => string | null): GpuConditions {
  const rows = sectionOf(sent, "remapped_rows");
  const reasons = Array.isArray(sent.throttle) ? sent.throttle.slice(0, MAX_REASONS) : null;
  const remapped = [numberOf(rows.correctable), numberOf(rows.uncorrectable)];
  return {
    uuid: text(sent.uuid),
    serial: text(sent.serial),
    pciAddress: text(sent.pci_address),
    smMhz: numberOf(sent.sm_mhz),
    maxSmMhz: numberOf(sent.max_sm_mhz),
    memoryMhz: numberOf(sent.memory_mhz),
    maxMemoryMhz: numberOf(sent.max_memory_mhz),
    throttle: reasons === null ? null : reasons.flatMap((each) => text(each) ?? []),
    powerLimitWatts: numberOf(sent.power_limit_watts),
    defaultPowerLimitWatts: numberOf(sent.default_power_limit_watts),
    eccErrors: numberOf(sent.uncorrected_ecc_errors),
    remappedRows: remapped.every((each) => each === null)
      ? null
      : remapped.reduce<number>((sum, each) => sum + (each ?? 0), 0),
    rowState: rows.failed === true ? "failed" : rows.pending === true ? "pending" : null,
    pcieGeneration: numberOf(sent.pcie_generation),
    pcieWidth: numberOf(sent.pcie_width),
    watts: numberOf(sent.watts),
    celsius: numberOf(sent.celsius),
  };
}

function sectionOf(sent: Sent, name: string): Sent {
  const value = sent[name];
  return isObject(value) ? value : {};
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
