/** What D1 knows of lobbies, and of the runners in them. */
import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { fromJson } from "../db/json.ts";
import { byReference } from "../db/named-rows.ts";
import { lobbies, lobbySpecs } from "../db/schema/lobbies.ts";
import { joinableStates, runners, specs } from "../db/schema.ts";
import type { Reference } from "../lib/references.ts";
import { RENEW_MS, type Waiting } from "./protocol.ts";

/** Lobbies that one job wakes, and specs that one tick of cron looks at. */
const MAX_LOBBIES = 32;
const MAX_SPECS = 200;
/** Open jobs of a spec whose nodes cron counts. */
const MAX_JOBS = 50;

const idOf = (name: string): SQL<number> => sql`(select id from ${lobbies} where name = ${name})`;

/**
 * Notes that a runner waits in a lobby: only if it still has this key, is not archived, and still offers these specs.
 * One batch, one round trip; one row, and those of a new lobby.
 */
export async function admitRunner(
  db: Database,
  name: string,
  { id, keyHash, offered }: Waiting,
  now: number,
): Promise<boolean> {
  const list = JSON.stringify(offered);
  const offers = sql`(select json_group_array(spec_uuid) from (
    select spec_uuid from runner_specs where runner_id = ${id} order by spec_uuid))`;
  const [, , admitted] = await db.batch([
    ...beThere(db, name, list, now),
    db
      .update(runners)
      .set({ lobbyId: idOf(name), lastHeartbeatAt: now })
      .where(
        and(
          eq(runners.id, id),
          eq(runners.keyHash, keyHash),
          isNull(runners.archivedAt),
          sql`${offers} = ${list}`,
        ),
      )
      .returning({ id: runners.id }),
  ]);
  return admitted.length > 0;
}

/** Statements that write a lobby's rows where they are missing, and its own where it is old. */
function beThere(db: Database, name: string, offered: string, now: number) {
  return [
    db
      .insert(lobbies)
      .values({ name, renewedAt: now })
      .onConflictDoUpdate({
        target: lobbies.name,
        set: { renewedAt: now },
        setWhere: sql`${lobbies.renewedAt} <= ${now - RENEW_MS}`,
      }),
    db
      .insert(lobbySpecs)
      .select(sql`select value, ${idOf(name)} from json_each(${offered}) where true`)
      .onConflictDoNothing(),
  ] as const;
}

/**
 * Notes that runners wait no more, each in contact until then: of those that wait nowhere else. One row each. One round
 * trip.
 *
 * @param gone ids, and times of the latest contact, ms
 */
export async function releaseRunners(
  db: Database,
  name: string,
  gone: readonly (readonly [id: number, at: number])[],
): Promise<void> {
  const list = JSON.stringify(gone);
  await db
    .update(runners)
    .set({
      lobbyId: null,
      lastHeartbeatAt: sql`max(coalesce(last_heartbeat_at, 0), (select max(value ->> 1) from json_each(${list})
        where value ->> 0 = runners.id))`,
    })
    .where(
      and(
        sql`${runners.id} in (select value ->> 0 from json_each(${list}))`,
        sql`${runners.lobbyId} = ${idOf(name)}`,
      ),
    );
}

/**
 * Renews a lobby's row, and corrects what D1 knows of its runners: those whose sockets are gone without a word, and
 * those that it has taken for gone. One batch, one round trip; one row if nothing is wrong.
 *
 * @param present ids of those that wait
 */
export async function renewLobby(
  db: Database,
  name: string,
  offered: readonly string[],
  present: readonly number[],
  now: number,
): Promise<void> {
  const list = JSON.stringify(offered);
  const ids = sql`(select value from json_each(${JSON.stringify(present)}))`;
  const [first = ""] = offered;
  await db.batch([
    ...beThere(db, name, list, now),
    db
      .update(runners)
      .set({ lobbyId: null })
      .where(
        and(
          sql`${runners.id} in (select runner_id from runner_specs where spec_uuid = ${first})`,
          sql`${runners.lobbyId} = ${idOf(name)}`,
          sql`${runners.id} not in ${ids}`,
        ),
      ),
    db
      .update(runners)
      .set({ lobbyId: idOf(name) })
      .where(
        and(sql`${runners.id} in ${ids}`, isNull(runners.lobbyId), isNull(runners.archivedAt)),
      ),
  ]);
}

/** Removes the rows of a lobby without runners; what D1 still counts as waiting there is gone. One round trip. */
export async function closeLobby(
  db: Database,
  name: string,
  offered: readonly string[],
): Promise<void> {
  const [first = ""] = offered;
  await db.batch([
    db
      .update(runners)
      .set({ lobbyId: null })
      .where(
        and(
          sql`${runners.id} in (select runner_id from runner_specs where spec_uuid = ${first})`,
          sql`${runners.lobbyId} = ${idOf(name)}`,
        ),
      ),
    db
      .delete(lobbySpecs)
      .where(
        and(
          sql`${lobbySpecs.specUuid} in (select value from json_each(${JSON.stringify(offered)}))`,
          sql`${lobbySpecs.lobbyId} = ${idOf(name)}`,
        ),
      ),
    db.delete(lobbies).where(eq(lobbies.name, name)),
  ]);
}

/** Names of the lobbies in which runners wait for jobs of a spec, in random order. */
const lobbiesOf = (spec: SQL) => sql`(select json_group_array(name) from (
  select name from lobby_specs join lobbies on lobbies.id = lobby_id where spec_uuid = ${spec}
  order by random() limit ${MAX_LOBBIES}))`;

/** The names of the lobbies of a spec. One round trip. */
export async function findLobbies(db: Database, reference: Reference): Promise<string[]> {
  const [row] = await db
    .select({ names: fromJson<string[]>(lobbiesOf(sql`${specs.uuid}`)).as("names") })
    .from(specs)
    .where(byReference(specs, reference));
  return row?.names ?? [];
}

/**
 * Specs that have both waiting runners and open jobs: the nodes that these want, and the lobbies. One round trip.
 *
 * @param times `createdAfter`: older jobs have expired
 */
export async function findWanted(
  db: Database,
  { now, createdAfter }: { now: number; createdAfter: number },
): Promise<{ wants: number; lobbies: string[] }[]> {
  const rows = await db.all<{ wants: number; names: string }>(sql`
    select wants, ${lobbiesOf(sql`spec`)} names from (
      select spec, (select sum(node_count - current_nodes) from (
        select node_count, current_nodes from jobs where spec_uuid = spec and deleted_at is null
        and state in ${joinableStates} and created_at > ${createdAfter} and expires_at > ${now}
        limit ${MAX_JOBS})) wants
      from (select distinct spec_uuid spec from lobby_specs limit ${MAX_SPECS})
      where exists (select 1 from specs where uuid = spec and archived_at is null))
    where wants > 0`);
  return rows.map(({ wants, names }) => ({ wants, lobbies: JSON.parse(names) }));
}
