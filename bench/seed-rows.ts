/** Rows as years of use leave them: drawn by chance, in order of time, the same for the same seed. */
import { clusterNetwork } from "../src/benchmarks/cluster-network.ts";
import { quickMark } from "../src/benchmarks/quick-mark.ts";
import { CHECK_EVERY_MS } from "../src/coordinator/projection/job-check.ts";
import * as packed from "../src/db/packed.ts";
import { generateJobName } from "../src/jobs/names.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../src/lib/clock.ts";
import type { StepState } from "../src/lib/enums.ts";
import { JobIdSource, taskIdOf } from "../src/lib/ids.ts";
import type { JobEvent, Step, StepRecord } from "../src/lib/stored-json.ts";
import { type Chance, createChance, itemAt } from "./seed-random.ts";
import { DESCRIPTIONS, GPUS, NAMES, TAGS } from "./seed-words.ts";

/** Rows of a table; columns that are not named keep their defaults. */
export type Row = Record<string, string | number | null>;

/** A job with what hangs on it. */
export interface SeededJob {
  job: Row;
  tasks: Row[];
}

export interface SeededOwner {
  customerId: number;
  userId: number;
  /** Their share of the customer's jobs, relative to the shares of the others. */
  weight: number;
}

const YEARS_MS = 2 * 365 * DAY_MS;
/** Of all jobs so many are of the last day: only those can be live. */
const LAST_DAY_SHARE = 0.02;
const DELETED_SHARE = 0.02;
const GENERATED_NAME_SHARE = 0.55;
/** Machines are benchmarked again and again: there are so many. */
const MACHINES = 2_000;

const NODE_COUNTS = [
  [1, 62] as const,
  [2, 12] as const,
  [4, 10] as const,
  [8, 9] as const,
  [16, 3] as const,
  [3, 1] as const,
  [32, 1.5] as const,
  [64, 0.8] as const,
  [128, 0.4] as const,
  [256, 0.3] as const,
];
const TAG_COUNTS = [
  [0, 35] as const,
  [1, 25] as const,
  [2, 15] as const,
  [3, 10] as const,
  [4, 6] as const,
  [5, 4] as const,
  [6, 2] as const,
  [7, 1] as const,
  [8, 1] as const,
  [9, 0.5] as const,
  [10, 0.5] as const,
];
const SETTLED = [
  ["completed", 82],
  ["completed_with_warnings", 6],
  ["failed", 6],
  ["aborted", 6],
] as const;
const LIVE = [
  ["created", 30],
  ["starting", 15],
  ["running", 30],
  ["completed", 25],
] as const;
type State = (typeof SETTLED)[number][0] | (typeof LIVE)[number][0];

export interface RowsOptions {
  jobs: number;
  seed: number;
  /** The newest job is made just before, ms since the epoch. */
  until: number;
  /** At most so many nodes of a job get rows: with all of them a million jobs have five million. */
  tasksPerJob: number;
  /** Rows of which cron has nothing to do: rated, reported as far as may be, and not to be looked at. */
  isQuiet?: boolean;
}

/**
 * The jobs, oldest first. Names are unique: generated ones by their letters, others by a number at their
 * end. Job ids of seeds that differ modulo 8 never meet.
 */
