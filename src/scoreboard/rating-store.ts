/** What rating a settled job reads and writes. */
import {
  and,
  asc,
  between,
  eq,
  getTableColumns,
  isNotNull,
  isNull,
  type SQL,
  sql,
} from "drizzle-orm";
import type { BatchItem } from "drizzle-orm/batch";
import type { Database } from "../db/client.ts";
import {
  baselines,
  gpuModels,
  machineFigures,
  scoreboard,
  taskFigures,
} from "../db/schema/scoreboard.ts";
import { jobs, taskResults, tasks } from "../db/schema.ts";
import { ANONYMOUS, isAnonymous } from "../identity/anonymous.ts";
import { taskIdRange } from "../lib/ids.ts";
import { utf8Length } from "../lib/json.ts";

export type BaselineRow = typeof baselines.$inferSelect;
export type FiguresRow = typeof taskFigures.$inferSelect;

/** D1 takes parameters of at most 2 MB, and is quickest well below. */
const MAX_CHUNK_BYTES = 400_000;
/** Statements with such parameters in a batch. */
const MAX_HEAVY = 4;

/**
 * A settled job with its nodes, the figures that were kept of them, and the results of those of which
 * none were kept; null when there is no such job. QuickMark is always the first step. One round trip.
 */
export async function readSettledJob(db: Database, jobId: number) {
  const range = taskIdRange(jobId);
  const known = sql`(select ${taskFigures.taskId} from ${taskFigures} where ${between(taskFigures.taskId, ...range)})`;
  const [[job], nodes, figures, results] = await db.batch([
    db
      .select({ userId: jobs.userId, endedAt: jobs.endedAt })
      .from(jobs)
      .where(and(eq(jobs.id, jobId), isNotNull(jobs.endedAt), isNull(jobs.deletedAt))),
    db
      .select({
        id: tasks.id,
        rank: tasks.rank,
        machineUuid: tasks.machineUuid,
        gpuModel: tasks.gpuModel,
        gpuCount: tasks.gpuCount,
        firstState: sql<string | null>`json_extract(${tasks.steps}, '$[0].state')`.as(
          "first_state",
        ),
      })
      .from(tasks)
      .where(between(tasks.id, ...range))
      .orderBy(asc(tasks.id)),
    db
      .select()
      .from(taskFigures)
      .where(between(taskFigures.taskId, ...range)),
    db
      .select({ taskId: taskResults.taskId, results: taskResults.results })
      .from(taskResults)
      .where(
        and(
          between(taskResults.taskId, ...range),
          eq(taskResults.position, 0),
          // What has moved to R2 was rated long ago.
          isNull(taskResults.archiveOffset),
          sql`${taskResults.taskId} not in ${known}`,
        ),
      ),
  ]);
  return job === undefined || job.endedAt === null
    ? null
    : { job: { ...job, endedAt: job.endedAt }, nodes, figures, results };
}

export interface PastRow {
  taskId: number;
  at: number;
  bf16Tflops: number | null;
  memoryBandwidthGbs: number | null;
}

/**
 * What nodes are compared with: the baselines of their models and the newest version of all, and what each
 * machine measured the last time before, for the same person. One round trip.
 */
export async function readComparison(
  db: Database,
  userId: number,
  nodes: readonly Pick<FiguresRow, "taskId" | "machineUuid" | "model" | "at">[],
): Promise<{ version: number; baselines: BaselineRow[]; past: PastRow[] }> {
  const models = JSON.stringify([...new Set(nodes.map(({ model }) => model))]);
  // Of a job without an account nobody knows whose machines it had before.
  const known = isAnonymous({ userId }) ? [] : nodes;
  const asked = JSON.stringify(
    known.map(({ taskId, machineUuid, model, at }) => [taskId, machineUuid, model, at]),
  );
  const field = (at: number) => sql.raw(`json_extract(node.value, '$[${at}]')`);
  const { taskId, machineUuid, model, at, bf16Tflops, memoryBandwidthGbs } = taskFigures;
  const before = sql`(select ${taskId} from ${taskFigures} where ${taskFigures.userId} = ${userId} and ${machineUuid} = ${field(1)} and ${model} = ${field(2)} and (${at}, ${taskId}) < (${field(3)}, ${field(0)}) order by ${at} desc, ${taskId} desc limit 1)`;
  const [[state], found, past] = await db.batch([
    db.select({ version: scoreboard.version }).from(scoreboard),
    db
      .select()
      .from(baselines)
      .where(sql`${baselines.model} in (select value from json_each(${models}))`),
    db
      .select({
        taskId: sql<number>`${field(0)}`.as("node_task_id"),
        at,
        bf16Tflops,
        memoryBandwidthGbs,
      })
      .from(sql`json_each(${asked}) node`)
      .innerJoin(taskFigures, sql`${taskId} = ${before}`),
  ]);
  return { version: state?.version ?? 0, baselines: found, past };
}

export interface RatedTask {
  taskId: number;
  status: string;
  /** JSON */
  verdict: string;
}

