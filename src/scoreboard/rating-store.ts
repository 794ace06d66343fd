/** Reads and writes of the rating of a settled job. */
import { and, asc, between, type Column, eq, isNotNull, isNull, type SQL, sql } from "drizzle-orm";
import type { BatchItem } from "drizzle-orm/batch";
import type { Database } from "../db/client.ts";
import { insertFrom } from "../db/insert-from.ts";
import { measuredHardware } from "../db/measured-hardware.ts";
import { fleets, methods, parts, statePath, stepState } from "../db/packed.ts";
import { nodeVerdict } from "../db/packed-verdicts.ts";
import {
  baselines,
  comparable,
  customerFleets,
  gpuModels,
  scoreboard,
  taskFigures,
} from "../db/schema/scoreboard.ts";
import { jobs, tasks } from "../db/schema.ts";
import { isAnonymous } from "../identity/anonymous.ts";
import type { StepState } from "../lib/enums.ts";
import { taskIdRange } from "../lib/ids.ts";
import { jsonChunks } from "../lib/json.ts";
import type { NodeVerdict, StoredJobVerdict } from "../lib/stored-json.ts";
import { lastCounts } from "./count-store.ts";
import { countOf } from "./facts.ts";
import { updateMachines } from "./machine-store.ts";
import { containsModel, modelsOf } from "./models-column.ts";

export type BaselineRow = typeof baselines.$inferSelect;
export type FiguresRow = typeof taskFigures.$inferSelect;
export type CustomerFleetRow = typeof customerFleets.$inferSelect;

/** D1 takes parameters of at most 2 MB, and is quickest well below. */
const MAX_CHUNK_BYTES = 400_000;
/** Bound of statements with such parameters in a batch. */
const MAX_HEAVY = 4;

const firstState =
  sql<StepState | null>`${tasks.steps} ->> ${sql.raw(`'${statePath(0)}'`)}`.mapWith(
    stepState.unpack,
  );

/**
 * A settled job with its nodes, their figures as sent, and the rows of those that were stored before; null if there
 * is no such job. QuickMark is always the first step. One round trip.
 */
export async function readSettledJob(db: Database, jobId: number) {
  const range = taskIdRange(jobId);
  const [[job], nodes, figures] = await db.batch([
    db
      .select({
        userId: jobs.userId,
        customerId: jobs.customerId,
        endedAt: jobs.endedAt,
        sequence: jobs.sequence,
        steps: jobs.steps,
        specUuid: jobs.specUuid,
      })
      .from(jobs)
      .where(and(eq(jobs.id, jobId), isNotNull(jobs.endedAt), isNull(jobs.deletedAt))),
    db
      .select({
        id: tasks.id,
        rank: tasks.rank,
        machineUuid: tasks.machineUuid,
        ...measuredHardware,
        firstState: firstState.as("first_state"),
        sent: tasks.figures,
        specCheck: tasks.specCheck,
      })
      .from(tasks)
      .where(between(tasks.id, ...range))
      .orderBy(asc(tasks.id)),
    db
      .select()
      .from(taskFigures)
      .where(between(taskFigures.taskId, ...range)),
  ]);
  return job === undefined || job.endedAt === null
    ? null
    : { job: { ...job, endedAt: job.endedAt }, nodes, figures };
}

/**
 * The figures that nodes are compared with: the baselines of their models, the customer's fleets, and each machine's
 * previous figures in jobs of the same person and customer, and its last number of GPUs; and the newest version of all
 * baselines. One round trip.
 */
export async function readComparison(
  db: Database,
  {
    userId,
    customerId,
    specUuid,
  }: Pick<FiguresRow, "userId" | "customerId"> & { specUuid: string | null },
  figures: readonly Pick<FiguresRow, "taskId" | "machineUuid" | "model" | "at">[],
  nodes: readonly { id: number; gpuCount: number | null }[],
) {
  const models = JSON.stringify([...new Set(figures.flatMap(({ model }) => modelsOf(model)))]);
  // A job without an account has no owner whose earlier jobs could be compared.
  const hasOwner = !isAnonymous({ userId });
  const owned = hasOwner ? figures : [];
  const counted = hasOwner ? nodes.filter(({ gpuCount }) => gpuCount !== null) : [];
  const keys = JSON.stringify(
    owned.map(({ taskId, machineUuid, model, at }) => [taskId, machineUuid, model, at]),
  );
  const field = (at: number) => sql.raw(`json_extract(node.value, '$[${at}]')`);
  const { taskId, machineUuid, model, at, bf16Tflops, memoryBandwidthGbs } = taskFigures;
  const before = sql`(select ${taskId} from ${taskFigures} where ${taskFigures.userId} = ${userId} and ${taskFigures.customerId} = ${customerId} and ${machineUuid} = ${field(1)} and ${model} = ${field(2)} and (${at}, ${taskId}) < (${field(3)}, ${field(0)}) and ${comparable} order by ${at} desc, ${taskId} desc limit 1)`;
  const isOneOf = (model: Column) => sql`${model} in (select value from json_each(${models}))`;
  const [[state], rows, customer, past, counts] = await db.batch([
    db.select({ version: scoreboard.version }).from(scoreboard),
    db.select().from(baselines).where(isOneOf(baselines.model)),
    db
      .select()
      .from(customerFleets)
      .where(and(isOneOf(customerFleets.model), eq(customerFleets.customerId, customerId))),
    db
      .select({
        taskId: sql<number>`${field(0)}`.as("node_task_id"),
        at,
        bf16Tflops,
        memoryBandwidthGbs,
        parts: taskFigures.parts,
        methods: taskFigures.methods,
      })
      .from(sql`json_each(${keys}) node`)
      .innerJoin(taskFigures, sql`${taskId} = ${before}`),
    lastCounts(
      db,
      counted.map(({ id }) => id),
      specUuid !== null,
    ),
  ]);
  return { version: state?.version ?? 0, baselines: rows, customerFleets: customer, past, counts };
}

