import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { dataSheetOf } from "../../benchmarks/data-sheets.ts";
import { toTaskWire } from "../../coordinator/task-wire.ts";
import { preferredType } from "../../http/accept.ts";
import { singleJson } from "../../http/entity-tag.ts";
import { announcePage } from "../../http/paging.ts";
import { rawJson, stringifyWithRaw } from "../../http/raw-json.ts";
import { siteOf } from "../../http/site.ts";
import { throwOnInvalid } from "../../http/validation.ts";
import type { Guards, UserEnv } from "../../identity/guards.ts";
import type { ReportLinks } from "../../reports/links.ts";
import { toPerformanceNode } from "../../scoreboard/verdict-wire.ts";
import { type LinkOf, toTask, toTaskRecord } from "../wire.ts";
import { CSV, getTaskResultsRoute, JSON_LINES, listTasksRoute } from "./contract.ts";
import type { ListedTaskWire, TaskWithResultsWire } from "./schemas.ts";
import type { TasksService, TaskView } from "./service.ts";
import type { ListedTaskRow } from "./store.ts";

const LIST_PARAMETERS = Object.keys(listTasksRoute.request.query.shape);

interface RouterDeps {
  tasks: TasksService;
  guards: Guards;
  links: ReportLinks;
}

export function createTasksRouter({ tasks, guards, links }: RouterDeps) {
  const linksOf = (c: Context<UserEnv>): LinkOf => {
    const site = siteOf(c);
    return (id, hash) => (hash ? links.urlOf(site, id) : null);
  };

  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...listTasksRoute, middleware: guards.user }, async (c) => {
    const query = c.req.valid("query");
    const caller = { actor: c.get("actor"), db: c.get("databases").session };
    const type = preferredType(c.req.header("Accept"), ["application/json", CSV, JSON_LINES]);
    c.header("Vary", "Accept", { append: true });
    if (type !== "application/json") {
      const { total, pages } = await tasks.export(caller, query);
      const { exportOf } = await import("./export.ts");
      c.header("X-Total-Count", String(total));
      // A stream of text in place of the JSON that the types know.
      return exportOf(c, pages, type) as never;
    }
    const { items, total, neighbours, results } = await tasks.list(caller, query);
    const { page, per_page } = query;
    announcePage(c, { page, perPage: per_page, total, neighbours }, LIST_PARAMETERS);
    const pages = Math.ceil(total / per_page);
    const linkOf = linksOf(c);
    const body = {
      data: items.map((row) => toListed(row, results && (results.get(row.id) ?? []), linkOf)),
      pagination: { page, per_page, total, pages, next_cursor: neighbours.next },
    };
    // The body is the JSON of `body`: typed as `c.json` would have typed it.
    return c.body(stringifyWithRaw(body), 200, {
      "Content-Type": "application/json",
    }) as unknown as ReturnType<typeof c.json<typeof body, 200>>;
  });

  router.openapi({ ...getTaskResultsRoute, middleware: guards.user }, async (c) => {
    const { session: db } = c.get("databases");
    const caller = { actor: c.get("actor"), db, meter: c.get("meter") };
    const view = await tasks.view(caller, c.req.valid("param").task_id);
    const displayNames = c.req.valid("query").include_display_name;
    const text = stringifyWithRaw(toTaskWithResults(view, linksOf(c), { displayNames }));
    // The body is the JSON of it: typed as `c.json` would have typed it.
    return singleJson(c, text) as unknown as ReturnType<typeof c.json<TaskWithResultsWire, 200>>;
  });

  return router;
}

type Figures = Parameters<typeof toTask>[2];

/** @param results what the node has sent; null where that is not asked for */
function toListed(row: ListedTaskRow, results: Figures | null, linkOf: LinkOf): ListedTaskWire {
  const { sequence, ...columns } = row;
  const task = toTaskRecord({ ...columns, inventory: null });
  // Written from a verdict.
  const performance_status = row.performanceStatus as ListedTaskWire["performance_status"];
  return results === null || sequence === null
    ? {
        ...toTaskWire(task, linkOf(task.id, task.reportHash)),
        performance_status,
        benchmark_results: null,
      }
    : { ...toTask(task, sequence, results, linkOf), performance_status };
}

function toTaskWithResults(
  { task, sequence, results, verdict }: TaskView,
  linkOf: LinkOf,
  options: { displayNames: boolean },
): TaskWithResultsWire {
  return {
    ...toTask(task, sequence, results, linkOf, options),
    performance: toPerformanceNode({ id: task.id, verdict }),
    inventory: task.inventory === null ? null : rawJson(task.inventory),
    manufacturer_gpu_spec: toGpuSpec(task.gpuModel),
  };
}

function toGpuSpec(gpuModel: string | null) {
  const sheet = dataSheetOf(gpuModel);
  if (gpuModel === null || sheet === null) return null;
  return {
    gpu_model: gpuModel,
    bf16_tflops: sheet.bf16Tflops,
    tf32_tflops: sheet.tf32Tflops,
    fp32_cuda_core_tflops: sheet.fp32CudaCoreTflops,
    memory_bandwidth_gbs: sheet.memoryBandwidthGbs,
  };
}
