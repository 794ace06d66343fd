/** The GPUs of a node, which may be of several models. Pure. */
import { isObject } from "../lib/json.ts";
import type { GpuGroup } from "../lib/stored-json.ts";
import { normalizeModel } from "./models.ts";

/** Bound of a node's GPUs, and of the GPUs of one model among them. */
export const MAX_GPUS_PER_NODE = 64;
/** Bound of a node's models. */
export const MAX_MODELS_PER_NODE = 16;

/** The GPUs of a node as it states them. */
export interface Hardware {
  /** Null for several models, and for an unnamed one. */
  gpuModel: string | null;
  gpuCount: number | null;
  /** The GPUs by model where there are several; null otherwise. */
  gpuModels: readonly GpuGroup[] | null;
}

/** The GPUs by model; `count` is null for a node that does not state it. None for a node that names no model. */
export function groupsOf({ gpuModel, gpuCount, gpuModels }: Hardware): {
  model: string;
  count: number | null;
}[] {
  if (gpuModels !== null) return gpuModels.map(({ model, count }) => ({ model, count }));
  return gpuModel === null || gpuCount === 0 ? [] : [{ model: gpuModel, count: gpuCount }];
}

/** Brings the groups that an agent sends into the form of `Hardware`; the list decides over the other two. */
export function toHardware(sent: {
  gpu_model?: string | null | undefined;
  gpu_count?: number | null | undefined;
  gpu_models?: readonly GpuGroup[] | null | undefined;
}): Hardware {
  const counts = new Map<string, number>();
  for (const { model, count } of sent.gpu_models ?? []) {
    counts.set(model, (counts.get(model) ?? 0) + count);
  }
  const groups = [...counts].map(([model, count]) => ({ model, count }));
  const [first] = groups;
  if (first === undefined) {
    return { gpuModel: sent.gpu_model ?? null, gpuCount: sent.gpu_count ?? null, gpuModels: null };
  }
  const gpuCount = groups.reduce((sum, { count }) => sum + count, 0);
  return groups.length === 1
    ? { gpuModel: first.model, gpuCount, gpuModels: null }
    : { gpuModel: null, gpuCount, gpuModels: groups };
}

/** The GPUs in words, such as `2 × NVIDIA H100 NVL, 2 × NVIDIA L40S`; null if nothing is stated. */
export function hardwareName(hardware: Hardware): string | null {
  const groups = groupsOf(hardware);
  const names = groups.map(({ model, count }) => `${count ?? "?"} × ${model}`);
  if (names.length > 0) return names.join(", ");
  if (hardware.gpuCount === 0) return "no GPU";
  return hardware.gpuCount === null ? null : `${hardware.gpuCount} × GPU`;
}

/** A slice of a GPU: its name ends with the profile, such as `NVIDIA A100-SXM4-40GB MIG 1g.5gb`. */
export function isSlice(model: string): boolean {
  return MIG.test(model);
}

/** The model that a slice belongs to; any other model is its own. */
export function wholeOf(model: string): string {
  return model.replace(MIG, "");
}

const MIG = /[\s-]+MIG\b.*$/i;

/** True for two names of one model. */
export function isSameModel(a: string | null, b: string): boolean {
  return a !== null && (a === b || normalizeModel(a) === normalizeModel(b));
}

/**
 * The models of a machine's GPUs by UUID, from the `gpus` of its inventory. Agents write inventories: whatever has
 * another form is left out.
 */
export function modelsByUuid(inventory: unknown): Map<string, string> {
  const models = new Map<string, string>();
  const { gpus } = isObject(inventory) ? inventory : {};
  for (const gpu of Array.isArray(gpus) ? gpus.slice(0, 4 * MAX_GPUS_PER_NODE) : []) {
    if (!isObject(gpu)) continue;
    if (typeof gpu.uuid === "string" && typeof gpu.model === "string") {
      models.set(gpu.uuid, gpu.model);
    }
  }
  return models;
}

/** The most that a network card has, Gbit/s; more is no rate. */
const MAX_CARD_GBPS = 10_000;

/** The rate of the card that other nodes reach a machine by, as its inventory states it; null if it does not. */
export function cardGbpsOf(inventory: unknown): number | null {
  const { network } = isObject(inventory) ? inventory : {};
  const { card_gbps: gbps } = isObject(network) ? network : {};
  return typeof gbps === "number" && gbps > 0 && gbps <= MAX_CARD_GBPS ? gbps : null;
}

/** The model of one GPU's figures: as they name it, else as the inventory does by UUID; null for neither. */
export function modelOfTest(
  test: { [key: string]: unknown },
  models: ReadonlyMap<string, string>,
): string | null {
  if (typeof test.gpu_model === "string") return test.gpu_model;
  return (typeof test.gpu_id === "string" && models.get(test.gpu_id)) || null;
}
