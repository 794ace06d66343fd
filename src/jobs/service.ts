import { planSequence, type SequenceFault } from "../benchmarks/sequence.ts";
import { settledEvent } from "../coordinator/advance.ts";
import type { CallCoordinator } from "../coordinator/client.ts";
import type { Database, Meter } from "../db/client.ts";
import { foreignKeyViolation, uniqueViolation } from "../db/errors.ts";
import { ApiError, invalidField, notFound, unavailable } from "../http/errors.ts";
import { findFirst, type IdempotencyClaim, isRepeat } from "../http/idempotency.ts";
import { readPage } from "../http/keyset-page.ts";
import { nameOf } from "../http/reference.ts";
import { validationError } from "../http/validation.ts";
import { type Asker, scopeOf } from "../identity/actor.ts";
import type { Origin } from "../identity/audit.ts";
import { type JobTokenFacts, jobTokenOf } from "../identity/job-token.ts";
import { JOB_LIFETIME_MS } from "../identity/lifetimes.ts";
import type { Tokens } from "../identity/tokens.ts";
import type { Clock } from "../lib/clock.ts";
import { type JobIdSource, jobCreatedAt } from "../lib/ids.ts";
import type { ReportsService } from "../reports/service.ts";
import { type CreateJobInput, MAX_LISTED_TAGS } from "./contract.ts";
import type { ListJobsQuery } from "./list-query.ts";
import { type JobFilter, type ListedNode, planJobList } from "./list-store.ts";
import { generateJobName } from "./names.ts";
import type { ResultArchive } from "./result-archive.ts";
import {
  abortUncoordinated,
  deleteJob,
  findJob,
  findReportedJob,
  insertJob,
  type JobRow,
  listTags,
  type NewJobRow,
} from "./store.ts";
import { type JobView, toJobRecord, toTaskRecord } from "./wire.ts";

/** An id or a generated name is redrawn this often before something must be wrong. */
const MAX_DRAWS = 5;

type CreatedRow = NewJobRow & { id: number };

/** Who asks, and what the request may use. */
export interface Caller {
  actor: Asker;
  db: Database;
  meter: Meter;
}

export interface JobsDeps {
  tokens: Tokens;
  clock: Clock;
  jobIds: JobIdSource;
  callCoordinator: CallCoordinator;
  reports: ReportsService;
  resultArchive: ResultArchive;
}

export type JobsService = ReturnType<typeof createJobsService>;

