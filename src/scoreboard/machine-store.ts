/** Writes the latest figures of machines, of which fleets are made. */
import { and, between, type Column, type SQL, sql } from "drizzle-orm";
import { QUICKMARK, UNKNOWN } from "../benchmarks/methods.ts";
import type { Database } from "../db/client.ts";
import { insertFrom } from "../db/insert-from.ts";
import { machineFigures, taskFigures } from "../db/schema/scoreboard.ts";
import { ANONYMOUS } from "../identity/anonymous.ts";
import { taskIdRange } from "../lib/ids.ts";
import { REPLAY } from "./figures.ts";

/**
 * Makes the job's figures the latest of their machines, unless newer figures are stored: in a row for each class of
 * methods, so in one where both figures are QuickMark's.
 */
export function updateMachines(db: Database, jobId: number) {
  const { model, customerId, machineUuid, at, taskId, bf16Tflops, memoryBandwidthGbs } =
    taskFigures;
  const [bf16, memory] = [taskFigures.bf16Class, taskFigures.memoryClass].map(
    (column) => sql`coalesce(${column}, ${QUICKMARK})`,
  );
  const ofClass = (figure: Column, own: SQL | undefined) =>
    sql`case when ${own} = each.value then ${figure} end`;
  const latest = {
    model,
    customerId,
    machineUuid,
    class: sql`each.value`,
    at,
    taskId,
    bf16Tflops: ofClass(bf16Tflops, bf16),
    memoryBandwidthGbs: ofClass(memoryBandwidthGbs, memory),
  };
  const counted = and(
    between(taskId, ...taskIdRange(jobId)),
    sql`${model} <> ''`,
    // Anyone can create jobs without an account, for any machine, so their figures count in no fleet.
    sql`${taskFigures.userId} <> ${ANONYMOUS.userId}`,
    sql`coalesce(${bf16Tflops}, ${memoryBandwidthGbs}) is not null`,
    sql`each.value not in (${UNKNOWN}, ${REPLAY})`,
    sql`(each.key = 0 or ${memory} <> ${bf16})`,
  );
  const from = sql`from ${taskFigures} cross join json_each(json_array(${bf16}, ${memory})) each where ${counted}`;
  return insertFrom(db, machineFigures, latest, from).onConflictDoUpdate({
    target: [
      machineFigures.model,
      machineFigures.customerId,
      machineFigures.machineUuid,
      machineFigures.class,
    ],
    set: {
      at: sql`excluded.at`,
      taskId: sql`excluded.task_id`,
      bf16Tflops: sql`excluded.bf16_tflops`,
      memoryBandwidthGbs: sql`excluded.memory_bandwidth_gbs`,
    },
    setWhere: sql`(excluded.at, excluded.task_id) > (${machineFigures.at}, ${machineFigures.taskId})`,
  });
}
