/** Reads the facts that claims are decided by. */
import { type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { joinableStates } from "../db/schema.ts";
import { JOB_LIFETIME_MS } from "../identity/lifetimes.ts";
import { atWork, inContact } from "../specs/runners-online.ts";
import { jobOver, memberOf } from "./claim-conditions.ts";
import type { Facts } from "./schedule.ts";

/**
 * Jobs that are read for each customer and spec; later ones wait until these are full. The number is high because
 * many runners decide from one read.
 */
const MAX_JOBS = 50;
/** Gang jobs that are read for each customer, spec and size; they hide no other size, and no other job. */
const MAX_GANGS = 5;

export interface ReadFacts extends Facts {
  /** The gang job that a runner is reserved for, by the runner's id. */
  reserved: Map<number, number>;
  /** A customer has more jobs for a spec than were read. */
  isCut: boolean;
}

interface Row {
  jobs: string;
  tries: string;
  held: string;
  pools: string;
  reserved: string;
}

type JobColumns = [number, number, string, number, number, number, number | null, number | null];

/**
 * The open jobs of each customer for these specs, oldest first, and the runners that offer the specs. Archived
 * specs have none, and gang jobs that want more runners than offer their spec are left out. One round trip. It steps
 * through an index from customer to customer, and from size to size of their gangs, so that its cost does not
 * grow with the number of jobs; runners are read only where a gang job or a second customer makes them matter.
 *
 * @param options `contactAfter`: a runner out of contact since then is offline; `without` leaves out jobs in which
 *   the machine of this UUID has a task
 */
export async function findFacts(
  db: Database,
  specs: readonly string[],
  now: number,
  options: { contactAfter: number; without?: string | undefined },
): Promise<ReadFacts> {
  const [row] = await db.all<Row>(factsQuery(specs, now, options));
  // Rows of JSON that SQLite has made from the columns below.
  const read = <T>(text: string | undefined): T[] => JSON.parse(text ?? "[]");
  const rows = read<JobColumns>(row?.jobs);
  const counts = new Map<string, number>();
  const jobs = rows.map(([id, customerId, spec, createdAt, wants, isGang, ...times]) => {
    const key = `${customerId} ${spec}`;
    if (isGang === 0) counts.set(key, (counts.get(key) ?? 0) + 1);
    const [reservedAt, heldSince] = times;
    return { id, customerId, spec, createdAt, wants, isGang: isGang === 1, reservedAt, heldSince };
  });
  const pools = read<[string, number, number]>(row?.pools);
  return {
    jobs: jobs.filter(({ wants }) => wants > 0),
    tries: read<[number, number | null, number | null]>(row?.tries).map(
      ([customerId, reservedAt, heldSince]) => ({ customerId, reservedAt, heldSince }),
    ),
    held: new Map(read<[number, number]>(row?.held)),
    pools: new Map(pools.map(([spec, idle, online]) => [spec, { idle, online }])),
    reserved: new Map(read<[number, number]>(row?.reserved)),
    isCut: [...counts.values()].some((count) => count >= MAX_JOBS),
  };
}

function factsQuery(
  specs: readonly string[],
  now: number,
  { contactAfter, without }: { contactAfter: number; without?: string | undefined },
): SQL {
  const open = sql`deleted_at is null and state in ${joinableStates} and created_at > ${now - JOB_LIFETIME_MS}`;
  const isOut =
    without === undefined
      ? sql``
      : sql`and not exists (select 1 from tasks t
          where t.id between jobs.id + 1 and jobs.id + jobs.node_count and t.machine_uuid = ${without})`;
  const ofCustomer = sql`spec_uuid = spec and customer_id = customer`;
  const oldest = (heads: SQL, size: SQL, limit: number) =>
    sql`select j.id, customer_id, spec_uuid, created_at, gang, reserved_at, held_since,
        node_count - current_nodes - iif(gang is 'met', (select count(*) from runners where ${memberOf(now)}), 0) wants
      from ${heads} cross join jobs j on j.id in (
        select id from jobs where ${ofCustomer} and gang_size = ${size} and ${open} ${isOut}
        order by created_at, id limit ${limit})
      where expires_at > ${now}`;
  return sql`with recursive
    offered (spec) as materialized (select s.uuid from json_each(${JSON.stringify(specs)}) each
      join specs s on s.uuid = each.value and s.archived_at is null),
    heads (spec, customer) as (
      select spec, (select min(customer_id) from jobs where spec_uuid = spec and ${open}) from offered
      union all
      select spec, (select min(customer_id) from jobs where spec_uuid = spec and customer_id > customer and ${open})
      from heads where customer is not null),
    gangs (spec, customer, fleet, size) as (
      select spec, customer, (select count(*) from runner_specs where spec_uuid = spec), 0 from heads
      where exists (select 1 from jobs where ${ofCustomer} and gang_size > 0 and ${open})
      union all
      select spec, customer, fleet,
        (select min(gang_size) from jobs where ${ofCustomer} and gang_size > size and gang_size <= fleet and ${open})
      from gangs where size is not null),
    open as materialized (
      ${oldest(sql`heads`, sql`0`, MAX_JOBS)}
      union all ${oldest(sql`(select * from gangs where size > 0)`, sql`size`, MAX_GANGS)}),
    counted (spec) as materialized (select spec from offered
      where (select count(distinct customer_id) > 1 or max(gang is 'waiting') from open)),
    seen as materialized (
      select id, job_id, task_id, asked_at, ${jobOver(now)} over, ${atWork} busy,
        ${inContact(contactAfter)} recent,
        exists (select 1 from tasks where id = task_id and ended_at > ${contactAfter}) done
      from runners where archived_at is null
      and id in (select runner_id from counted cross join runner_specs on spec_uuid = spec)),
    pools as (
      select offered.spec_uuid spec, sum(over and recent) idle, sum(recent or done or (busy and not over)) online
      from (select distinct spec_uuid from open where gang is 'waiting') gangs
      cross join runner_specs offered on offered.spec_uuid = gangs.spec_uuid
      cross join seen on seen.id = offered.runner_id group by 1)
    select (select json_group_array(json_array(id, customer_id, spec_uuid, created_at, wants, gang is 'waiting',
        reserved_at, held_since)) from open) jobs,
      (select json_group_array(json_array(customer,
        (select max(reserved_at) from jobs where ${ofCustomer} and reserved_at is not null and gang = 'waiting'),
        (select max(held_since) from jobs where ${ofCustomer} and held_since is not null)))
        from gangs where size = 0) tries,
      (select json_group_array(json_array(customer_id, runners)) from (
        select customer_id, count(*) runners from seen cross join jobs on jobs.id = job_id
        where not over group by 1)) held,
      (select json_group_array(json_array(spec, idle, online)) from pools) pools,
      (select json_group_array(json_array(seen.id, job_id)) from seen cross join jobs on jobs.id = job_id
        where not over and task_id is null and asked_at is not null and gang is 'waiting') reserved`;
}
