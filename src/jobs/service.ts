import { isClusterStep, planSequence } from "../benchmarks/sequence.ts";
import type { CallCoordinator } from "../coordinator/client.ts";
import { settledEvent } from "../coordinator/life/advance.ts";
import { openBucket } from "../db/bucket.ts";
import type { Database, Meter } from "../db/client.ts";
import { foreignKeyViolation } from "../db/errors.ts";
import type { IdempotencyKey } from "../db/idempotency.ts";
import { ApiError, notFound, unavailable } from "../http/errors.ts";
import { readPage } from "../http/paging.ts";
import { type Requester, scopeOf } from "../identity/actor.ts";
import { type JobTokenFacts, jobTokenOf } from "../identity/job-token.ts";
import { JOB_LIFETIME_MS } from "../identity/lifetimes.ts";
import type { Tokens } from "../identity/tokens.ts";
import type { Clock } from "../lib/clock.ts";
import type { Quotas } from "../lib/config.ts";
import { type JobIdSource, jobCreatedAt } from "../lib/ids.ts";
import { nameOf } from "../lib/references.ts";
import type { ReportWish } from "../reports/service.ts";
import type { RequestOrigin } from "../resources/audit.ts";
import { createOnce } from "../resources/create.ts";
import { changedSince } from "../resources/rules.ts";
import { type BodyPart, liveBodies, storedBodies } from "./bodies.ts";
import type { CreateJobInput } from "./create-schema.ts";
import { insertJob, type NewJobRow } from "./creation-store.ts";
import type { ListJobsQuery } from "./list-parameters.ts";
import { filterOf } from "./list-source.ts";
import { planJobList } from "./list-store.ts";
import { generateJobName } from "./names.ts";
import { nodesByJob } from "./node-verdicts.ts";
import { originColumns } from "./origins.ts";
import { toJobRecord, toTaskRecord } from "./records.ts";
import { MAX_LISTED_TAGS } from "./schemas.ts";
import { abortUncoordinated, deleteJob, findJob, type JobRow, listTags } from "./store.ts";
import type { JobView } from "./wire.ts";

type CreatedRow = NewJobRow & { id: number };

/** The caller of a request, and what the request may use. */
export interface Caller {
  actor: Requester;
  db: Database;
  meter: Meter;
}

export interface JobsDeps {
  tokens: Tokens;
  clock: Clock;
  jobIds: JobIdSource;
  callCoordinator: CallCoordinator;
  r2: R2Bucket;
  quotas: Quotas;
}

export class JobsService {
  readonly #deps: JobsDeps;

  constructor(deps: JobsDeps) {
    this.#deps = deps;
  }

