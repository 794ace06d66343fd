/** Contact of runners, as far as D1 knows, for statements that read `runners`. */
import { type SQL, sql } from "drizzle-orm";

/** The runner's task is live, so the runner is in contact as a node of that job. */
export const atWork: SQL<boolean> = sql<boolean>`exists (
  select 1 from tasks t join jobs j on j.id = t.job_id
  where t.id = runners.task_id and t.state = 'running' and t.ended_at is null
  and j.ended_at is null and j.deleted_at is null)`.mapWith(Boolean);

/** The number of live runners that offer the spec of this row of `specs` and are in contact. */
export function runnersOnline(lastHeartbeatAfter: number): SQL<number> {
  return sql<number>`(
    select count(*) from runner_specs offered join runners on runners.id = offered.runner_id
    where offered.spec_uuid = specs.uuid and runners.archived_at is null
    and (runners.last_heartbeat_at > ${lastHeartbeatAfter} or ${atWork}))`;
}
