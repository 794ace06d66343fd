/** Baselines as people see and pin them. */

import { createHash } from "node:crypto";
import { DATA_SHEETS, type DataSheet } from "../benchmarks/data-sheets.ts";
import { classesOf, QUICKMARK } from "../benchmarks/methods.ts";
import { normalizeModel } from "../benchmarks/models.ts";
import { SHIPPED, SHIPPED_SOURCE } from "../benchmarks/shipped-baselines.ts";
import type { Database } from "../db/client.ts";
import type { Precondition } from "../db/versions.ts";
import { ApiError, invalidField, notFound } from "../http/errors.ts";
import { toTimestamp } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { RATED_METRICS, type RatedMetric } from "../lib/enums.ts";
import type { AuditContext } from "../resources/audit.ts";
import { chooseBaseline, largeEnough } from "./baselines.ts";
import type { BaselineRow } from "./rating-store.ts";
import { type BaselineListWire, type BaselineWire, MAX_BASELINES } from "./schemas.ts";
import { type BaselineKey, findBaseline, listBaselines, nameOf, pinBaseline } from "./store.ts";

/** A baseline and its version, as validators are made of. */
export interface VersionedBaseline {
  baseline: BaselineWire;
  /** Takes the place of a UUID in the ETag: a baseline has none. */
  uuid: string;
  version: number;
}

/** All baselines and data sheets, by model and metric. One D1 round trip. */
export async function allBaselines(
  db: Database,
  thresholds: RatingThresholds,
): Promise<BaselineListWire> {
  const { version, rows } = await listBaselines(db, MAX_BASELINES);
  const textOf = (key: BaselineKey) => `${key.model} ${key.metric} ${key.class}`;
  const stored = new Map(rows.map((row) => [textOf(row), row]));
  const own = rows.map(({ model }) => model);
  const models = new Set([...SHIPPED.keys(), ...DATA_SHEETS.keys(), ...own]);
  return {
    version,
    thresholds: {
      underperforming_below: thresholds.underperformingBelow,
      outperforming_above: thresholds.outperformingAbove,
      straggler_below: thresholds.stragglerBelow,
      drop_below: thresholds.dropBelow,
      fleet_min_machines: thresholds.fleetMinMachines,
    },
    shipped_source: SHIPPED_SOURCE,
    baselines: [...models].sort().flatMap((model) =>
      RATED_METRICS.flatMap((metric) =>
        classesOf(metric).flatMap((name) => {
          const key = { model, metric, class: name };
          return toBaseline(key, stored.get(textOf(key)), thresholds) ?? [];
        }),
      ),
    ),
  };
}

/** One baseline. One D1 round trip. */
export async function viewBaseline(
  db: Database,
  named: NamedBaseline,
  thresholds: RatingThresholds,
) {
  const key = keyOf(named);
  const row = await findBaseline(db, key);
  return versioned(key, row, thresholds);
}

/** Pins a value; repeating it changes nothing. One D1 round trip. */
export async function pin(
  db: Database,
  named: NamedBaseline,
  value: number,
  precondition: Precondition | null,
  audit: AuditContext,
  thresholds: RatingThresholds,
): Promise<VersionedBaseline> {
  const key = keyOf(named);
  const versions = versionsOf(key, precondition);
  const { before, after } = await pinBaseline(db, key, value, versions, {
    ...audit,
    details: { value },
  });
  expectVersion(before, versions);
  return versioned(key, after, thresholds);
}

/** Removes a pin. One D1 round trip. */
export async function unpin(
  db: Database,
  named: NamedBaseline,
  precondition: Precondition | null,
  audit: AuditContext,
): Promise<void> {
  const key = keyOf(named);
  const versions = versionsOf(key, precondition);
  const { before } = await pinBaseline(db, key, null, versions, audit);
  if (before === null || before.pinnedValue === null) throw unknown(key);
  expectVersion(before, versions);
}