  /**
   * Stores a job, or finds the job that the same request stored before. One D1 round trip, and one more
   * for each id or generated name that was taken, or to read the first request.
   */
  async create(
    { actor, db }: Omit<Caller, "meter">,
    input: CreateJobInput,
    key: IdempotencyKey | null,
    { site, paper = "a4" }: ReportWish,
  ): Promise<{ row: CreatedRow; token: string; replayed: boolean }> {
    const planned = planSequence(input.benchmarks, input.node_count);
    if (!planned.ok) throw (await errors()).sequenceError(planned.fault);
    const spec = input.spec ?? null;
    const expected = input.expected_spec ?? null;
    const create = async () => {
      const id = this.#deps.jobIds.next();
      const now = jobCreatedAt(id);
      const row: CreatedRow = {
        id,
        customerId: actor.customerId,
        userId: actor.userId,
        name: input.name ?? generateJobName(now),
        description: input.description ?? null,
        nodeCount: input.node_count,
        sequence: planned.sequence,
        tags: input.tags ?? [],
        ...originColumns(input),
        paper,
        tokenKeyId: this.#deps.tokens.signingKeyId,
        createdAt: now,
        expiresAt: now + JOB_LIFETIME_MS,
        gang: spec !== null && planned.sequence.some(isClusterStep) ? "waiting" : null,
        state: "created",
        flushedAt: now,
        origin: site,
      };
      try {
        const { quotas } = this.#deps;
        const refusal = await insertJob(db, row, { spec, expected }, key, quotas);
        if (refusal === "two_specs") throw (await errors()).twoSpecs();
        if (refusal !== null) throw (await errors()).quotaError(refusal, row, quotas);
        return row;
      } catch (error) {
        // Customers and users are never deleted, so a spec does not exist.
        const named = [spec, expected].filter((each) => each !== null).map(nameOf);
        if (named.length > 0 && foreignKeyViolation(error)) {
          throw notFound("Spec", named.join(" or "));
        }
        throw error;
      }
    };
    const { created: row, replayed } = await createOnce(key, create, (violatedColumns) => {
      if (!violatedColumns.includes("jobs.name") || typeof input.name !== "string") return null;
      const message = `Job with name '${input.name}' already exists`;
      return new ApiError("RESOURCE_ALREADY_EXISTS", message);
    });
    return { row, token: this.#tokenOf(row), replayed };
  }

  /**
   * A page of the jobs that the caller sees, with its total and with cursors to its neighbours. One D1 round trip; node
   * verdicts beyond 512 KiB, as stored, are read while the reply is sent.
   */
  async list({ actor, db }: Caller, query: ListJobsQuery) {
    const filter = filterOf(query);
    const sort = { by: query.sort_by, descending: query.sort_order === "desc" };
    const expansions = {
      results: query.include_results,
      performance: query.include.includes("performance"),
      nodes: query.include.includes("performance_nodes"),
    };
    const { order, read } = planJobList(scopeOf(actor), filter, sort, expansions);
    // Expansions are left out: they may change from one page to the next.
    const list = JSON.stringify([sort, filter]);
    const { nodes, ...page } = await readPage(query, { ...order, list }, (window) =>
      read(db, window),
    );
    const nodesOf = nodesByJob(db, page.items, nodes);
    const items = page.items.map((row) => ({
      row,
      token: this.#tokenOf(row),
      nodes: nodesOf(row.id),
    }));
    return { ...page, items };
  }

  /** The tags of the jobs that the caller sees, at most `MAX_LISTED_TAGS`. */
  tags({ actor, db }: Caller): Promise<string[]> {
    return listTags(db, scopeOf(actor), MAX_LISTED_TAGS);
  }

  /** As `view`, with the job's token. */
  async detail(caller: Caller, jobId: number): Promise<{ view: JobView; token: string }> {
    const view = await this.view(caller, jobId);
    return { view, token: this.#tokenOf(view.row) };
  }

  /**
   * The newest state of a job, without its bodies: from D1 once they are in R2, else from D1 and the job's object, in
   * one hop.
   */
  async view(
    { actor, db, meter }: Caller,
    jobId: number,
    part: BodyPart = "results",
  ): Promise<JobView> {
    const { callCoordinator, r2 } = this.#deps;
    const stored = await findJob(db, scopeOf(actor), jobId);
    if (stored === null) throw notFound("Job", jobId);
    const { job: row, tasks } = stored;
    if (!row.coordinated || row.bodyBytes !== null) {
      const records = tasks.map(toTaskRecord);
      const sizes = records.map((task) => task.bodies);
      const bodies = storedBodies(openBucket(r2, meter), jobId, row.sequence, sizes, part);
      return { row, job: toJobRecord(row), tasks: records, bodies, verdicts: tasks };
    }
    const live = await callCoordinator({ jobId, meter }, (coordinator) =>
      coordinator.detail(jobId, part),
    );
    if (!live.ok) throw unavailable(2, new Error(`coordinator says ${live.reason}`));
    // D1 was restored from a backup, and the object has forgotten the job: cron finds its bodies in R2.
    if (live.tasks.length < row.currentNodes) throw unavailable(5, new Error("nodes are missing"));
    const bodies = liveBodies(
      live.bodies,
      row.sequence,
      live.tasks.map((task) => task.bodies),
      part,
    );
    return { row, job: live.job, tasks: live.tasks, bodies, verdicts: [] };
  }

  /** Aborts a job; answers the time of its end, ms. A repeat changes nothing. */
  async abort({ actor, db, meter }: Caller, jobId: number): Promise<{ endedAt: number }> {
    const now = this.#deps.clock.now();
    const events = [settledEvent("aborted", now)];
    const { customerId } = actor;
    const row = await abortUncoordinated(db, scopeOf(actor), customerId, jobId, now, events);
    if (row === null) throw notFound("Job", jobId);
    if (row.customerId !== customerId) {
      throw new ApiError("PERMISSION_DENIED", "Only people of the job's customer can abort it");
    }
    if (row.endedAt !== null) return aborted(row);
    const reply = await this.#deps.callCoordinator({ jobId, meter }, (coordinator) =>
      coordinator.abort(jobId),
    );
    if (reply.ok) return aborted(reply.job);
    if (reply.reason === "not_abortable") throw notAbortable();
    throw unavailable(2, new Error(`coordinator says ${reply.reason}`));
  }

  /**
   * Deletes an idle job: in D1 alone while no machine has called, else after its object has made sure that
   * no node will work again. Of several simultaneous calls, one deletes.
   *
   * @param isMatch tests `If-Match`; null without one. It costs what `view` costs
   */
  async remove(
    caller: Caller,
    origin: RequestOrigin,
    jobId: number,
    isMatch: ((view: JobView) => boolean) | null,
  ): Promise<{ requiresAgentStop: boolean }> {
    const { actor, db, meter } = caller;
    const { customerId } = actor;
    const allow = (owner: number) => {
      if (owner === customerId) return;
      throw new ApiError("PERMISSION_DENIED", "Only people of the job's customer can delete it");
    };
    const seen = isMatch === null ? null : await this.view(caller, jobId);
    if (isMatch !== null && seen !== null) {
      seen.bodies.source.discard();
      allow(seen.row.customerId);
      if (!isMatch(seen)) throw changedSince("job");
    }
    const version = seen?.row.version ?? null;
    const attempt = (ended: boolean) => {
      const audit = { origin, now: this.#deps.clock.now(), details: {} };
      return deleteJob(db, scopeOf(actor), customerId, jobId, { ended, version }, audit);
    };
    const first = await attempt(false);
    if (first === null) throw notFound("Job", jobId);
    allow(first.customerId);
    if (first.deleted) return { requiresAgentStop: false };
    const reply = await this.#deps.callCoordinator({ jobId, meter }, (coordinator) =>
      coordinator.prepareDeletion(jobId, seen?.job.version),
    );
    if (!reply.ok) {
      if (reply.reason === "changed") throw changedSince("job");
      if (reply.reason === "not_deletable") {
        const message = "The job is in progress and cannot be deleted; abort it first";
        throw new ApiError("JOB_STATE_INVALID", message);
      }
      throw unavailable(2, new Error(`coordinator says ${reply.reason}`));
    }
    // Closed is final: only another deletion can have come in between.
    if (!(await attempt(true))?.deleted) throw notFound("Job", jobId);
    return { requiresAgentStop: reply.requiresAgentStop };
  }

  #tokenOf(row: JobTokenFacts): string {
    return jobTokenOf(this.#deps.tokens, row);
  }
}

/** Loads with the first refusal. */
const errors = () => import("./creation-errors.ts");

function aborted({ state, endedAt }: Pick<JobRow, "state" | "endedAt">): { endedAt: number } {
  if (state !== "aborted" || endedAt === null) throw notAbortable();
  return { endedAt };
}

const notAbortable = () =>
  new ApiError("JOB_STATE_INVALID", "The job has already ended and cannot be aborted");
