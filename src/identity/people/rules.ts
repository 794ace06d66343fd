/** Who may do what to whom among people. Each rule is a condition on the row of `users` that is meant. */
import { and, isNull, type SQL, sql } from "drizzle-orm";
import { users } from "../../db/schema.ts";
import { notFound } from "../../http/errors.ts";
import { nameOf, type Reference } from "../../http/reference.ts";
import { type Actor, ROLES, type Role } from "../actor.ts";
import { customerIdOf, isReferred } from "../named-rows.ts";
import { notAnonymous, permission, type Rule, takesPeople } from "../rules.ts";

export interface PersonChange {
  name?: string | undefined;
  role?: Role | undefined;
  customer?: Reference | undefined;
  locked?: boolean | undefined;
  password?: string | undefined;
}

/** The roles that someone of this role gives, and whose people they manage. */
export function rolesUpTo(role: Role): readonly Role[] {
  return ROLES.slice(0, ROLES.indexOf(role) + 1);
}

/** The rows that an administrator sees; all when undefined. Deleted people are seen by nobody. */
export function isSeenBy({ role, customerId }: Actor): SQL | undefined {
  const live = isNull(users.deletedAt);
  return role === "root_admin" ? live : and(live, sql`${users.customerId} = ${customerId}`);
}

/** The one row, at most, that an administrator means; `me` is a word that no slug can be. */
export function isMeant(actor: Actor, reference: Reference): SQL | undefined {
  const isMe = "slug" in reference && reference.slug === "me";
  const meant = isMe ? { uuid: actor.userUuid } : reference;
  return and(isReferred(users, meant), isSeenBy(actor));
}

/** The row of the one who asks. */
export function isSelf({ userId }: Actor): SQL {
  return sql`${users.id} = ${userId}`;
}

/** What holds for everything that an administrator does to a person. */
export function managementRules({ role }: Actor): Rule[] {
  const managed = JSON.stringify(rolesUpTo(role));
  return [
    permission(
      sql`${users.role} in (select value from json_each(${managed}))`,
      "The person's role is above yours",
    ),
    notAnonymous(users),
  ];
}

export function changeRules(actor: Actor, change: PersonChange): Rule[] {
  const { role, customer, locked, password } = change;
  const rules = managementRules(actor);
  const self = isSelf(actor);
  if (role !== undefined) {
    if (!rolesUpTo(actor.role).includes(role)) {
      rules.push(permission(sql`false`, "Nobody gives a role above their own"));
    }
    const own = "Nobody changes their own role";
    rules.push(permission(sql`not (${self} and ${users.role} <> ${role})`, own));
  }
  if (customer !== undefined) {
    const stays = sql`${users.customerId} is ${customerIdOf(customer)}`;
    if (actor.role === "root_admin") {
      rules.push(
        {
          holds: sql`${customerIdOf(customer)} is not null`,
          refusal: () => notFound("Customer", nameOf(customer)),
        },
        takesPeople(customerIdOf(customer)),
        permission(sql`(${stays} or not (${self}))`, "Nobody moves themselves to another customer"),
      );
    } else {
      // The same for customers that there are and that there are not.
      const message = "Only root administrators move people between customers";
      rules.push(permission(stays, message));
    }
  }
  if (locked === true) rules.push(permission(sql`not (${self})`, "Nobody locks themselves"));
  if (password !== undefined) {
    const message = "Change your own password at /v0/users/me/password, with the old one";
    rules.push(permission(sql`not (${self})`, message));
  }
  const endsRoot = locked === true || (role !== undefined && role !== "root_admin");
  return endsRoot ? [...rules, notTheLastRoot()] : rules;
}

export function deletionRules(actor: Actor): Rule[] {
  return [
    ...managementRules(actor),
    permission(sql`not (${isSelf(actor)})`, "Nobody deletes themselves"),
    notTheLastRoot(),
  ];
}

export function passwordLinkRules(actor: Actor): Rule[] {
  const message = "Change your own password at /v0/users/me/password, with the old one";
  return [
    ...managementRules(actor),
    permission(sql`not (${isSelf(actor)})`, message),
    permission(sql`not ${users.locked}`, "The person is locked: no link would work"),
  ];
}

/** Two who lock, demote or delete each other at the same time: one of them stays. */
function notTheLastRoot(): Rule {
  // As the index `users_root_admins` says it.
  const another = sql`exists (select 1 from ${users} other where other.id <> ${users.id} and other.role = 'root_admin' and other.locked = 0 and other.deleted_at is null)`;
  return permission(
    sql`(${users.role} <> 'root_admin' or ${users.locked} or ${another})`,
    "The last root administrator stays one, and is neither locked nor deleted",
  );
}
