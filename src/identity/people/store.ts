import { and, eq, isNull, ne, or, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { insertFrom } from "../../db/insert-from.ts";
import { fromJson } from "../../db/json.ts";
import type { PageWindow } from "../../db/keyset.ts";
import {
  byReference,
  containsText,
  countRows,
  freeSlug,
  inWindow,
  type NameFilter,
  nameFilter,
  nextVersion,
  selectTotal,
} from "../../db/named-rows.ts";
import { apiTokens, customers, knownAddresses, users } from "../../db/schema.ts";
import { notFound } from "../../http/errors.ts";
import type { AuditAction, Role } from "../../lib/enums.ts";
import { nameOf, type Reference } from "../../lib/references.ts";
import type { SlugChoice } from "../../lib/slugs.ts";
import { foldedAddress } from "../../lib/text.ts";
import type { AuditContext } from "../../resources/audit.ts";
import { type Change, changeIf, storedRow } from "../../resources/change.ts";
import type { Rule } from "../../resources/rules.ts";
import type { Actor } from "../actor.ts";
import { takesPeople } from "../anonymous-rules.ts";
import { customerIdOf } from "../customers/reference.ts";
import { belongsTo, endSessions, newPassword } from "./password-store.ts";
import { visiblePerson, visibleTo } from "./permissions.ts";

/** A person as others see them. */
export type PersonRow = Omit<
  typeof users.$inferSelect,
  "id" | "customerId" | "emailFolded" | "passwordHash" | "passwordChangedAt" | "deletedAt"
> & { customer: { uuid: string; name: string; slug: string; version: number } };

const customerJson = sql`json_object('uuid', c.uuid, 'name', c.name, 'slug', c.slug, 'version', c.version)`;

export const personColumns = {
  uuid: users.uuid,
  email: users.email,
  name: users.name,
  slug: users.slug,
  role: users.role,
  locked: users.locked,
  createdAt: users.createdAt,
  modifiedAt: users.modifiedAt,
  version: users.version,
  // A subquery, since RETURNING allows no joins. `customer_id` is the person's: customers have no such column.
  customer: fromJson<PersonRow["customer"]>(
    sql`(select ${customerJson} from customers c where c.id = customer_id)`,
  ).as("customer"),
};

export interface NewPerson {
  uuid: string;
  email: string;
  name: string;
  role: Role;
  passwordHash: string;
}

/**
 * Stores a person of a customer, with the preferred slug or the other where that is taken. One batch, one
 * round trip. Fails on a key used before, a taken e-mail address, or when both slugs are taken: see
 * `uniqueViolation`.
 *
 * @param onlyCustomer the only customer that the reference may name; null for any
 */
export async function insertPerson(
  db: Database,
  { uuid, email, name, role, passwordHash }: NewPerson,
  { reference, onlyCustomer }: { reference: Reference; onlyCustomer: number | null },
  choice: SlugChoice,
  key: IdempotencyKey | null,
  audit: AuditContext,
): Promise<PersonRow> {
  const { now } = audit;
  const slug = freeSlug(users, choice);
  // The facts lack e-mail address and name: a repeat brings them, and a deleted person's must not stay stored.
  const row = { uuid, role, locked: false, createdAt: now, modifiedAt: now, version: 1 };
  const facts = sql<string>`(select json_set(${JSON.stringify(row)}, '$.slug', ${slug}, '$.customer', ${customerJson}) from customers c where c.id = ${customers.id})`;
  const change: Change = {
    table: customers,
    target: and(
      byReference(customers, reference),
      onlyCustomer === null ? undefined : eq(customers.id, onlyCustomer),
    ),
    missing: () => notFound("Customer", nameOf(reference)),
    rules: [takesPeople(customers.id)],
    event: {
      action: "user_created",
      subject: { kind: "user", id: uuid },
      customerId: sql`${customers.id}`,
    },
    audit,
    once: { key, facts },
  };
  const emailFolded = foldedAddress(email);
  const columns = { ...row, email, emailFolded, name, slug, passwordHash, passwordChangedAt: now };
  const [stored] = await changeIf(db, change, (_allowed, from) => [
    insertFrom(db, users, { ...columns, customerId: customers.id }, from).returning(personColumns),
  ]);
  return storedRow(stored);
}

/** One round trip. */
export async function findPerson(db: Database, target: SQL | undefined): Promise<PersonRow | null> {
  const [row] = await db.select(personColumns).from(users).where(target);
  return row ?? null;
}

/** A page of the people that the actor sees, and the total. One batch, one round trip. */
export async function listPeople(
  db: Database,
  actor: Actor,
  filter: NameFilter,
  window: PageWindow,
): Promise<{ rows: PersonRow[]; total: number }> {
  const { name, slug, uuid, emailFolded } = users;
  const { search, ...others } = filter;
  const filtered = and(
    nameFilter(others, { name, searched: [] }),
    search === undefined
      ? undefined
      : or(
          containsText([name, slug, uuid], search),
          sql`instr(${emailFolded}, ${foldedAddress(search)}) > 0`,
        ),
  );
  const listed = and(visibleTo(actor), filtered);
  const counter = actor.role === "root_admin" ? "users" : `users:${actor.customerId}`;
  const [rows, totals] = await db.batch([
    inWindow(db.select(personColumns).from(users).$dynamic(), listed, window),
    filtered === undefined ? selectTotal(db, counter) : countRows(db, users, listed),
  ]);
  return { rows, total: totals[0]?.total ?? 0 };
}

export interface PersonChanges {
  name?: string | undefined;
  slug?: string | undefined;
  email?: string | undefined;
  role?: Role | SQL<Role> | undefined;
  customer?: Reference | undefined;
  locked?: boolean | undefined;
  passwordHash?: string | undefined;
}

/**
 * Changes a person, if all rules hold. A lock or a new password ends their sessions; a lock or another role or
 * customer ends their links to set a password. Fails on a taken slug or e-mail address: see `uniqueViolation`. One
 * batch, one round trip.
 */
export async function updatePerson(
  db: Database,
  actor: Actor,
  reference: Reference,
  rules: readonly Rule[],
  { customer, passwordHash, email, ...changes }: PersonChanges,
  audit: AuditContext,
): Promise<PersonRow> {
  const endsSessions = changes.locked === true || passwordHash !== undefined;
  const endedLinks = sql`${users.passwordChangedAt} + (${endsLinks(changes, customer)})`;
  const change = changeOf("user_updated", actor, reference, rules, audit);
  const [, updated] = await changeIf(db, change, (allowed) => [
    endSessions(db, endsSessions ? allowed : sql`false`),
    db
      .update(users)
      .set({
        ...changes,
        ...(email === undefined ? {} : { email, emailFolded: foldedAddress(email) }),
        ...(customer === undefined ? {} : { customerId: sql`${customerIdOf(customer)}` }),
        ...(passwordHash === undefined
          ? { passwordChangedAt: endedLinks }
          : newPassword(passwordHash, audit.now)),
        ...nextVersion(users, audit.now),
      })
      .where(allowed)
      .returning(personColumns),
  ]);
  return storedRow(updated);
}

/**
 * Deletes a person, if all rules hold: ends sessions, revokes API tokens and wipes personal data; answers
 * the UUID. The row stays, for the jobs that refer to it. One batch, one round trip.
 */
export async function deletePerson(
  db: Database,
  actor: Actor,
  reference: Reference,
  rules: readonly Rule[],
  audit: AuditContext,
): Promise<string> {
  const change = changeOf("user_deleted", actor, reference, rules, audit);
  const [, , , deleted] = await changeIf(db, change, (allowed) => [
    endSessions(db, allowed),
    db.delete(knownAddresses).where(belongsTo(knownAddresses.userId, allowed)),
    db
      .update(apiTokens)
      .set({ revokedAt: audit.now })
      .where(and(isNull(apiTokens.revokedAt), belongsTo(apiTokens.userId, allowed))),
    db
      .update(users)
      .set({
        email: "",
        emailFolded: "",
        name: "Deleted person",
        slug: sql`replace(${users.uuid}, '-', '')`,
        passwordHash: "",
        locked: true,
        deletedAt: audit.now,
        ...nextVersion(users, audit.now),
      })
      .where(allowed)
      .returning({ uuid: users.uuid }),
  ]);
  return storedRow(deleted).uuid;
}

/** A change of the person that a reference names for the actor. */
export function changeOf(
  action: AuditAction,
  actor: Actor,
  reference: Reference,
  rules: readonly Rule[],
  audit: AuditContext,
): Change {
  return {
    table: users,
    target: visiblePerson(actor, reference),
    missing: () => notFound("User", nameOf(reference)),
    rules,
    event: {
      action,
      subject: { kind: "user", id: sql`${users.uuid}` },
      customerId: sql`${users.customerId}`,
    },
    audit,
  };
}

/**
 * The condition that a change ends links to set a password: an old link must not open an account that is locked,
 * or has another role or customer.
 */
function endsLinks({ role, locked }: PersonChanges, customer: Reference | undefined): SQL {
  const ends = or(
    locked === true ? sql`true` : undefined,
    role === undefined ? undefined : ne(users.role, role),
    customer === undefined ? undefined : ne(users.customerId, customerIdOf(customer)),
  );
  return ends ?? sql`false`;
}