export function* seededJobs(
  owners: readonly SeededOwner[],
  { jobs, seed, until, tasksPerJob, isQuiet = false }: RowsOptions,
): Generator<SeededJob> {
  const chance = createChance(seed);
  const drawOwner = createDrawing(owners, chance);
  let createdAt = 0;
  const ids = new JobIdSource({ now: () => createdAt }, () => (seed % 8) / 8);
  const recent = Math.ceil(jobs * LAST_DAY_SHARE);
  const runs = new Map<string, number>();
  for (let at = 0; at < jobs; at++) {
    const isRecent = at >= jobs - recent;
    const [from, span, share] = isRecent
      ? [until - DAY_MS + HOUR_MS, DAY_MS - 2 * HOUR_MS, (at - jobs + recent) / recent]
      : [until - YEARS_MS, YEARS_MS - DAY_MS, at / (jobs - recent)];
    createdAt = Math.floor(from + span * share);
    const { customerId, userId } = drawOwner();
    const name = nameOf(at, createdAt, customerId);
    const nodeCount = chance.weighted(NODE_COUNTS);
    const state: State = chance.weighted(isRecent ? LIVE : SETTLED);
    const isDeleted = state !== "starting" && state !== "running" && chance.next() < DELETED_SHARE;
    const life = drawLife(chance, { id: ids.next(), createdAt, nodeCount, state, tasksPerJob });
    const deletedAt = isDeleted ? (life.endedAt ?? createdAt) + MINUTE_MS : null;
    const owned = { customer_id: customerId, user_id: userId, deleted_at: deletedAt };
    yield {
      job: {
        ...life.job,
        ...owned,
        name,
        description: chance.next() < 0.3 ? chance.skewed(DESCRIPTIONS) : null,
        tags: JSON.stringify(drawTags(chance)),
        token_key_id: "seeded",
        flushed_at: deletedAt ?? life.endedAt ?? createdAt,
        ...(isQuiet && {
          check_at: null,
          rated_at: life.endedAt,
          report_error: life.endedAt === null ? null : "seeded without reports",
        }),
      },
      tasks: life.tasks.map((task) => ({ ...task, ...owned })),
    };
  }

  function nameOf(at: number, time: number, customerId: number): string {
    if (chance.next() < GENERATED_NAME_SHARE) {
      // 7919 has no divisor in common with 26: so many jobs in a row draw different letters.
      let letters = (at * 7_919) % 26 ** 4;
      return generateJobName(time, () => {
        const letter = letters % 26;
        letters = Math.floor(letters / 26);
        return (letter + 0.5) / 26;
      });
    }
    const words = chance.skewed(NAMES);
    const key = `${customerId} ${words}`;
    const run = (runs.get(key) ?? 0) + 1;
    runs.set(key, run);
    return `${words} ${run}`;
  }
}

interface LifeOptions {
  id: number;
  createdAt: number;
  nodeCount: number;
  state: State;
  tasksPerJob: number;
}

/** The course of a job, as its coordinator would have written it to D1. */
function drawLife(chance: Chance, { id, createdAt, nodeCount, state, tasksPerJob }: LifeOptions) {
  const hasCluster = nodeCount > 1 && chance.next() < 0.6;
  const isJoined = state !== "created" && !(state === "aborted" && chance.next() < 0.6);
  const isLive = state === "created" || state === "starting" || state === "running";
  const joined = !isJoined ? 0 : state === "starting" ? Math.ceil(nodeCount / 2) : nodeCount;
  const startedAt = joined === nodeCount ? createdAt + MINUTE_MS + chance.below(HOUR_MS) : null;
  const workMs = 4 * MINUTE_MS + chance.below(30 * MINUTE_MS);
  const endedAt = isLive ? null : (startedAt ?? createdAt) + workMs;
  const gpu = chance.skewed(GPUS);
  const gpuCount = chance.weighted([
    [8, 6],
    [1, 3],
    [4, 1],
  ]);
  const count = Math.min(joined, tasksPerJob);
  const nodes = Array.from({ length: count }, (_, rank) => {
    const taskState = stateOfNode(state, rank, hasCluster);
    const isMeasured = taskState === "completed" || taskState === "completed_with_warnings";
    const factor = gpuCount * (0.92 + chance.next() * 0.1);
    const figures = {
      bf16_tflops: rounded(gpu.tflops * factor),
      memory_bandwidth_gbs: rounded(gpu.bandwidth * factor),
      power_consumption_watts: rounded(gpu.watts * factor),
      temperature_centigrade: 50 + chance.below(30),
    };
    return { rank, state: taskState, figures: isMeasured ? figures : null };
  });
  const measured = nodes.flatMap(({ rank, figures }) =>
    figures === null
      ? []
      : [
          {
            rank,
            digest: { aggregate: figures, gpus: null },
            gpuModel: gpu.model,
            gpuCount,
            gpuModels: null,
          },
        ],
  );
  const summary = quickMark.summarize(measured, nodeCount);
  const clusterState: StepState = state === "completed" ? "completed" : "failed";
  const joinedAt = (startedAt ?? createdAt + MINUTE_MS) - SECOND_MS;
  const pending: Step = { state: "created", startedAt: null, endedAt: null, errorMessage: null };
  const steps: StepRecord[] = [
    { ...pending, summary: summary === null ? null : JSON.stringify(summary) },
    ...(hasCluster
      ? [
          measured.length === 0 || endedAt === null
            ? { ...pending, summary: null }
            : {
                state: clusterState,
                startedAt: endedAt - MINUTE_MS,
                endedAt,
                errorMessage: clusterState === "failed" ? "a node was lost" : null,
                summary:
                  clusterState === "failed" ? null : JSON.stringify(drawLinks(chance, nodeCount)),
              },
        ]
      : []),
  ];
  const events: JobEvent[] = [
    ...nodes.map(({ rank }) => ({
      at: joinedAt,
      kind: "joined" as const,
      rank,
      message: `node ${rank} joined (${rank + 1} of ${nodeCount})`,
    })),
    ...(endedAt === null
      ? []
      : [{ at: endedAt, kind: "settled" as const, rank: null, message: `the job is ${state}` }]),
  ];
  const job: Row = {
    id,
    node_count: nodeCount,
    sequence: hasCluster ? WITH_NETWORK : ALONE,
    created_at: createdAt,
    expires_at: createdAt + DAY_MS,
    check_at: isLive ? createdAt + (isJoined ? CHECK_EVERY_MS : DAY_MS) : null,
    coordinated: isJoined ? 1 : 0,
    version: joined + (endedAt === null ? 0 : joined + 1),
    state,
    current_nodes: joined,
    started_at: startedAt,
    ended_at: endedAt,
    steps: JSON.stringify(packed.jobSteps.pack(joined === 0 ? [] : steps)),
    events: JSON.stringify(packed.events.pack(events)),
    // What the nodes sent is not made: its place is R2.
    body_bytes: isJoined && !isLive ? 0 : null,
  };
  const tasks = nodes.map(({ rank, state: taskState, figures }): Row => {
    const hasEnded = taskState !== "running";
    const unmeasured = taskState === "aborted" ? taskState : "failed";
    const step: Step = {
      state: figures !== null ? "completed" : hasEnded ? unmeasured : "running",
      startedAt: joinedAt + SECOND_MS,
      endedAt: hasEnded ? endedAt : null,
      errorMessage: taskState === "failed" ? "CUDA error: out of memory" : null,
    };
    return {
      id: taskIdOf(id, rank),
      job_id: id,
      rank,
      version: Number(job.version),
      machine_uuid: `5eed5eed-0000-4000-8000-${String(chance.below(MACHINES)).padStart(12, "0")}`,
      machine_ip: chance.next() < 0.9 ? `10.${chance.below(4)}.${chance.below(250)}.7` : null,
      gpu_model: gpu.model,
      gpu_count: gpuCount,
      state: taskState,
      failed_message: taskState === "failed" ? "quick_mark failed" : null,
      steps: JSON.stringify(packed.steps.pack(hasCluster ? [step, pending] : [step])),
      progress: figures === null ? 0 : 1,
      created_at: joinedAt,
      started_at: joinedAt + SECOND_MS,
      ended_at: hasEnded ? endedAt : null,
      figures:
        figures === null
          ? null
          : JSON.stringify(
              packed.figures.pack({
                aggregate: figures,
                gpus: null,
                provenance: null,
                gpuModel: gpu.model,
                gpuCount,
                gpuModels: null,
              }),
            ),
    };
  });
  return { job, tasks, endedAt };
}

