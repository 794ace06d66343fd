import { dataSheetOf } from "../benchmarks/data-sheets.ts";
import { quantileOf } from "../benchmarks/statistics.ts";
import { single } from "../http/replies.ts";
import { serve } from "../http/serve.ts";
import { scopeOf } from "../identity/actor.ts";
import { compareRoute } from "./contract.ts";
import { expectDifferentSpecs, type Key, readKeys, readModel } from "./keys.ts";
import { type GroupWire, MAX_RESULTS } from "./schemas.ts";
import { type Figure, readFigures } from "./store.ts";

export const comparisonRoutes = () => [
  serve(compareRoute, async (c) => {
    const { group_by, key: texts, metric, gpu_model } = c.req.valid("query");
    const keys = readKeys(group_by, texts);
    const model = gpu_model === undefined ? null : readModel("gpu_model", gpu_model);
    const { session: db } = c.get("databases");
    const wanted = { metric, model, limit: MAX_RESULTS };
    const found = await readFigures(db, scopeOf(c.get("actor")), keys, wanted);
    expectDifferentSpecs(
      keys,
      found.map(({ specUuid }) => specUuid),
    );
    const groups = keys.flatMap((key, at) => {
      const { label = null, figures = [] } = found[at] ?? {};
      return groupsOf(key, label ?? nameOf(key), figures);
    });
    return single(c, { group_by, metric, groups });
  }),
];

/** A name where no row has one. */
function nameOf(key: Key): string {
  return (key.by === "model" ? dataSheetOf(key.model)?.gpuModel : undefined) ?? key.text;
}

function groupsOf({ text: key }: Key, label: string, figures: readonly Figure[]): GroupWire[] {
  const empty = { n: 0, machines: 0, min: null, q1: null, median: null, q3: null, max: null };
  if (figures.length === 0) return [{ key, label, ...empty, class: null }];
  const classes = [...Map.groupBy(figures, (figure) => figure.class)];
  classes.sort(([one], [other]) => (one < other ? -1 : 1));
  return classes.map(([name, all]) => {
    const sorted = all.map(({ value }) => value).sort((a, b) => a - b);
    return {
      key,
      label,
      n: sorted.length,
      machines: new Set(all.map(({ machineUuid }) => machineUuid)).size,
      min: quantileOf(sorted, 0),
      q1: quantileOf(sorted, 0.25),
      median: quantileOf(sorted, 0.5),
      q3: quantileOf(sorted, 0.75),
      max: quantileOf(sorted, 1),
      class: name,
    };
  });
}