export function createJobsService(deps: JobsDeps) {
  const { tokens, clock, jobIds, callCoordinator, resultArchive, reports } = deps;
  const tokenOf = (row: JobTokenFacts) => jobTokenOf(tokens, row);

  /**
   * The newest there is of a job: D1 once it has settled, and R2 if its results have moved there; else D1
   * and one hop to its object.
   */
  const view = async ({ actor, db, meter }: Caller, jobId: number): Promise<JobView> => {
    const found = await findJob(db, scopeOf(actor), jobId);
    if (found === null) throw notFound("Job", jobId);
    const { job: row, tasks, results } = found;
    if (!row.coordinated || row.endedAt !== null) {
      const stored = await resultArchive.restore(results);
      const records = tasks.map(toTaskRecord);
      return { row, job: toJobRecord(row), tasks: records, results: stored, verdicts: tasks };
    }
    const live = await callCoordinator({ jobId, meter }, (coordinator) =>
      coordinator.detail(jobId),
    );
    if (!live.ok) throw unavailable(2, new Error(`coordinator says ${live.reason}`));
    return { row, job: live.job, tasks: live.tasks, results: live.results, verdicts: [] };
  };

  return {
    /**
     * Stores a job, or finds the one that the same request has stored before. One D1 round trip, and
     * one more for each id or generated name that was taken, or to read the first request.
     */
    async create(
      { actor, db }: Omit<Caller, "meter">,
      input: CreateJobInput,
      claim: IdempotencyClaim | null,
      site: string,
    ): Promise<{ row: CreatedRow; token: string; replayed: boolean }> {
      const planned = planSequence(input.benchmarks, input.node_count);
      if (!planned.ok) throw sequenceError(planned.fault);
      const spec = input.spec ?? null;
      for (let draw = 0; draw < MAX_DRAWS; draw++) {
        const id = jobIds.next();
        const now = jobCreatedAt(id);
        const row: CreatedRow = {
          id,
          customerId: actor.customerId,
          userId: actor.userId,
          name: input.name ?? generateJobName(now),
          description: input.description ?? null,
          nodeCount: input.node_count,
          sequence: JSON.stringify(planned.sequence),
          tags: JSON.stringify(input.tags ?? []),
          tokenKeyId: tokens.signingKeyId,
          createdAt: now,
          expiresAt: now + JOB_LIFETIME_MS,
          state: "created",
          flushedAt: now,
          origin: site,
        };
        try {
          await insertJob(db, row, spec, claim);
          return { row, token: await tokenOf(row), replayed: false };
        } catch (error) {
          // Customers and users are never deleted: it is the spec that is not there.
          if (spec !== null && foreignKeyViolation(error)) throw notFound("Spec", nameOf(spec));
          const taken = uniqueViolation(error);
          if (taken === null) throw error;
          if (claim !== null && isRepeat(taken)) {
            // Stored by `insertJob` as the row that it was.
            const first = (await findFirst(claim)) as CreatedRow;
            return { row: first, token: await tokenOf(first), replayed: true };
          }
          const nameTaken = taken.includes("jobs.name");
          if (nameTaken && typeof input.name === "string") {
            const message = `Job with name '${input.name}' already exists`;
            throw new ApiError("RESOURCE_ALREADY_EXISTS", message);
          }
        }
      }
      throw new Error(`No free job id or name in ${MAX_DRAWS} draws`);
    },

    /** A page of the jobs that the caller sees, with its total and with cursors to its neighbours. */
    async list({ actor, db }: Caller, query: ListJobsQuery) {
      const filter: JobFilter = {
        state: query.state,
        name: query.name,
        benchmarkId: query.benchmark_id,
        tags: query.tags,
        createdAfter: query.created_after,
        createdBefore: query.created_before,
        nodeCountMin: query.node_count_min,
        nodeCountMax: query.node_count_max,
        performance: query.has_performance_data ? "rated" : undefined,
      };
      const sort = { by: query.sort_by, descending: query.sort_order === "desc" };
      const expansions = {
        results: query.include_results,
        performance: query.include.includes("performance"),
        nodes: query.include.includes("performance_nodes"),
      };
      const { order, read } = planJobList(scopeOf(actor), filter, sort, expansions);
      // What a page shows of its jobs may change from one page to the next.
      const list = JSON.stringify([sort, filter]);
      let nodes: ListedNode[] = [];
      const page = await readPage(query, { ...order, list }, async (window) => {
        const found = await read(db, window);
        nodes = found.nodes;
        return found;
      });
      if (nodes.some(({ verdict }) => verdict === null)) {
        const message = "must be smaller: the verdicts of this page's nodes are above 16 MiB";
        throw invalidField("per_page", message);
      }
      const nodesByJob = Map.groupBy(nodes, ({ jobId }) => jobId);
      const jobs = page.items.map(async (row) => ({
        row,
        token: await tokenOf(row),
        nodes: expansions.nodes ? (nodesByJob.get(row.id) ?? []) : [],
      }));
      return { ...page, items: await Promise.all(jobs) };
    },

    /** Every tag of the jobs that the caller sees, up to a bound. */
    tags({ actor, db }: Caller): Promise<string[]> {
      return listTags(db, scopeOf(actor), MAX_LISTED_TAGS);
    },

    async detail(caller: Caller, jobId: number) {
      const found = await view(caller, jobId);
      return { view: found, token: await tokenOf(found.row) };
    },

    view,

    /** Makes a settled job's reports; answers the link to its own. One round trip besides theirs. */
    async makeReport({ actor, db }: Caller, jobId: number, site: string): Promise<string> {
      const job = await findReportedJob(db, scopeOf(actor), jobId);
      if (job === null) throw notFound("Job", jobId);
      return reports.make(db, job, site);
    },

    /** Ends a job by its customer's wish; answers when it ended. Repeating it changes nothing. */
    async abort({ actor, db, meter }: Caller, jobId: number): Promise<{ endedAt: number }> {
      const now = clock.now();
      const events = [settledEvent("aborted", now)];
      const { customerId } = actor;
      const row = await abortUncoordinated(db, scopeOf(actor), customerId, jobId, now, events);
      if (row === null) throw notFound("Job", jobId);
      if (row.customerId !== customerId) {
        throw new ApiError("PERMISSION_DENIED", "Only people of the job's customer can abort it");
      }
      if (row.endedAt !== null) return aborted(row);
      const reply = await callCoordinator({ jobId, meter }, (coordinator) =>
        coordinator.abort(jobId),
      );
      if (reply.ok) return aborted(reply.job);
      if (reply.reason === "not_abortable") throw notAbortable();
      throw unavailable(2, new Error(`coordinator says ${reply.reason}`));
    },

    /**
     * Deletes a job in which nothing happens. In D1 alone where no machine has ever called; else its
     * object first makes sure that nothing will happen any more. Of several at the same time one deletes.
     */
    async remove(
      { actor, db, meter }: Caller,
      origin: Origin,
      jobId: number,
    ): Promise<{ requiresAgentStop: boolean }> {
      const { customerId } = actor;
      const attempt = (ended: boolean) => {
        const act = { origin, now: clock.now(), details: {} };
        return deleteJob(db, scopeOf(actor), customerId, jobId, { ended }, act);
      };
      const met = await attempt(false);
      if (met === null) throw notFound("Job", jobId);
      if (met.customerId !== customerId) {
        throw new ApiError("PERMISSION_DENIED", "Only people of the job's customer can delete it");
      }
      if (met.deleted) return { requiresAgentStop: false };
      const reply = await callCoordinator({ jobId, meter }, (coordinator) =>
        coordinator.prepareDeletion(jobId),
      );
      if (!reply.ok) {
        if (reply.reason === "not_deletable") {
          const message = "The job has nodes at work and cannot be deleted; abort it first";
          throw new ApiError("JOB_STATE_INVALID", message);
        }
        throw unavailable(2, new Error(`coordinator says ${reply.reason}`));
      }
      // What has ended stays so: only another deletion can have come in between.
      if (!(await attempt(true))?.deleted) throw notFound("Job", jobId);
      return { requiresAgentStop: reply.requiresAgentStop };
    },
  };
}

function aborted({ state, endedAt }: Pick<JobRow, "state" | "endedAt">): { endedAt: number } {
  if (state !== "aborted" || endedAt === null) throw notAbortable();
  return { endedAt };
}

function notAbortable(): ApiError {
  return new ApiError("JOB_STATE_INVALID", "The job has ended already and cannot be aborted");
}

function sequenceError(fault: SequenceFault): ApiError {
  switch (fault.kind) {
    case "unknown": {
      // The page prints this message.
      const message = `Benchmark '${fault.benchmarkId}' not found`;
      return new ApiError("PARAMETER_INCORRECT_VALUE", message, {
        details: [{ field: "benchmarks", message }],
      });
    }
    case "config":
      return validationError(
        fault.issues.map((issue) => ({
          ...issue,
          path: ["benchmarks", fault.index, "config", ...issue.path],
        })),
      );
    case "duplicate":
      return invalidField(
        `benchmarks.${fault.index}`,
        `benchmarks.${fault.index} repeats '${fault.benchmarkId}' with the same config`,
      );
    case "too_few_nodes":
      return invalidField(
        "node_count",
        `node_count must be at least ${fault.minNodes} for '${fault.benchmarkId}'`,
      );
  }
}
