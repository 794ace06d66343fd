import { benchmarkOf } from "../benchmarks/catalogue.ts";
import { taskIdOf } from "../lib/ids.ts";
import type { ContactBook } from "./contact-book.ts";
import type { Node } from "./model.ts";
import type { JobRecord, ResultRecord, TaskRecord } from "./records.ts";
import type { Contact, CoordinatorStorage, JobIdentity, Live } from "./storage.ts";

/** Rows of one job, as D1 holds them and as the detail of a live job reads them. */
export interface JobRecords {
  job: JobRecord;
  tasks: TaskRecord[];
  results: ResultRecord[];
}

/** Turns what a coordinator knows into the rows of its projection. */
export class Projection {
  readonly #storage: CoordinatorStorage;
  readonly #contacts: ContactBook;
  /** Summaries of ended cluster steps: they are final, and costly for 256 nodes. */
  readonly #finalSummaries = new Map<number, string | null>();

  constructor(storage: CoordinatorStorage, contacts: ContactBook) {
    this.#storage = storage;
    this.#contacts = contacts;
  }

  /** Everything that has changed since a version of the job; all of it since -1. */
  since(live: Live, version: number): JobRecords {
    const { jobId } = live.identity;
    const versions = this.#storage.nodeVersions();
    return {
      job: this.job(live),
      tasks: live.job.nodes.flatMap((node) => {
        const changedAt = versions[node.rank] ?? 0;
        if (changedAt <= version) return [];
        return [toTaskRecord(live.identity, node, this.#contacts.of(node.rank), changedAt)];
      }),
      results: this.#storage
        .results(version)
        .map(({ rank, ...result }) => ({ taskId: taskIdOf(jobId, rank), ...result })),
    };
  }

  /** One node and what it has sent. */
  task(live: Live, node: Node): { task: TaskRecord; results: ResultRecord[] } {
    const taskId = taskIdOf(live.identity.jobId, node.rank);
    const contact = this.#contacts.of(node.rank);
    return {
      task: toTaskRecord(live.identity, node, contact, live.job.version),
      results: this.#storage.resultsOf(node.rank).map((result) => ({ taskId, ...result })),
    };
  }

  job(live: Live): JobRecord {
    const { job } = live;
    return {
      version: job.version,
      state: job.state,
      currentNodes: job.nodes.length,
      startedAt: job.startedAt,
      endedAt: job.endedAt,
      steps: job.steps.map((step, position) => ({
        ...step,
        summary: this.#summary(live, position),
      })),
      events: job.events,
    };
  }

  /**
   * The benchmark's figures over the nodes, as JSON: of a node benchmark over those that have ended
   * it, of a cluster benchmark once the step has ended. Null while there are none.
   */
  #summary(live: Live, position: number): string | null {
    const known = this.#finalSummaries.get(position);
    if (known !== undefined) return known;
    const { job, identity } = live;
    const benchmark = benchmarkOf(identity.sequence[position]?.benchmark_id ?? "");
    const hasEnded = job.steps[position]?.endedAt !== null;
    if (benchmark.kind === "cluster" && !hasEnded) return null;
    const nodes = this.#storage.digests(position).map(({ rank, digest }) => ({
      rank,
      digest,
      gpuCount: job.nodes[rank]?.machine.gpuCount ?? null,
    }));
    const summary = benchmark.summarize(nodes, job.nodeCount);
    const text = summary === null ? null : JSON.stringify(summary);
    if (hasEnded) this.#finalSummaries.set(position, text);
    return text;
  }
}

export function toTaskRecord(
  identity: JobIdentity,
  node: Node,
  contact: Contact | undefined,
  version: number,
): TaskRecord {
  const done = node.state === "completed" || node.state === "completed_with_warnings";
  return {
    id: taskIdOf(identity.jobId, node.rank),
    jobId: identity.jobId,
    rank: node.rank,
    version,
    machineUuid: node.machine.machineUuid,
    machineIp: node.machine.machineIp,
    clusterAddress: node.machine.clusterAddress,
    gpuModel: node.machine.gpuModel,
    gpuCount: node.machine.gpuCount,
    inventory: node.machine.inventory,
    state: node.state,
    failedMessage: node.failedMessage,
    steps: node.steps,
    progress: done ? 1 : (contact?.progress ?? 0),
    message: node.endedAt === null ? (contact?.message ?? null) : null,
    createdAt: node.joinedAt,
    startedAt: node.startedAt,
    endedAt: node.endedAt,
  };
}