export interface RatedJob {
  jobId: number;
  /** Null where nothing was measured. */
  status: string | null;
  /** JSON */
  verdict: string | null;
  version: number;
  ratedAt: number;
}

/**
 * Stores figures and verdicts, the job's row last. Every statement may be repeated, and none puts a verdict
 * by older baselines in the place of one by newer. Few batches, mostly one.
 */
export async function writeVerdict(
  db: Database,
  figures: readonly FiguresRow[],
  rated: readonly RatedTask[],
  { jobId, status, verdict, version, ratedAt }: RatedJob,
): Promise<void> {
  const isLive = sql`exists (select 1 from ${jobs} where ${jobs.id} = ${jobId} and ${jobs.deletedAt} is null)`;
  const isNewest = sql`coalesce((select ${jobs.baselineVersion} from ${jobs} where ${jobs.id} = ${jobId}), 0) <= ${version}`;
  const heavy: BatchItem<"sqlite">[] = [
    ...chunks(figures).map((text) => insertFigures(db, text, isLive)),
    ...(figures.length === 0 ? [] : [updateMachines(db, jobId)]),
    ...chunks(rated).map((text) =>
      db
        .update(tasks)
        .set({
          performanceStatus: sql`json_extract(rated.value, '$.status')`,
          verdict: sql`json_extract(rated.value, '$.verdict')`,
        })
        .from(sql`json_each(${text}) rated`)
        .where(sql`${tasks.id} = json_extract(rated.value, '$.taskId') and ${isNewest}`),
    ),
  ];
  // The parameters of a batch travel together.
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
    .set({ performanceStatus: status, verdict, baselineVersion: version, ratedAt })
    .where(and(eq(jobs.id, jobId), sql`coalesce(${jobs.baselineVersion}, 0) <= ${version}`));
  // Figures count as rated only together with their job: else a crash in between would leave it behind.
  const [first, ...rest] = [...heavy, marked];
  await db.batch([first ?? marked, ...rest, recallLate(db, jobId, version), job]);
}

/**
 * Has cron come back to a job whose models' baselines have changed while it was being rated: it may have
 * looked for such jobs already. A model nobody had measured before learns here what was pinned meanwhile.
 */
function recallLate(db: Database, jobId: number, version: number) {
  const newest = sql`max(${gpuModels.version}, coalesce((select max(${baselines.version}) from ${baselines} where ${baselines.model} = ${gpuModels.model}), 0))`;
  const own = sql`(select ${taskFigures.model} from ${taskFigures} where ${between(taskFigures.taskId, ...taskIdRange(jobId))})`;
  return db
    .update(gpuModels)
    .set({ version: newest, isStale: true })
    .where(sql`${gpuModels.model} in ${own} and ${newest} > ${version}`);
}

function insertFigures(db: Database, text: string, isLive: SQL) {
  const keys = Object.keys(getTableColumns(taskFigures));
  const values = keys.map((key) => sql.raw(`json_extract(row.value, '$.${key}')`));
  return db
    .insert(taskFigures)
    .select(sql`select ${sql.join(values, sql`, `)} from json_each(${text}) row where ${isLive}`)
    .onConflictDoNothing();
}

/** The job's figures become the latest of their machines, unless these have newer ones. */
function updateMachines(db: Database, jobId: number) {
  const { model, machineUuid, at, taskId, bf16Tflops, memoryBandwidthGbs } = taskFigures;
  const columns = sql.join(
    [model, machineUuid, at, taskId, bf16Tflops, memoryBandwidthGbs],
    sql`, `,
  );
  const counted = and(
    between(taskId, ...taskIdRange(jobId)),
    sql`${model} <> ''`,
    // Anybody can make jobs without an account, and as many machines as they like: these count in no fleet.
    sql`${taskFigures.userId} <> ${ANONYMOUS.userId}`,
    sql`coalesce(${bf16Tflops}, ${memoryBandwidthGbs}) is not null`,
  );
  return db
    .insert(machineFigures)
    .select(sql`select ${columns} from ${taskFigures} where ${counted}`)
    .onConflictDoUpdate({
      target: [machineFigures.model, machineFigures.machineUuid],
      set: {
        at: sql`excluded.at`,
        taskId: sql`excluded.task_id`,
        bf16Tflops: sql`excluded.bf16_tflops`,
        memoryBandwidthGbs: sql`excluded.memory_bandwidth_gbs`,
      },
      setWhere: sql`(excluded.at, excluded.task_id) > (${machineFigures.at}, ${machineFigures.taskId})`,
    });
}

/** JSON lists of rows, each of them short enough to be a parameter. */
function chunks(rows: readonly object[]): string[] {
  const found: string[] = [];
  let items: string[] = [];
  let bytes = 0;
  for (const text of rows.map((row) => JSON.stringify(row))) {
    const size = utf8Length(text);
    if (bytes + size > MAX_CHUNK_BYTES && items.length > 0) {
      found.push(`[${items.join()}]`);
      items = [];
      bytes = 0;
    }
    items.push(text);
    bytes += size;
  }
  return items.length === 0 ? found : [...found, `[${items.join()}]`];
}
