import { readPage } from "../../http/keyset-page.ts";
import { validationErrorOf } from "../../http/validation.ts";
import { scopeOf } from "../../identity/actor.ts";
import type { Caller } from "../service.ts";
import { type ListTasksQuery, MAX_PAGE_RESULT_BYTES } from "./contract.ts";
import { listTasks, orderOf, type PageResults, type TaskFilter } from "./store.ts";

export type TasksService = ReturnType<typeof createTasksService>;

export function createTasksService() {
  return {
    /** A page of the tasks that the caller sees, with its total and with cursors to its neighbours. */
    async list({ actor, db }: Pick<Caller, "actor" | "db">, query: ListTasksQuery) {
      const filter: TaskFilter = {
        jobId: query.job_id,
        state: query.state,
        machineIp: query.machine_ip,
        machineUuid: query.machine_uuid?.toLowerCase(),
      };
      const order = orderOf(filter, query.sort_order === "desc");
      // Short, and different for every order and filter: a cursor of another list reads elsewhere.
      const { jobId = "", state = "", machineIp = "", machineUuid = "" } = filter;
      const list = [query.sort_order, jobId, state, machineIp, machineUuid].join("|");
      const maxBytes = query.include_results ? MAX_PAGE_RESULT_BYTES : null;
      let figures: PageResults | null = null;
      const page = await readPage(query, { ...order, list }, async (window) => {
        const read = await listTasks(db, scopeOf(actor), filter, window, maxBytes);
        ({ figures } = read);
        return read;
      });
      return { ...page, results: resultsOf(figures) };
    },
  };
}

/** By task; null where none were asked for. */
function resultsOf(figures: PageResults | null) {
  if (figures === null) return null;
  if (figures.bytes > MAX_PAGE_RESULT_BYTES) {
    const message = "must be smaller: the results of this page are above 16 MiB";
    throw validationErrorOf([{ field: "per_page", message }]);
  }
  return Map.groupBy(figures.results, ({ taskId }) => taskId);
}
