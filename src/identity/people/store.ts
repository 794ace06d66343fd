import { and, eq, isNull, ne, not, or, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { apiTokens, customers, sessions, users } from "../../db/schema.ts";
import { batchOnce, claimFrom, type IdempotencyClaim } from "../../http/idempotency.ts";
import type { PageWindow } from "../../http/keyset-page.ts";
import type { NamedListQuery } from "../../http/list-query.ts";
import type { Reference } from "../../http/reference.ts";
import type { SlugChoice } from "../../lib/slugs.ts";
import type { Role } from "../actor.ts";
import { type Act, auditOfRows } from "../audit.ts";
import { customerIdOf, filtered, isReferred, selectTotal } from "../named-rows.ts";
import { allHold, type Rule, takesPeople, verdictOf } from "../rules.ts";

/** A person as others see them; `customer` is JSON: `{uuid, name, slug, version}`. */
export type PersonRow = Omit<
  typeof users.$inferSelect,
  "id" | "customerId" | "passwordHash" | "passwordChangedAt" | "deletedAt"
> & { customer: string };

const customerFacts = sql<string>`json_object('uuid', c.uuid, 'name', c.name, 'slug', c.slug, 'version', c.version)`;

const shown = {
  uuid: users.uuid,
  email: users.email,
  name: users.name,
  slug: users.slug,
  role: users.role,
  locked: users.locked,
  createdAt: users.createdAt,
  modifiedAt: users.modifiedAt,
  version: users.version,
  // `customer_id` is the person's: customers have no such column. RETURNING knows no joins.
  customer: sql<string>`(select ${customerFacts} from customers c where c.id = customer_id)`.as(
    "customer",
  ),
};

const ofCustomer = sql`${users.customerId}`;
const subject = { kind: "user" as const, id: sql`${users.uuid}` };

/** What holds for the customer that a new person belongs to. */
export const joinedCustomerRules: readonly Rule[] = [takesPeople(customers.id)];

export interface NewPerson {
  uuid: string;
  email: string;
  name: string;
  role: Role;
  passwordHash: string;
}

/**
 * Stores a person of a customer, with the preferred slug or the other one where that is taken; null when
 * there is no such customer, or it takes no people. One batch, one round trip. Fails on a key used before, a taken e-mail address,
 * or when both slugs are taken: see `uniqueViolation`.
 *
 * @param onlyCustomer the only customer that may be meant; null for any
 */
export async function insertPerson(
  db: Database,
  { uuid, email, name, role, passwordHash }: NewPerson,
  customer: { reference: Reference; onlyCustomer: number | null },
  { preferred, otherwise }: SlugChoice,
  claim: IdempotencyClaim | null,
  { origin, now, details }: Act,
): Promise<PersonRow | null> {
  const { reference, onlyCustomer } = customer;
  const meant = and(
    isReferred(customers, reference),
    onlyCustomer === null ? undefined : eq(customers.id, onlyCustomer),
    allHold(joinedCustomerRules),
  );
  const slug = sql<string>`(case when exists (select 1 from ${users} where ${users.slug} = ${preferred}) then ${otherwise} else ${preferred} end)`;
  // Without e-mail address and name: whoever repeats the request says them again, and a deleted person's
  // are to be gone.
  const row = {
    uuid,
    role,
    locked: false,
    createdAt: now,
    modifiedAt: now,
    version: 1,
  };
  // The statements of a batch see the same rows: the slug in the facts is the one that is stored.
  const facts = sql<string>`(select json_set(${JSON.stringify(row)}, '$.slug', ${slug}, '$.customer', ${customerFacts} || '') from customers c where c.id = ${customers.id})`;
  const from = sql`from ${customers} where ${meant}`;
  const [stored] = await batchOnce(
    db,
    claim === null ? null : claimFrom(db, claim, facts, now, from),
    [
      db
        .insert(users)
        .select(
          sql`select null, ${uuid}, ${customers.id}, ${email}, ${name}, ${slug}, ${role}, ${passwordHash}, 0, ${now}, ${now}, 1, ${now}, null ${from}`,
        )
        .returning(shown),
      auditOfRows(
        db,
        origin,
        {
          action: "user_created",
          subject: { kind: "user", id: uuid },
          customerId: sql`${customers.id}`,
          details,
        },
        now,
        from,
      ),
    ],
  );
  return stored[0] ?? null;
}

/** Which rules hold for a customer; null where there is none. One round trip. */
export async function judgeCustomer(
  db: Database,
  reference: Reference,
  rules: readonly Rule[],
): Promise<string | null> {
  const [found] = await db
    .select({ verdict: verdictOf(rules) })
    .from(customers)
    .where(isReferred(customers, reference));
  return found?.verdict ?? null;
}

/** One round trip. */
export async function findPerson(db: Database, meant: SQL | undefined): Promise<PersonRow | null> {
  const [row] = await db.select(shown).from(users).where(meant);
  return row ?? null;
}

/** A page, and the total. One batch, one round trip. */
export async function listPeople(
  db: Database,
  seen: { where: SQL | undefined; count: string },
  filter: Pick<NamedListQuery, "name" | "search">,
  { where, orderBy, limit, offset }: PageWindow,
): Promise<{ rows: PersonRow[]; total: number }> {
  const { name, slug, uuid, email } = users;
  const asked = filtered(filter, { name, searched: [name, slug, uuid, email] });
  const page = db
    .select(shown)
    .from(users)
    .where(and(seen.where, asked, where))
    .orderBy(...orderBy)
    .limit(limit)
    .offset(offset);
  const total =
    asked === undefined
      ? selectTotal(db, seen.count)
      : db.select({ total: sql<number>`count(*)` }).from(users).where(and(seen.where, asked));
  const [rows, totals] = await db.batch([page, total]);
  return { rows, total: totals[0]?.total ?? 0 };
}

export interface PersonChanges {
  name?: string | undefined;
  role?: Role | undefined;
  customer?: Reference | undefined;
  locked?: boolean | undefined;
  passwordHash?: string | undefined;
}

/** What a change met: which rules held (null: nobody is meant), and the person as it was left. */
export interface Changed {
  verdict: string | null;
  person: PersonRow | null;
}

/**
 * Changes the person that is meant, if all rules hold; ends their sessions where they are locked or get
 * another password, and links to set one where they become somebody else. One batch, one round trip.
 */
export async function updatePerson(
  db: Database,
  meant: SQL | undefined,
  rules: readonly Rule[],
  { customer, passwordHash, ...changes }: PersonChanges,
  { origin, now, details }: Act,
): Promise<Changed> {
  const allowed = and(meant, allHold(rules));
  const endsSessions = changes.locked === true || passwordHash !== undefined;
  const event = { action: "user_updated" as const, subject, customerId: ofCustomer, details };
  // The row is changed last: until then all statements test the same one.
  const [before, , , after] = await db.batch([
    db
      .select({ verdict: verdictOf(rules) })
      .from(users)
      .where(meant),
    auditOfRows(db, origin, event, now, sql`from ${users} where ${allowed}`),
    endSessions(db, endsSessions ? allowed : sql`false`),
    db
      .update(users)
      .set({
        ...changes,
        ...(customer === undefined ? {} : { customerId: sql`${customerIdOf(customer)}` }),
        ...(passwordHash === undefined
          ? {
              passwordChangedAt: sql`${users.passwordChangedAt} + (${endsLinks(changes, customer)})`,
            }
          : newPassword(passwordHash, now)),
        ...moved(now),
      })
      .where(allowed)
      .returning(shown),
  ]);
  return { verdict: before[0]?.verdict ?? null, person: after[0] ?? null };
}

/**
 * Deletes the person that is meant, if all rules hold: ends sessions, revokes API tokens and wipes what is
 * personal. The row stays, for the jobs that refer to it. One batch, one round trip.
 */
export async function deletePerson(
  db: Database,
  meant: SQL | undefined,
  rules: readonly Rule[],
  { origin, now, details }: Act,
): Promise<{ verdict: string | null; uuid: string | null }> {
  const allowed = and(meant, allHold(rules));
  const event = { action: "user_deleted" as const, subject, customerId: ofCustomer, details };
  const [before, , , , after] = await db.batch([
    db
      .select({ verdict: verdictOf(rules) })
      .from(users)
      .where(meant),
    auditOfRows(db, origin, event, now, sql`from ${users} where ${allowed}`),
    endSessions(db, allowed),
    db
      .update(apiTokens)
      .set({ revokedAt: now })
      .where(and(isNull(apiTokens.revokedAt), belongsTo(apiTokens.userId, allowed))),
    db
      .update(users)
      .set({
        email: "",
        name: "Deleted person",
        slug: sql`replace(${users.uuid}, '-', '')`,
        passwordHash: "",
        locked: true,
        deletedAt: now,
        ...moved(now),
      })
      .where(allowed)
      .returning({ uuid: users.uuid }),
  ]);
  return { verdict: before[0]?.verdict ?? null, uuid: after[0]?.uuid ?? null };
}

/** What a link to set a password is made from. */
export interface LinkFacts {
  uuid: string;
  /** Which password it replaces. */
  passwordChangedAt: number;
  /** Of the link. */
  jti: string;
  keyId: string;
  createdAt: number;
}

/**
 * Notes that a link is made for the person that is meant, if all rules hold. One batch, one round trip.
 * Fails on a key used before: see `uniqueViolation`.
 */
export async function noteLink(
  db: Database,
  meant: SQL | undefined,
  rules: readonly Rule[],
  { jti, keyId }: Pick<LinkFacts, "jti" | "keyId">,
  claim: IdempotencyClaim | null,
  { origin, now, details }: Act,
): Promise<{ verdict: string | null; link: LinkFacts | null }> {
  const allowed = and(meant, allHold(rules));
  const from = sql`from ${users} where ${allowed}`;
  const facts = sql<string>`json_object('uuid', ${users.uuid}, 'passwordChangedAt', ${users.passwordChangedAt}, 'jti', ${jti}, 'keyId', ${keyId}, 'createdAt', ${now})`;
  const event = {
    action: "password_link_created" as const,
    subject,
    customerId: ofCustomer,
    details,
  };
  const [before] = await batchOnce(
    db,
    claim === null ? null : claimFrom(db, claim, facts, now, from),
    [
      db
        .select({
          verdict: verdictOf(rules),
          uuid: users.uuid,
          passwordChangedAt: users.passwordChangedAt,
        })
        .from(users)
        .where(meant),
      auditOfRows(db, origin, event, now, from),
    ],
  );
  const [row] = before;
  if (row === undefined) return { verdict: null, link: null };
  const { verdict, uuid, passwordChangedAt } = row;
  return { verdict, link: { uuid, passwordChangedAt, jti, keyId, createdAt: now } };
}

/** The hash of a person's password, while they may use it. One round trip. */
export async function findPasswordHash(db: Database, userId: number): Promise<string | null> {
  const [row] = await db
    .select({ passwordHash: users.passwordHash })
    .from(users)
    .where(and(eq(users.id, userId), isLive));
  return row?.passwordHash ?? null;
}

/** Which password is replaced: the one with this hash, or the one that was set at this time. */
export type ReplacedPassword =
  | { userId: number; passwordHash: string; keptSession: string }
  | { uuid: string; passwordChangedAt: number };

/**
 * Sets a person's password, if it still is the one that is to be replaced, and ends all sessions but the
 * one that is kept; answers whether it was. One batch, one round trip.
 */
export async function replacePassword(
  db: Database,
  replaced: ReplacedPassword,
  passwordHash: string,
  { origin, now, details }: Act,
): Promise<boolean> {
  const isOwn = "userId" in replaced;
  const allowed = and(
    isLive,
    isOwn
      ? and(eq(users.id, replaced.userId), eq(users.passwordHash, replaced.passwordHash))
      : and(eq(users.uuid, replaced.uuid), eq(users.passwordChangedAt, replaced.passwordChangedAt)),
  );
  const event = { action: "password_changed" as const, subject, customerId: ofCustomer, details };
  const [, , changed] = await db.batch([
    auditOfRows(db, origin, event, now, sql`from ${users} where ${allowed}`),
    endSessions(db, allowed, isOwn ? replaced.keptSession : null),
    db
      .update(users)
      .set({ ...newPassword(passwordHash, now), ...moved(now) })
      .where(allowed)
      .returning({ uuid: users.uuid }),
  ]);
  return changed.length === 1;
}

const isLive = and(isNull(users.deletedAt), not(users.locked));

function endSessions(db: Database, ofUsers: SQL | undefined, kept: string | null = null) {
  const others = kept === null ? undefined : sql`${sessions.uuid} <> ${kept}`;
  return db.delete(sessions).where(and(belongsTo(sessions.userId, ofUsers), others));
}

function belongsTo(column: typeof sessions.userId | typeof apiTokens.userId, ofUsers?: SQL): SQL {
  return sql`${column} in (select ${users.id} from ${users} where ${ofUsers})`;
}

/**
 * Whether a change ends links to set a password: who may still hold one must not get into an account
 * that has been locked meanwhile, or has another role or customer.
 */
function endsLinks({ role, locked }: PersonChanges, customer: Reference | undefined): SQL {
  const ends = or(
    locked === true ? sql`true` : undefined,
    role === undefined ? undefined : ne(users.role, role),
    customer === undefined ? undefined : ne(users.customerId, customerIdOf(customer)),
  );
  return ends ?? sql`false`;
}

/** Every password has a time of its own: links stand for it. */
function newPassword(passwordHash: string, now: number) {
  return { passwordHash, passwordChangedAt: sql`max(${now}, ${users.passwordChangedAt} + 1)` };
}

function moved(now: number) {
  return { modifiedAt: now, version: sql`${users.version} + 1` };
}
