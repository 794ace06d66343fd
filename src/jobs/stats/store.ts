import { and, count, eq, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { jobs, jobTags, performanceCounts } from "../../db/schema.ts";
import type { Scope } from "../../identity/actor.ts";
import { counterKey, visible } from "../store.ts";

export interface AlertFilter {
  state: string;
  name?: string | undefined;
  tags: readonly string[];
}

/**
 * How many jobs of a scope and state underperform: from one counter row, or, by name or tags, from the
 * index of those that do. One round trip.
 */
export async function countAlerts(
  db: Database,
  scope: Scope,
  { state, name, tags }: AlertFilter,
): Promise<number> {
  if (name === undefined && tags.length === 0) {
    const [row] = await db
      .select({ alerts: performanceCounts.jobs })
      .from(performanceCounts)
      .where(
        and(
          eq(performanceCounts.scope, counterKey(scope)),
          eq(performanceCounts.state, state),
          eq(performanceCounts.status, "underperforming"),
        ),
      );
    return row?.alerts ?? 0;
  }
  const [row] = await db
    .select({ alerts: count() })
    .from(jobs)
    .where(
      and(
        visible(scope),
        eq(jobs.state, state),
        // Spelled out: the index is of these alone.
        sql`${jobs.performanceStatus} = 'underperforming'`,
        name === undefined ? undefined : sql`instr(lower(${jobs.name}), lower(${name})) > 0`,
        ...tags.map(hasTag),
      ),
    );
  return row?.alerts ?? 0;
}

function hasTag(tag: string): SQL {
  const { userId, createdAt, jobId } = jobTags;
  const ofJob = and(
    eq(userId, jobs.userId),
    eq(jobTags.tag, tag),
    eq(createdAt, jobs.createdAt),
    eq(jobId, jobs.id),
  );
  return sql`exists (select 1 from ${jobTags} where ${ofJob})`;
}
