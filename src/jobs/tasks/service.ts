import type { CallCoordinator } from "../../coordinator/client.ts";
import type { ResultRecord } from "../../coordinator/records.ts";
import { notFound, unavailable } from "../../http/errors.ts";
import { readPage } from "../../http/keyset-page.ts";
import { validationErrorOf } from "../../http/validation.ts";
import { scopeOf } from "../../identity/actor.ts";
import { jobIdOf } from "../../lib/ids.ts";
import type { ResultArchive } from "../result-archive.ts";
import type { Caller } from "../service.ts";
import { type ReportedTask, toTaskRecord } from "../wire.ts";
import { type ListTasksQuery, MAX_PAGE_RESULT_BYTES } from "./contract.ts";
import {
  type ExportedTaskRow,
  exportTasks,
  findTask,
  listTasks,
  orderOf,
  type PageResults,
  type TaskFilter,
} from "./store.ts";

export type TasksService = ReturnType<typeof createTasksService>;

/** A task as its job's owner sees it: in full. */
export interface TaskView {
  /** JSON: what the job runs. */
  sequence: string;
  task: ReportedTask;
  results: readonly ResultRecord[];
  /** JSON: the scoreboard's; null before there is one. */
  verdict: string | null;
}

/** An export has at most so many tasks: each page of it is a query, and a request has a thousand. */
export const MAX_EXPORTED = 100_000;
const EXPORT_PAGE = 250;

interface TasksDeps {
  callCoordinator: CallCoordinator;
  resultArchive: ResultArchive;
}

export function createTasksService({ callCoordinator, resultArchive }: TasksDeps) {
  return {
    /** A page of the tasks that the caller sees, with its total and with cursors to its neighbours. */
    async list({ actor, db }: Pick<Caller, "actor" | "db">, query: ListTasksQuery) {
      const { filter, order } = readList(query);
      const maxBytes = query.include_results ? MAX_PAGE_RESULT_BYTES : null;
      let figures: PageResults | null = null;
      const page = await readPage(query, order, async (window) => {
        const read = await listTasks(db, scopeOf(actor), filter, window, maxBytes);
        ({ figures } = read);
        return read;
      });
      return { ...page, results: await resultsOf(figures, resultArchive) };
    },

    /**
     * All tasks of a list, from its cursor on if it has one, page by page as they are asked for, as D1 knows
     * them; and their total. One round trip a page.
     */
    async export({ actor, db }: Pick<Caller, "actor" | "db">, query: ListTasksQuery) {
      const { filter, order } = readList(query);
      const scope = scopeOf(actor);
      const readAt = (cursor: string | undefined, known: number | null) =>
        readPage<ExportedTaskRow>(
          { page: 1, per_page: EXPORT_PAGE, cursor },
          order,
          async (window) => {
            const { rows, total } = await exportTasks(db, scope, filter, window, known === null);
            return { rows, total: total ?? known ?? 0 };
          },
        );
      const first = await readAt(query.cursor, null);
      const { total } = first;
      if (total > MAX_EXPORTED) {
        const message = `must be narrower: ${total} tasks match, and an export has at most ${MAX_EXPORTED}`;
        throw validationErrorOf([{ field: "job_id", message }]);
      }
      async function* pages() {
        for (let page = first; ; ) {
          yield page.items;
          const { next } = page.neighbours;
          if (next === null) return;
          page = await readAt(next, total);
        }
      }
      return { total, pages: pages() };
    },

    /** The newest there is of a task: D1 alone once its job has settled, else D1 and one hop to its object. */
    async view({ actor, db, meter }: Caller, taskId: number): Promise<TaskView> {
      const found = await findTask(db, scopeOf(actor), taskId);
      if (found === null) throw notFound("Task", taskId);
      const { job, task, results } = found;
      const { sequence } = job;
      if (!job.coordinated || job.endedAt !== null) {
        if (task === null) throw notFound("Task", taskId);
        return {
          sequence,
          task: toTaskRecord(task),
          results: await resultArchive.restore(results),
          verdict: task.verdict,
        };
      }
      const jobId = jobIdOf(taskId);
      const live = await callCoordinator({ jobId, meter }, (coordinator) =>
        coordinator.task(jobId, taskId),
      );
      if (live.ok) return { sequence, task: live.task, results: live.results, verdict: null };
      if (live.reason === "task_unknown") throw notFound("Task", taskId);
      throw unavailable(2, new Error(`coordinator says ${live.reason}`));
    },
  };
}

/** What a query chooses, and in which order. */
function readList(query: ListTasksQuery) {
  const filter: TaskFilter = {
    jobId: query.job_id,
    state: query.state,
    machineIp: query.machine_ip,
    machineUuid: query.machine_uuid?.toLowerCase(),
    performanceStatus: query.performance_status,
  };
  // Short, and different for every order and filter: a cursor of another list reads elsewhere.
  const { jobId = "", state = "", machineIp = "", machineUuid = "", performanceStatus } = filter;
  const list = [query.sort_order, jobId, state, machineIp, machineUuid];
  if (performanceStatus !== undefined) list.push(performanceStatus);
  const order = orderOf(filter, query.sort_order === "desc");
  return { filter, order: { ...order, list: list.join("|") } };
}

/** By task; null where none were asked for. */
async function resultsOf(figures: PageResults | null, resultArchive: ResultArchive) {
  if (figures === null) return null;
  if (figures.bytes > MAX_PAGE_RESULT_BYTES) {
    const message = "must be smaller: the results of this page are above 16 MiB";
    throw validationErrorOf([{ field: "per_page", message }]);
  }
  return Map.groupBy(await resultArchive.restore(figures.results), ({ taskId }) => taskId);
}
