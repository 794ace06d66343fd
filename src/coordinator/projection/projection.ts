import type { NodeDigest } from "../../benchmarks/benchmark.ts";
import { benchmarkOf } from "../../benchmarks/catalogue.ts";
import { groupsOf, type Hardware } from "../../benchmarks/gpus.ts";
import { effectiveCoresOf, hostMark } from "../../benchmarks/host-mark.ts";
import { normalizeModel } from "../../benchmarks/models.ts";
import { figuresOf } from "../../benchmarks/quick-mark.ts";
import { withEffectiveCores, worstCheck } from "../../benchmarks/spec-outcome.ts";
import { taskIdOf } from "../../lib/ids.ts";
import type { MeasuredFigures } from "../../lib/stored-json.ts";
import type { Contact, JobIdentity, Live, Node } from "../life/model.ts";
import type { Leases } from "../storage/leases.ts";
import type { CoordinatorStorage } from "../storage/storage.ts";
import type { JobRecord, JobRecords, NodeRecord, TaskRecord } from "./records.ts";

/** Turns the object's state into the rows of its projection. */
export class Projection {
  readonly #storage: CoordinatorStorage;
  readonly #leases: Leases;
  /** Summaries of ended cluster steps: final, and costly to compute for 256 nodes. */
  readonly #finalSummaries = new Map<number, string | null>();

  constructor(storage: CoordinatorStorage, leases: Leases) {
    this.#storage = storage;
    this.#leases = leases;
  }

  /** The rows that have changed since a version of the job; -1 for all rows. */
  since(live: Live, version: number): JobRecords {
    const versions = this.#storage.nodeVersions();
    const recordOf = this.#recorder(live);
    return {
      job: this.job(live),
      tasks: live.job.nodes.flatMap((node) => {
        const changedAt = versions[node.rank] ?? 0;
        return changedAt <= version ? [] : [recordOf(node, changedAt)];
      }),
    };
  }

  task(live: Live, node: Node): TaskRecord {
    return this.#recorder(live)(node, live.job.version);
  }

  /** Makes records of tasks: what they have sent is read once for all of them. */
  #recorder({ identity }: Live): (node: Node, version: number) => TaskRecord {
    const bodies = Map.groupBy(this.#storage.bodies(), ({ rank }) => rank);
    // quick_mark is always the first step.
    const measured = new Map(this.#storage.digests(0).map((each) => [each.rank, each]));
    const implausible = Map.groupBy(this.#storage.implausible(), ({ rank }) => rank);
    const cores = this.#effectiveCores(identity);
    return (node, version) => {
      const quickMark = measured.get(node.rank);
      const ofHost = cores.get(node.rank) ?? null;
      const check = node.machine.specCheck ?? null;
      return {
        ...toNodeRecord(identity, node, this.#leases.of(node.rank), version),
        models: modelsOf(node.machine),
        bodies: (bodies.get(node.rank) ?? []).map(({ position, bytes }) => [position, bytes]),
        figures: quickMark === undefined ? null : measuredFigures(quickMark),
        implausible:
          implausible
            .get(node.rank)
            ?.flatMap(({ position, fields }) =>
              fields.map(({ field, reason }) => [position, field, reason] as const),
            ) ?? null,
        specCheck: check !== null && ofHost !== null ? withEffectiveCores(check, ofHost) : check,
      };
    };
  }

  /** By rank, as HostMark has measured them; empty for a job without a spec, where nothing needs them. */
  #effectiveCores({ expectedSpec, sequence }: JobIdentity): Map<number, number> {
    if (expectedSpec === undefined) return new Map();
    const digests = sequence.flatMap(({ benchmark_id }, position) =>
      benchmark_id === hostMark.id ? this.#storage.digests(position) : [],
    );
    return new Map(
      digests.flatMap(({ rank, digest }) => {
        const cores = effectiveCoresOf(digest);
        return cores === null ? [] : [[rank, cores] as const];
      }),
    );
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
      specCheck: worstCheck(job.nodes.map(({ machine }) => machine.specCheck ?? null)),
    };
  }

  /**
   * The benchmark's figures over all nodes that have sent a result, as JSON; null while there are none. The
   * summary of a cluster benchmark is made once the step has ended.
   */
  #summary(live: Live, position: number): string | null {
    const final = this.#finalSummaries.get(position);
    if (final !== undefined) return final;
    const { job, identity } = live;
    const benchmark = benchmarkOf(identity.sequence[position]?.benchmark_id ?? "");
    const hasEnded = job.steps[position]?.endedAt !== null;
    if (benchmark.kind === "cluster" && !hasEnded) return null;
    const nodes = this.#storage.digests(position);
    const summary = benchmark.summarize(nodes, job.nodeCount);
    const text = summary === null ? null : JSON.stringify(summary);
    if (hasEnded) this.#finalSummaries.set(position, text);
    return text;
  }
}

function measuredFigures({ digest, gpuModel, gpuCount, gpuModels }: NodeDigest): MeasuredFigures {
  return { ...figuresOf(digest), gpuModel, gpuCount, gpuModels };
}

function modelsOf(machine: Hardware): string[] | null {
  const models = groupsOf(machine).flatMap(({ model }) => normalizeModel(model) ?? []);
  return models.length === 0 ? null : [...new Set(models)].sort();
}

/** What a node's view shows of it. Made for each view, so that it computes nothing. */
export function toNodeRecord(
  identity: JobIdentity,
  node: Node,
  contact: Contact | undefined,
  version: number,
): NodeRecord {
  const done = node.state === "completed" || node.state === "completed_with_warnings";
  return {
    id: taskIdOf(identity.jobId, node.rank),
    jobId: identity.jobId,
    rank: node.rank,
    version,
    machineUuid: node.machine.machineUuid,
    hostName: node.machine.hostName ?? null,
    machineIp: node.machine.machineIp,
    clusterAddress: node.machine.clusterAddresses[0] ?? null,
    gpuModel: node.machine.gpuModel,
    gpuCount: node.machine.gpuCount,
    gpuModels: node.machine.gpuModels,
    state: node.state,
    failedMessage: node.failedMessage,
    steps: node.steps,
    progress: done ? 1 : (contact?.progress ?? 0),
    message: node.endedAt === null ? (contact?.message ?? null) : null,
    clockSkewMs: contact?.clockSkewMs ?? null,
    createdAt: node.joinedAt,
    startedAt: node.startedAt,
    endedAt: node.endedAt,
  };
}