/** As a request names it: the model in any spelling. */
type NamedBaseline = BaselineKey;

function keyOf({ model: spelt, metric, class: name }: NamedBaseline): BaselineKey {
  const model = normalizeModel(spelt);
  if (model === null) throw invalidField("model", "must name a GPU model");
  const known = classesOf(metric);
  if (!known.includes(name)) {
    throw invalidField("class", `must be one of ${known.join(", ")} for ${metric}`);
  }
  return { model, metric, class: name };
}

function versioned(
  key: BaselineKey,
  row: BaselineRow | null,
  thresholds: RatingThresholds,
): VersionedBaseline {
  const baseline = toBaseline(key, row ?? undefined, thresholds);
  if (baseline === null) throw unknown(key);
  return { baseline, uuid: idOf(key), version: baseline.version };
}

function unknown(key: BaselineKey): ApiError {
  return notFound("Baseline", nameOf(key));
}

function idOf(key: BaselineKey): string {
  return createHash("sha256").update(nameOf(key)).digest("hex").slice(0, 32);
}

/** The versions that a precondition names; null for any. */
function versionsOf(key: BaselineKey, precondition: Precondition | null): number[] | null {
  if (precondition === null || precondition === "any") return null;
  const start = `${idOf(key)}.`;
  return precondition.flatMap((tag) =>
    tag.startsWith(start) ? [Number(tag.slice(start.length))] : [],
  );
}

function expectVersion(before: BaselineRow | null, versions: readonly number[] | null): void {
  if (versions === null || versions.includes(before?.version ?? 0)) return;
  const message = "The baseline has changed since the version you name; read it again";
  throw new ApiError("PRECONDITION_FAILED", message);
}

/** Null when the model and metric have neither a baseline nor a data sheet. */
function toBaseline(
  { model, metric, class: name }: BaselineKey,
  row: BaselineRow | undefined,
  thresholds: RatingThresholds,
): BaselineWire | null {
  const shippedModel = SHIPPED.get(model);
  const isQuickMark = name === QUICKMARK;
  const shipped = (isQuickMark ? shippedModel?.[metric] : null) ?? null;
  const sheet = DATA_SHEETS.get(model);
  const fleet = fleetOf(row, thresholds);
  const pinned = row?.pinnedValue ?? null;
  // A data sheet has no class: it is listed once.
  const hasSheet = isQuickMark && sheet !== undefined;
  if (shipped === null && !hasSheet && fleet === null && pinned === null) return null;
  const chosen = chooseBaseline({ fleets: { own: null, all: fleet }, shipped, pinned }, thresholds);
  return {
    model,
    metric,
    class: name,
    gpu_model: shippedModel?.gpuModel ?? sheet?.gpuModel ?? null,
    version: row?.version ?? 0,
    source: chosen?.source ?? null,
    value: chosen?.value ?? null,
    fleet,
    shipped: shipped === null ? null : { ...shipped, lower_quartile: null, upper_quartile: null },
    fleet_to_shipped:
      fleet === null || shipped === null
        ? null
        : Math.round((fleet.median / shipped.median) * 1e6) / 1e6,
    pinned: pinned === null ? null : { value: pinned, at: toTimestamp(row?.pinnedAt ?? 0) },
    data_sheet: sheet === undefined ? null : promised(sheet, metric),
  };
}

function fleetOf(
  row: BaselineRow | undefined,
  thresholds: RatingThresholds,
): BaselineWire["fleet"] {
  const { fleetMedian: median = null, fleetMachines: machines = null, fleetAt = null } = row ?? {};
  if (median === null || machines === null) return null;
  const fleet = largeEnough({ median, machines }, thresholds);
  return fleet && { ...fleet, computed_at: toTimestamp(fleetAt ?? 0) };
}

function promised(sheet: DataSheet, metric: RatedMetric): number {
  return metric === "bf16_tflops" ? sheet.bf16Tflops : sheet.memoryBandwidthGbs;
}