const ALONE = JSON.stringify([{ benchmark_id: quickMark.id, config: null }]);
const WITH_NETWORK = JSON.stringify([
  { benchmark_id: quickMark.id, config: null },
  { benchmark_id: clusterNetwork.id, config: null },
]);

/** Of a job that ended with warnings one node has failed, or the cluster step alone. */
function stateOfNode(state: State, rank: number, hasCluster: boolean): string {
  if (state === "starting" || state === "running") return "running";
  if (state !== "completed_with_warnings") return state;
  if (hasCluster) return "completed_with_warnings";
  return rank === 1 ? "failed" : "completed";
}

function drawLinks(chance: Chance, nodeCount: number) {
  const average = 20 + chance.below(370);
  return {
    avg_bandwidth_gbps: average,
    avg_latency: rounded(0.02 + chance.next()),
    min_bandwidth_gbps: rounded(average * 0.8),
    total_links_tested: nodeCount * (nodeCount - 1),
    node_count: nodeCount,
  };
}

function drawTags(chance: Chance): string[] {
  const count = chance.weighted(TAG_COUNTS);
  const tags = new Set<string>();
  while (tags.size < count) tags.add(chance.skewed(TAGS));
  return [...tags];
}

function rounded(figure: number): number {
  return Math.round(figure * 100) / 100;
}

/** Draws owners by their weights, in a time that does not grow with them. */
function createDrawing(owners: readonly SeededOwner[], chance: Chance): () => SeededOwner {
  const total = owners.reduce((sum, { weight }) => sum + weight, 0);
  const slots = owners.flatMap((owner) =>
    Array<SeededOwner>(Math.max(1, Math.round((owner.weight / total) * SLOTS))).fill(owner),
  );
  return () => itemAt(slots, chance.below(slots.length));
}

const SLOTS = 10_000;
