import type { CallCoordinator } from "../../coordinator/client.ts";
import { openBucket } from "../../db/bucket.ts";
import { notFound, unavailable } from "../../http/errors.ts";
import { readPage } from "../../http/paging.ts";
import { validationErrorOf } from "../../http/validation.ts";
import { scopeOf } from "../../identity/actor.ts";
import { jobIdOf, rankOf } from "../../lib/ids.ts";
import type { NodeVerdict, SequenceStep } from "../../lib/stored-json.ts";
import { taskBodies } from "../bodies.ts";
import { type ReportedTask, toTaskRecord } from "../records.ts";
import type { Caller } from "../service.ts";
import type { ListTasksQuery } from "./contract.ts";
import { readPageBodies } from "./page-bodies.ts";
import {
  type ExportedTaskRow,
  exportTasks,
  findTask,
  type ListedTaskRow,
  listTasks,
  orderOf,
  type TaskFilter,
} from "./store.ts";

/** A task as its job's owner sees it: in full. */
export interface TaskView {
  /** The benchmarks that the job runs. */
  sequence: readonly SequenceStep[];
  task: ReportedTask;
  bodies: ReturnType<typeof taskBodies>;
  /** Null until the scoreboard has rated the job. */
  verdict: NodeVerdict | null;
}

/** Most tasks of one export: each of its pages is a query, and a request may make a thousand. */
export const MAX_EXPORTED = 100_000;
const EXPORT_PAGE = 250;

interface TasksDeps {
  callCoordinator: CallCoordinator;
  r2: R2Bucket;
}

export class TasksService {
  readonly #deps: TasksDeps;

  constructor(deps: TasksDeps) {
    this.#deps = deps;
  }

  /** A page of the tasks that the caller sees, with its total and with cursors to its neighbours. */
  async list({ actor, db, meter }: Caller, query: ListTasksQuery) {
    const { filter, order } = readList(query);
    const page = await readPage<ListedTaskRow>(query, order, (window) =>
      listTasks(db, scopeOf(actor), filter, window, query.include_results),
    );
    if (!query.include_results) return { ...page, results: null };
    const before = query.cursor === undefined ? (query.page - 1) * query.per_page : 0;
    const results = await readPageBodies(page.items, before, { ...this.#deps, meter });
    return { ...page, results };
  }

  /**
   * All tasks of a list as D1 has them, from the query's cursor on, and their total. Pages are read one by
   * one while the caller takes them; one round trip each.
   */
  async export({ actor, db }: Pick<Caller, "actor" | "db">, query: ListTasksQuery) {
    const { filter, order } = readList(query);
    const scope = scopeOf(actor);
    const readAt = (cursor: string | undefined, firstTotal: number | null) =>
      readPage<ExportedTaskRow>(
        { page: 1, per_page: EXPORT_PAGE, cursor },
        order,
        async (window) => {
          const counted = firstTotal === null;
          const { rows, total } = await exportTasks(db, scope, filter, window, counted);
          return { rows, total: total ?? firstTotal ?? 0 };
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
  }

  /** The newest state of a task: from D1 once its job has settled, else from D1 and its object, in one hop. */
  async view({ actor, db, meter }: Caller, taskId: number): Promise<TaskView> {
    const stored = await findTask(db, scopeOf(actor), taskId);
    if (stored === null) throw notFound("Task", taskId);
    const { job, task } = stored;
    const { sequence } = job;
    const jobId = jobIdOf(taskId);
    if (!job.coordinated || job.bodyBytes !== null) {
      if (task === null) throw notFound("Task", taskId);
      const bucket = openBucket(this.#deps.r2, meter);
      const place = { offset: task.bodyOffset ?? 0, bucket, jobId };
      const bodies = taskBodies(task.bodies, place);
      return { sequence, task: toTaskRecord(task), bodies, verdict: task.verdict };
    }
    const live = await this.#deps.callCoordinator({ jobId, meter }, (coordinator) =>
      coordinator.task(jobId, taskId),
    );
    if (live.ok) {
      const bodies = taskBodies(live.task.bodies, live.bodies);
      return { sequence, task: live.task, bodies, verdict: null };
    }
    // Of a node that D1 knows, the object has forgotten the job (see `JobsService.view`).
    const isKnown = (rankOf(jobId, taskId) ?? Infinity) < job.currentNodes;
    if (live.reason === "task_unknown" && !isKnown) throw notFound("Task", taskId);
    throw unavailable(2, new Error(`coordinator says ${live.reason}`));
  }
}

/** The filter and the order of a list. */
function readList(query: ListTasksQuery) {
  const filter: TaskFilter = {
    jobId: query.job_id,
    state: query.state,
    machineIp: query.machine_ip,
    machineUuid: query.machine_uuid,
    performanceStatus: query.performance_status,
    specStatus: query.spec_check,
    hasFindings: query.has_findings || undefined,
  };
  // Short, and different for every order and filter: a cursor of another list reads elsewhere.
  const { jobId = "", state = "", machineIp = "", machineUuid = "" } = filter;
  const { performanceStatus, specStatus } = filter;
  const list = [query.sort_order, jobId, state, machineIp, machineUuid];
  // Their words are different.
  list.push(...[performanceStatus, specStatus].filter((each) => each !== undefined));
  if (filter.hasFindings) list.push("findings");
  const order = orderOf(filter, query.sort_order === "desc");
  return { filter, order: { ...order, list: list.join("|") } };
}
