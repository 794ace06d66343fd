/** Contact of runners, as far as D1 knows, for statements that read `runners`. */
import { type SQL, sql } from "drizzle-orm";
import { RENEW_MS } from "../lobbies/protocol.ts";

/** The runner's task is live, so the runner is in contact as a node of that job. */
export const atWork: SQL<boolean> = sql<boolean>`exists (
  select 1 from tasks t join jobs j on j.id = t.job_id
  where t.id = runners.task_id and t.state = 'running' and t.ended_at is null
  and j.ended_at is null and j.deleted_at is null)`.mapWith(Boolean);

/** When the lobby that holds the runner's socket was last there, ms; null without a socket. */
export const waitedAt: SQL<number | null> = sql<number | null>`(
  select renewed_at from lobbies where lobbies.id = runners.lobby_id)`;

/**
 * The runner has asked for a job lately, or holds a socket open.
 *
 * @param contactAfter a runner out of contact since then is offline, ms
 */
export function inContact(contactAfter: number): SQL<boolean> {
  return sql<boolean>`(coalesce(runners.last_heartbeat_at > ${contactAfter}, 0)
    or coalesce(${waitedAt} > ${contactAfter - RENEW_MS}, 0))`;
}

/** The number of live runners that offer the spec of this row of `specs` and are in contact. */
export function runnersOnline(contactAfter: number): SQL<number> {
  return sql<number>`(
    select count(*) from runner_specs offered join runners on runners.id = offered.runner_id
    where offered.spec_uuid = specs.uuid and runners.archived_at is null
    and (${inContact(contactAfter)} or ${atWork}))`;
}
