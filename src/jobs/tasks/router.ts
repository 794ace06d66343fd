import { OpenAPIHono } from "@hono/zod-openapi";
import { toTaskWire } from "../../coordinator/task-wire.ts";
import { announcePage } from "../../http/paging.ts";
import { stringifyWithRaw } from "../../http/raw-json.ts";
import { throwOnInvalid } from "../../http/validation.ts";
import type { Guards, UserEnv } from "../../identity/guards.ts";
import { toTask, toTaskRecord } from "../wire.ts";
import { listTasksRoute } from "./contract.ts";
import type { ListedTaskWire } from "./schemas.ts";
import type { TasksService } from "./service.ts";
import type { ListedTaskRow } from "./store.ts";

const LIST_PARAMETERS = Object.keys(listTasksRoute.request.query.shape);

export function createTasksRouter({ tasks, guards }: { tasks: TasksService; guards: Guards }) {
  const router = new OpenAPIHono<UserEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...listTasksRoute, middleware: guards.user }, async (c) => {
    const query = c.req.valid("query");
    const caller = { actor: c.get("actor"), db: c.get("databases").session };
    const { items, total, neighbours, results } = await tasks.list(caller, query);
    const { page, per_page } = query;
    announcePage(c, { page, perPage: per_page, total, neighbours }, LIST_PARAMETERS);
    const pages = Math.ceil(total / per_page);
    const body = {
      data: items.map((row) => toListed(row, results && (results.get(row.id) ?? []))),
      pagination: { page, per_page, total, pages, next_cursor: neighbours.next },
    };
    // The body is the JSON of `body`: typed as `c.json` would have typed it.
    return c.body(stringifyWithRaw(body), 200, {
      "Content-Type": "application/json",
    }) as unknown as ReturnType<typeof c.json<typeof body, 200>>;
  });

  return router;
}

type Figures = Parameters<typeof toTask>[2];

/** @param results what the node has sent; null where that is not asked for */
function toListed(row: ListedTaskRow, results: Figures | null): ListedTaskWire {
  const { sequence, ...columns } = row;
  const task = toTaskRecord({ ...columns, inventory: null });
  return results === null || sequence === null
    ? { ...toTaskWire(task), benchmark_results: null }
    : toTask(task, sequence, results);
}
