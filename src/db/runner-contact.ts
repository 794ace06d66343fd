/** What D1 can tell of a runner's contact; for statements that read `runners`. */
import { type SQL, sql } from "drizzle-orm";

/** Whether the task that it holds is live: it is in contact as a node of that job. */
export const isAtWork: SQL<boolean> = sql<boolean>`exists (
  select 1 from tasks t join jobs j on j.id = t.job_id
  where t.id = runners.task_id and t.state = 'running' and t.ended_at is null
  and j.ended_at is null and j.deleted_at is null)`.mapWith(Boolean);

/** How many runners that are not archived offer the spec of this row of `specs` and are in contact. */
export function runnersOnline(lastHeartbeatAfter: number): SQL<number> {
  return sql<number>`(
    select count(*) from runner_specs offered join runners on runners.id = offered.runner_id
    where offered.spec_uuid = specs.uuid and runners.archived_at is null
    and (runners.last_heartbeat_at > ${lastHeartbeatAfter} or ${isAtWork}))`;
}
