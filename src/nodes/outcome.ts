/** The outcome of a job for one of its nodes: what a poll adds to the node's view once the job has settled. */

import type { z } from "@hono/zod-openapi";
import { and, eq, isNull } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { nodeVerdict } from "../db/node-verdict.ts";
import { tasks } from "../db/schema.ts";
import { toPerformanceNode } from "../scoreboard/verdict-wire.ts";
import type { nodeView } from "./schemas.ts";

type Outcome = Pick<z.infer<typeof nodeView>, "performance" | "findings" | "spec_check">;

/** Of a live job, and for a caller that is no node of the job. */
export const NO_OUTCOME: Outcome = { performance: null, findings: null, spec_check: null };

/** One D1 round trip. The verdict of a deleted job is not shown. */
export async function readOutcome(db: Database, taskId: number): Promise<Outcome> {
  const [row] = await db
    .select({ id: tasks.id, verdict: nodeVerdict, specCheck: tasks.specCheck })
    .from(tasks)
    .where(and(eq(tasks.id, taskId), isNull(tasks.deletedAt)));
  if (row === undefined) return NO_OUTCOME;
  const performance = toPerformanceNode(row);
  return { performance, findings: performance?.findings ?? null, spec_check: row.specCheck };
}

/** @param view JSON of an object */
export function withOutcome(view: string, outcome: Outcome): string {
  return `${view.slice(0, -1)},${JSON.stringify(outcome).slice(1)}`;
}
