import { cleaned, type Gpu } from "./rows.ts";
import type { GpuSurvey } from "./survey.ts";

/** The server takes no more in a node. */
const MAX_GPUS = 64;
/** Models of a node that the server takes. */
const MAX_MODELS = 16;

export interface GpuGroup {
  model: string;
  count: number;
}

/** The GPUs of a node, as it joins with them. */
export interface GpuFacts {
  /** Null where there are several models, none, or no answer. */
  gpuModel: string | null;
  /** Null where nvidia-smi could not be asked. */
  gpuCount: number | null;
  /** In the order of their first GPU. */
  gpuModels: GpuGroup[];
  /** The inventory's `gpu`, and its `gpus`: one entry for each. */
  inventory: { gpu: Record<string, unknown>; gpus: Record<string, unknown>[] };
}

/** The facts to join with, and the inventory, which says how they were found. */
export function factsOf(survey: GpuSurvey): GpuFacts {
  if (survey.kind === "could not be asked") {
    const { why, lost } = survey;
    const gpu = { count: null, outcome: survey.kind, reason: why, ...lostOf(lost) };
    return { gpuModel: null, gpuCount: null, gpuModels: [], inventory: { gpu, gpus: [] } };
  }
  const { notes } = survey;
  const said = notes.length === 0 ? {} : { notes };
  if (survey.kind === "none") {
    const gpu = { count: 0, outcome: survey.kind, ...said };
    return { gpuModel: null, gpuCount: 0, gpuModels: [], inventory: { gpu, gpus: [] } };
  }
  const { gpus, displays, lost } = survey;
  const models = groupsOf(gpus);
  const [first] = gpus;
  const isOne = models.length === 1;
  const gpu = {
    count: gpus.length,
    outcome: survey.kind,
    model: isOne ? first?.model : null,
    vendor: "NVIDIA",
    memory_gb: isOne && first?.memoryMib != null ? Math.round(first.memoryMib / 1024) : null,
    driver_version: first?.driverVersion ?? null,
    ...(isOne ? {} : { models }),
    ...(displays.length === 0 ? {} : { display_adapters: displays.map(({ model }) => model) }),
    ...lostOf(lost),
    ...said,
  };
  const isTooMany = gpus.length > MAX_GPUS || models.length > MAX_MODELS;
  return {
    gpuModel: isOne ? (first?.model ?? null) : null,
    gpuCount: isTooMany ? null : gpus.length,
    gpuModels: isTooMany ? [] : models,
    inventory: {
      gpu: isTooMany
        ? { ...gpu, reason: `more than ${MAX_GPUS} GPUs or ${MAX_MODELS} models` }
        : gpu,
      gpus: gpus.slice(0, 2 * MAX_GPUS).map(({ model, uuid, memoryMib }) => ({
        model,
        uuid,
        memory_mib: memoryMib,
      })),
    },
  };
}

function groupsOf(gpus: readonly Gpu[]): GpuGroup[] {
  const counts = new Map<string, number>();
  for (const { model } of gpus) counts.set(model, (counts.get(model) ?? 0) + 1);
  return [...counts].map(([model, count]) => ({ model, count }));
}

function lostOf(lost: readonly string[]) {
  return lost.length === 0 ? {} : { lost: lost.length, lost_gpus: lost.map(cleaned) };
}

/** The outcome in a line for the log. */
export function surveyLine(survey: GpuSurvey): string {
  if (survey.kind === "could not be asked") {
    return `the GPUs could not be listed: ${survey.why}. This node joins without them`;
  }
  if (survey.kind === "none") return "nvidia-smi says that this machine has no GPU";
  const { gpus, displays, lost, notes } = survey;
  const parts = [
    ...groupsOf(gpus).map(({ model, count }) => `${count} × ${model}`),
    ...(lost.length === 0 ? [] : [`${lost.length} LOST (${lost.join(", ")})`]),
    ...(displays.length === 0 ? [] : [`${displays.length} display adapter, not counted`]),
  ];
  const said = notes.length === 0 ? "" : `; nvidia-smi also says: ${notes.join("; ")}`;
  return `GPUs: ${parts.join(", ") || "none"}${said}`;
}
