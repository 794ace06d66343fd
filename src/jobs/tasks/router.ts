import type { Context } from "hono";
import { dataSheetOf } from "../../benchmarks/data-sheets.ts";
import { preferredType } from "../../http/accept.ts";
import { announcePage } from "../../http/paging.ts";
import { rawJson } from "../../http/raw-json.ts";
import { json, singleFilled, writtenReply } from "../../http/replies.ts";
import { serve } from "../../http/serve.ts";
import { siteOf } from "../../http/site.ts";
import type { UserEnv } from "../../identity/guards.ts";
import { INVENTORY } from "../../lib/stored-json.ts";
import type { ReportLinks } from "../../reports/links.ts";
import { toPerformanceNode } from "../../scoreboard/verdict-wire.ts";
import { toTaskRecord } from "../records.ts";
import { type LinkOf, toReportedTask, toTask } from "../wire.ts";
import { CSV, getTaskResultsRoute, JSON_LINES, listTasksRoute } from "./contract.ts";
import type { ListedTaskWire, TaskWithResultsWire } from "./schemas.ts";
import type { TasksService, TaskView } from "./service.ts";
import type { ListedTaskRow } from "./store.ts";

interface RouterDeps {
  tasks: TasksService;
  links: ReportLinks;
}

export const tasksRoutes = ({ tasks, links }: RouterDeps) => {
  const linksOf = (c: Context<UserEnv>): LinkOf => {
    const site = siteOf(c);
    return (id, hash) => (hash ? links.urlOf(site, id) : null);
  };

  return [
    serve(listTasksRoute, async (c) => {
      const query = c.req.valid("query");
      const { session: db } = c.get("databases");
      const caller = { actor: c.get("actor"), db, meter: c.get("meter") };
      const type = preferredType(c.req.header("Accept"), ["application/json", CSV, JSON_LINES]);
      c.header("Vary", "Accept", { append: true });
      if (type !== "application/json") {
        const { total, pages } = await tasks.export(caller, query);
        // Loads with the first export, so that no poll pays for it.
        const { exportOf } = await import("./export.ts");
        c.header("X-Total-Count", String(total));
        return writtenReply(exportOf(c, pages, type));
      }
      const page = await tasks.list(caller, query);
      const { items, total, perPage, neighbours, results } = page;
      announcePage(c, page);
      const linkOf = linksOf(c);
      const data = items.map((row) =>
        toListed(row, results && (results.get(row.id) ?? new Map()), linkOf),
      );
      const pagination = {
        page: page.page,
        per_page: perPage,
        total,
        pages: Math.ceil(total / perPage),
        next_cursor: neighbours.next,
      };
      return json(c, { data, pagination });
    }),

    serve(getTaskResultsRoute, async (c) => {
      const { session: db } = c.get("databases");
      const caller = { actor: c.get("actor"), db, meter: c.get("meter") };
      const view = await tasks.view(caller, c.req.valid("param").task_id);
      const displayNames = c.req.valid("query").include_display_name;
      const { task, bodies } = view;
      const body = toTaskWithResults(view, linksOf(c), { displayNames });
      return singleFilled(c, body, bodies.source, (rest) => `"${task.id}.${task.version}.${rest}"`);
    }),
  ];
};

type Figures = Parameters<typeof toTask>[2];

/** @param results those of the node; null if the query does not request results */
function toListed(row: ListedTaskRow, results: Figures | null, linkOf: LinkOf): ListedTaskWire {
  const { sequence, findings, ...columns } = row;
  const task = toTaskRecord(columns);
  const performance_status = row.performanceStatus;
  const verdict = {
    findings: performance_status === null ? null : (findings ?? []),
    performance_status,
    replayed: row.isReplayed,
  };
  return results === null || sequence === null
    ? { ...toReportedTask(task, linkOf), ...verdict, benchmark_results: null }
    : { ...toTask(task, sequence, results, linkOf), ...verdict };
}

function toTaskWithResults(
  { task, sequence, bodies, verdict }: TaskView,
  linkOf: LinkOf,
  options: { displayNames: boolean },
): TaskWithResultsWire {
  const inventory = bodies.extents.get(INVENTORY);
  return {
    ...toTask(task, sequence, bodies.extents, linkOf, options),
    performance: toPerformanceNode({ id: task.id, verdict }),
    inventory: inventory === undefined ? null : rawJson(inventory),
    manufacturer_gpu_spec: toGpuSpec(task.figures === null ? task.gpuModel : task.figures.gpuModel),
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
