import { z } from "@hono/zod-openapi";
import { json, jsonBody, operation } from "../api/operation.ts";
import { queryChoice } from "../api/query-parameters.ts";
import { CLASSES, QUICKMARK } from "../benchmarks/methods.ts";
import {
  type BaselineWire,
  baseline,
  baselineList,
  modelParameter,
  pinBody,
  ratedMetric,
} from "./schemas.ts";

const BASE = "/api/silicon-mark/v1/baselines";
const PATH = `${BASE}/{model}/{metric}` as const;
const TAGS: [string] = ["Scoreboard"];

const params = z.object({
  model: modelParameter,
  metric: ratedMetric.openapi({ param: { name: "metric", in: "path" } }),
});

const query = z.object({
  class: queryChoice(CLASSES, "The class of methods; the metric must have it.").default(QUICKMARK),
});

const example: BaselineWire = {
  model: "a100-sxm4-80gb",
  metric: "bf16_tflops",
  class: "quickmark",
  gpu_model: "NVIDIA A100-SXM4-80GB",
  version: 17,
  source: "fleet",
  value: 268.4,
  fleet: {
    median: 268.4,
    machines: 84,
    computed_at: "2024-03-15T10:30:00.000Z",
  },
  shipped: {
    median: 265.2,
    lower_quartile: null,
    upper_quartile: null,
    min: 258.4,
    max: 285.8,
    runs: 12,
  },
  fleet_to_shipped: 1.012066,
  pinned: null,
  data_sheet: 312,
};

export const listBaselinesRoute = operation({
  method: "get",
  path: BASE,
  operationId: "listBaselines",
  tags: TAGS,
  summary: "List baselines",
  description: `Lists all baselines, and the thresholds of the verdicts. A metric is rated against its pinned value, or else against the highest of three medians: of the customer's own fleet, of all fleets, and of recorded runs. Each class of methods has its own baseline. Own fleets appear only in verdicts. Models that have only data-sheet figures are listed, but not used for rating.

For every signed-in user.`,
  access: "user",
  single: true,
  responses: {
    200: json(baselineList, {
      description: "The baselines.",
      example: {
        version: 17,
        thresholds: {
          underperforming_below: 0.9,
          outperforming_above: 1.1,
          straggler_below: 0.95,
          drop_below: 0.9,
          fleet_min_machines: 30,
        },
        shipped_source: "QuickMark runs on rented machines, December 2025",
        baselines: [example],
      },
    }),
  },
});

export const getBaselineRoute = operation({
  method: "get",
  path: PATH,
  operationId: "getBaseline",
  tags: TAGS,
  summary: "View a baseline",
  description:
    "Returns the baseline of one metric of a GPU model; 404 if the model has neither a baseline nor a data sheet.\n\nFor every signed-in user.",
  access: "user",
  single: true,
  request: { params, query },
  responses: { 200: json(baseline, { description: "The baseline.", example }) },
  errors: ["RESOURCE_NOT_FOUND"],
});

export const pinBaselineRoute = operation({
  method: "put",
  path: PATH,
  operationId: "pinBaseline",
  tags: TAGS,
  summary: "Pin a baseline",
  description: `Sets the baseline of a metric of any GPU model; the pinned value overrides all medians. Jobs of the model are rated again within minutes. Setting the same value again changes nothing.

For root administrators; recorded in the audit log.`,
  access: "admin",
  conditional: true,
  request: {
    params,
    query,
    body: jsonBody(pinBody, { description: "The value.", example: { value: 260.5 } }),
  },
  responses: {
    200: json(baseline, { description: "The changed baseline.", example, headers: ["ETag"] }),
  },
});

export const unpinBaselineRoute = operation({
  method: "delete",
  path: PATH,
  operationId: "unpinBaseline",
  tags: TAGS,
  summary: "Unpin a baseline",
  description: `Removes the pinned value, so that jobs are rated by medians again. 404 if no value is pinned.

For root administrators; recorded in the audit log.`,
  access: "admin",
  conditional: true,
  request: { params, query },
  responses: { 204: { description: "The pinned value was removed." } },
  errors: ["RESOURCE_NOT_FOUND"],
});