export interface RatedTask {
  taskId: number;
  verdict: NodeVerdict;
}

export interface RatedJob {
  jobId: number;
  /** Null for a job without measurements. */
  verdict: StoredJobVerdict | null;
  version: number;
  ratedAt: number;
}

function packed({ fleets: known, parts: apart, methods: by, ...row }: FiguresRow) {
  const columns = { fleets: fleets.pack(known), parts: apart && parts.pack(apart) };
  return { ...row, ...columns, methods: by && methods.pack(by) };
}

function packedRating({ taskId, verdict }: RatedTask) {
  const findings = countOf(verdict) || null;
  return { taskId, status: verdict.status, findings, verdict: nodeVerdict.pack(verdict) };
}

/**
 * Stores figures and verdicts, the job's row last. Every statement is safe to repeat, and no verdict by older
 * baselines replaces a verdict by newer ones. One batch; more only for very large jobs.
 */
export async function writeVerdict(
  db: Database,
  figures: readonly FiguresRow[],
  rated: readonly RatedTask[],
  { jobId, verdict, version, ratedAt }: RatedJob,
): Promise<void> {
  const jobExists = sql`exists (select 1 from ${jobs} where ${jobs.id} = ${jobId} and ${jobs.deletedAt} is null)`;
  const noNewerVerdict = sql`coalesce((select ${jobs.baselineVersion} from ${jobs} where ${jobs.id} = ${jobId}), 0) <= ${version}`;
  const heavy: BatchItem<"sqlite">[] = [
    ...jsonChunks(figures.map(packed), MAX_CHUNK_BYTES).map((text) =>
      insertFigures(db, text, jobExists),
    ),
    ...(figures.length === 0 ? [] : [updateMachines(db, jobId)]),
    ...jsonChunks(rated.map(packedRating), MAX_CHUNK_BYTES).map((text) =>
      db
        .update(tasks)
        .set({
          performanceStatus: sql`json_extract(rated.value, '$.status')`,
          verdict: sql`json_extract(rated.value, '$.verdict')`,
          findingCount: sql`json_extract(rated.value, '$.findings')`,
        })
        .from(sql`json_each(${text}) rated`)
        .where(sql`${tasks.id} = json_extract(rated.value, '$.taskId') and ${noNewerVerdict}`),
    ),
  ];
  // All parameters of a batch are sent in one request.
  while (heavy.length > MAX_HEAVY) {
    const [first, ...rest] = heavy.splice(0, MAX_HEAVY);
    if (first !== undefined) await db.batch([first, ...rest]);
  }
  const marked = db
    .update(taskFigures)
    .set({ ratedVersion: version })
    .where(
      and(
        between(taskFigures.taskId, ...taskIdRange(jobId)),
        sql`${taskFigures.ratedVersion} < ${version}`,
      ),
    );
  const job = db
    .update(jobs)
    .set({
      performanceStatus: verdict?.status ?? null,
      verdict,
      baselineVersion: version,
      ratedAt,
      findingCount: verdict === null ? null : countOf(verdict) || null,
    })
    .where(and(eq(jobs.id, jobId), sql`coalesce(${jobs.baselineVersion}, 0) <= ${version}`));
  // Figures are marked as rated in the same batch as their job, or a crash in between would hide the job from cron.
  const [first, ...rest] = [...heavy, marked];
  const hasSeveral = figures.some(({ parts }) => parts !== null && parts.length > 1);
  const late = hasSeveral ? [recallLateParts(db, jobId, version)] : [];
  await db.batch([first ?? marked, ...rest, ...late, recallLate(db, jobId, version), job]);
}

/** The same for nodes with several models, whose row has missed the pin if this rating has made it. */
function recallLateParts(db: Database, jobId: number, version: number) {
  const own = sql`(select ${taskFigures.model} from ${taskFigures} where ${between(taskFigures.taskId, ...taskIdRange(jobId))})`;
  const newest = sql`(select max(part.version) from gpu_models part where ${containsModel(gpuModels.model, sql`part.model`)})`;
  return db
    .update(gpuModels)
    .set({ version: newest })
    .where(sql`${gpuModels.model} in ${own} and ${newest} > ${version}`);
}

/**
 * Has cron rate a job again if a value was pinned or the rules changed while it was being rated, since cron may have
 * looked for such jobs before its figures were stored.
 */
function recallLate(db: Database, jobId: number, version: number) {
  const own = sql`(select ${taskFigures.model} from ${taskFigures} where ${between(taskFigures.taskId, ...taskIdRange(jobId))})`;
  return db
    .update(gpuModels)
    .set({ isStale: true })
    .where(sql`${gpuModels.model} in ${own} and ${gpuModels.version} > ${version}`);
}

function insertFigures(db: Database, text: string, jobExists: SQL) {
  const field = (name: keyof FiguresRow) => sql.raw(`json_extract(row.value, '$.${name}')`);
  const row = {
    taskId: field("taskId"),
    userId: field("userId"),
    customerId: field("customerId"),
    machineUuid: field("machineUuid"),
    model: field("model"),
    at: field("at"),
    bf16Tflops: field("bf16Tflops"),
    memoryBandwidthGbs: field("memoryBandwidthGbs"),
    fleets: field("fleets"),
    parts: field("parts"),
    methods: field("methods"),
    bf16Class: field("bf16Class"),
    memoryClass: field("memoryClass"),
    ratedVersion: field("ratedVersion"),
  };
  const from = sql`from json_each(${text}) row where ${jobExists}`;
  return insertFrom(db, taskFigures, row, from).onConflictDoNothing();
}
