/** Permissions of administrators on people: conditions and rules on a row of `users`. */
import { and, isNull, type SQL, sql } from "drizzle-orm";
import { byReference } from "../../db/named-rows.ts";
import { users } from "../../db/schema.ts";
import { ApiError, notFound } from "../../http/errors.ts";
import { ROLES, type Role } from "../../lib/enums.ts";
import { nameOf, type Reference } from "../../lib/references.ts";
import { permission, type Rule } from "../../resources/rules.ts";
import type { Actor } from "../actor.ts";
import { notAnonymous, takesPeople } from "../anonymous-rules.ts";
import { customerIdOf } from "../customers/reference.ts";

export interface PersonChange {
  name?: string | undefined;
  role?: Role | undefined;
  customer?: Reference | undefined;
  locked?: boolean | undefined;
  password?: string | undefined;
  slug?: string | undefined;
  email?: string | undefined;
  /** Without a `role` that agrees: true for `root_admin`; false for `user`, if the person is a `root_admin`. */
  admin?: boolean | undefined;
}

/** The role after a change, on a row of `users`; undefined for a change that leaves it. */
export function roleAfter({ role, admin }: PersonChange): Role | SQL<Role> | undefined {
  if (role !== undefined || admin === undefined) return role;
  if (admin) return "root_admin";
  return sql<Role>`iif(${users.role} = 'root_admin', 'user', ${users.role})`;
}

/** The roles that a person of this role may grant, and whose people they may manage. */
export function rolesUpTo(role: Role): readonly Role[] {
  return ROLES.slice(0, ROLES.indexOf(role) + 1);
}

/** Matches the people that an administrator sees. Deleted people are invisible. */
export function visibleTo({ role, customerId }: Actor): SQL {
  const ofCustomer = role === "root_admin" ? sql`true` : sql`${users.customerId} = ${customerId}`;
  return sql`${users.deletedAt} is null and ${ofCustomer}`;
}

/** Matches the visible person that a reference names, at most one; `me` is the actor. */
export function visiblePerson(actor: Actor, reference: Reference): SQL | undefined {
  return and(byReference(users, resolveMe(actor, reference)), visibleTo(actor));
}

/** Matches the live person that a reference names, at most one, visible or not; `me` is the actor. */
export function livePerson(actor: Actor, reference: Reference): SQL | undefined {
  return and(byReference(users, resolveMe(actor, reference)), isNull(users.deletedAt));
}

function isManager({ role }: Actor): boolean {
  return role === "root_admin" || role === "customer_admin";
}

/** Matches the person that a reference names: administrators reach the people they see, others only themselves. */
export function ownOrVisible(actor: Actor, reference: Reference): SQL | undefined {
  return isManager(actor)
    ? visiblePerson(actor, reference)
    : and(livePerson(actor, reference), selfFilter(actor));
}

/** The refusal where `ownOrVisible` matches nobody; callers other than administrators learn nothing from it. */
export function unseenPerson(actor: Actor, reference: Reference): ApiError {
  return isManager(actor)
    ? notFound("User", nameOf(reference))
    : new ApiError("PERMISSION_DENIED", "Only administrators can do this for others");
}

/** Replaces `me`, a reserved slug, by the actor's UUID. */
function resolveMe({ userUuid }: Actor, reference: Reference): Reference {
  return "slug" in reference && reference.slug === "me" ? { uuid: userUuid } : reference;
}

/** Matches the row of the actor. */
export function selfFilter({ userId }: Actor): SQL {
  return sql`${users.id} = ${userId}`;
}

/** Matches people whose role the actor may manage. */
export function managedRoleFilter({ role }: Actor): SQL {
  return sql`${users.role} in (select value from json_each(${JSON.stringify(rolesUpTo(role))}))`;
}

/** Rules for every change of a person by an administrator. */
export function managementRules(actor: Actor): Rule[] {
  return [
    permission(managedRoleFilter(actor), "The person's role is higher than yours"),
    notAnonymous(users),
  ];
}

export function changeRules(actor: Actor, change: PersonChange): Rule[] {
  const { customer, locked, password } = change;
  const rules = managementRules(actor);
  const self = selfFilter(actor);
  const role = roleAfter(change);
  if (role !== undefined) {
    if (typeof role === "string" && !rolesUpTo(actor.role).includes(role)) {
      rules.push(permission(sql`false`, "You cannot grant a role higher than your own"));
    }
    const message = "You cannot change your own role";
    rules.push(permission(sql`not (${self} and ${users.role} <> ${role})`, message));
  }
  if (customer !== undefined) rules.push(...moveRules(actor, customer));
  if (locked === true) rules.push(permission(sql`not (${self})`, "You cannot lock yourself"));
  if (password !== undefined) rules.push(notOwnPassword(actor));
  const endsRoot = locked === true || (role !== undefined && role !== "root_admin");
  return endsRoot ? [...rules, notTheLastRoot()] : rules;
}

/** Rules of moving a person to a customer. */
function moveRules(actor: Actor, customer: Reference): Rule[] {
  const customerId = customerIdOf(customer);
  const stays = sql`${users.customerId} is ${customerId}`;
  if (actor.role !== "root_admin") {
    // The same answer for known and unknown customers.
    return [permission(stays, "Only root administrators can move people between customers")];
  }
  return [
    {
      holds: sql`${customerId} is not null`,
      refusal: () => notFound("Customer", nameOf(customer)),
    },
    takesPeople(customerId),
    permission(
      sql`(${stays} or not (${selfFilter(actor)}))`,
      "You cannot move yourself to another customer",
    ),
  ];
}

export function deletionRules(actor: Actor): Rule[] {
  return [
    ...managementRules(actor),
    permission(sql`not (${selfFilter(actor)})`, "You cannot delete yourself"),
    notTheLastRoot(),
  ];
}

export function passwordLinkRules(actor: Actor): Rule[] {
  return [
    ...managementRules(actor),
    notOwnPassword(actor),
    permission(sql`not ${users.locked}`, "The person is locked, so the link would not work"),
  ];
}

function notOwnPassword(actor: Actor): Rule {
  const message = "Change your own password at /v0/users/me/password, with the old one";
  return permission(sql`not (${selfFilter(actor)})`, message);
}

/** Even of two root administrators who lock, demote or delete each other at the same time, one stays. */
function notTheLastRoot(): Rule {
  // The index `users_root_admins` has the same condition.
  const another = sql`exists (select 1 from ${users} other where other.id <> ${users.id} and other.role = 'root_admin' and other.locked = 0 and other.deleted_at is null)`;
  return permission(
    sql`(${users.role} <> 'root_admin' or ${users.locked} or ${another})`,
    "The last root administrator cannot be demoted, locked or deleted",
  );
}
