/** Reads the last jobs of a machine. */
import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { measuredHardware } from "../db/measured-hardware.ts";
import { nodeVerdict } from "../db/node-verdict.ts";
import { tasks } from "../db/schema.ts";
import { counterKey, type Scope } from "../identity/actor.ts";

export type PastTask = Awaited<ReturnType<typeof lastTasks>>[number];

/** The machine's newest tasks that the scope sees, newest first: none for an unknown machine. One round trip. */
export function lastTasks(db: Database, scope: Scope, machineUuid: string, limit: number) {
  const { id, jobId, rank, createdAt, endedAt, gpuModel, gpuCount, gpuModels, figures } = tasks;
  return db
    .select({
      id,
      jobId,
      createdAt,
      endedAt,
      gpuModel,
      gpuCount,
      gpuModels,
      measuredModel: measuredHardware.gpuModel,
      measuredCount: measuredHardware.gpuCount,
      measuredModels: measuredHardware.gpuModels,
      sent: figures,
      verdict: nodeVerdict,
    })
    .from(tasks)
    .where(and(isNull(tasks.deletedAt), inScope(scope), eq(tasks.machineUuid, machineUuid)))
    .orderBy(sql`${createdAt} desc`, sql`${jobId} desc`, sql`${rank} desc`)
    .limit(limit);
}

/** In the terms of the indexes by machine. */
function inScope(scope: Scope): SQL | undefined {
  switch (scope.kind) {
    case "user":
      return eq(tasks.owner, counterKey(scope));
    case "customer":
      return eq(tasks.customerId, scope.customerId);
    case "all":
      return undefined;
  }
}
