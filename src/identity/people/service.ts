import { and, isNull } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { uniqueViolation } from "../../db/errors.ts";
import { users } from "../../db/schema.ts";
import type { Precondition } from "../../http/entity-tag.ts";
import { ApiError, invalidField, notFound, unauthorized } from "../../http/errors.ts";
import { findFirst, type IdempotencyClaim, isRepeat } from "../../http/idempotency.ts";
import { type PageOf, readPage } from "../../http/keyset-page.ts";
import type { NamedListQuery } from "../../http/list-query.ts";
import { namedOrder } from "../../http/named-order.ts";
import { nameOf, type Reference } from "../../http/reference.ts";
import { type Clock, DAY_MS } from "../../lib/clock.ts";
import { chooseSlug } from "../../lib/slugs.ts";
import type { Actor } from "../actor.ts";
import type { Origin } from "../audit.ts";
import { hashPassword, verifyPassword } from "../password.ts";
import { checkRules, type Rule, versionRules } from "../rules.ts";
import type { Identity } from "../service.ts";
import type { Tokens } from "../tokens.ts";
import {
  changeRules,
  deletionRules,
  isMeant,
  isSeenBy,
  isSelf,
  passwordLinkRules,
  rolesUpTo,
} from "./rules.ts";
import type { CreateUserInput, UpdateUserInput } from "./schemas.ts";
import {
  deletePerson,
  findPasswordHash,
  findPerson,
  insertPerson,
  joinedCustomerRules,
  judgeCustomer,
  type LinkFacts,
  listPeople,
  noteLink,
  type PersonRow,
  replacePassword,
  updatePerson,
} from "./store.ts";

const PASSWORD_LINK_LIFETIME_MS = DAY_MS;

/** Random signs of a slug are redrawn this often before something must be wrong. */
const MAX_DRAWS = 5;

export interface PeopleDeps {
  identity: Identity;
  tokens: Tokens;
  clock: Clock;
  pepper: string | null;
}

/** A person who asks for something, in a request. */
export interface Asking {
  actor: Actor;
  origin: Origin;
}

export type PeopleService = ReturnType<typeof createPeopleService>;

/** Each call is one D1 round trip, unless it says otherwise. */
export function createPeopleService({ identity, tokens, clock, pepper }: PeopleDeps) {
  /** Whose password was set, or who was changed: nothing about them is remembered in this isolate. */
  const settled = <Row extends { uuid: string }>(
    reference: Reference,
    rules: readonly Rule[],
    verdict: string | null,
    row: Row | null,
  ): Row => {
    if (verdict === null) throw notFound("User", nameOf(reference));
    checkRules(rules, verdict);
    if (row === null) throw new Error("All rules held, and nothing was changed");
    identity.forget(row.uuid);
    return row;
  };

  return {
    /** A page of the people that an administrator sees. */
    list(db: Database, actor: Actor, query: NamedListQuery): Promise<PageOf<PersonRow>> {
      const count = actor.role === "root_admin" ? "users" : `users:${actor.customerId}`;
      const seen = { where: isSeenBy(actor), count };
      return readPage(query, namedOrder<PersonRow>(users, query), (window) =>
        listPeople(db, seen, query, window),
      );
    },

    async view(db: Database, actor: Actor, reference: Reference): Promise<PersonRow> {
      const row = await findPerson(db, isMeant(actor, reference));
      if (row === null) throw notFound("User", nameOf(reference));
      return row;
    },

    /** The one who asks, whatever their role. An isolate may not know yet that they are gone. */
    async viewSelf(db: Database, actor: Actor): Promise<PersonRow> {
      const row = await findPerson(db, and(isSelf(actor), isNull(users.deletedAt)));
      if (row === null) throw unauthorized();
      return row;
    },

    /**
     * Stores a person, or finds the one that the same request has stored before. One more round trip for
     * each time that the random signs of the slug were taken, to read the first request, or to tell a root
     * administrator why not.
     */
    async create(
      db: Database,
      { actor, origin }: Asking,
      input: CreateUserInput,
      claim: IdempotencyClaim | null,
    ): Promise<{ person: PersonRow; replayed: boolean }> {
      const { email, name, role, customer: reference } = input;
      if (!rolesUpTo(actor.role).includes(role)) {
        throw new ApiError("PERMISSION_DENIED", "Nobody gives a role above their own");
      }
      const onlyCustomer = actor.role === "root_admin" ? null : actor.customerId;
      const passwordHash = await hashPassword(input.password, pepper);
      for (let draw = 0; draw < MAX_DRAWS; draw++) {
        const row = { uuid: crypto.randomUUID(), email, name, role, passwordHash };
        const slug = await chooseSlug(input.slug ?? null, name);
        const act = { origin, now: clock.now(), details: { role } };
        try {
          const customer = { reference, onlyCustomer };
          const person = await insertPerson(db, row, customer, slug, claim, act);
          if (person === null) {
            const verdict =
              onlyCustomer === null
                ? await judgeCustomer(db, reference, joinedCustomerRules)
                : null;
            if (verdict !== null) checkRules(joinedCustomerRules, verdict);
            throw notFound("Customer", nameOf(reference));
          }
          return { person, replayed: false };
        } catch (error) {
          const taken = uniqueViolation(error);
          if (taken === null) throw error;
          if (claim !== null && isRepeat(taken)) {
            // Stored by `insertPerson` as the row that it was; the rest is the same in every repeat.
            const first = (await findFirst(claim)) as Omit<PersonRow, "email" | "name">;
            return { person: { ...first, email, name }, replayed: true };
          }
          if (taken.includes("users_email")) {
            const message = `User with email '${email}' already exists`;
            throw new ApiError("RESOURCE_ALREADY_EXISTS", message);
          }
        }
      }
      throw new Error(`No free slug in ${MAX_DRAWS} draws`);
    },

    /** Null means the same as absent: unchanged. */
    async update(
      db: Database,
      { actor, origin }: Asking,
      reference: Reference,
      precondition: Precondition | null,
      input: UpdateUserInput,
    ): Promise<PersonRow> {
      const change = {
        name: input.name ?? undefined,
        role: input.role ?? undefined,
        customer: input.customer ?? undefined,
        locked: input.locked ?? undefined,
        password: input.password ?? undefined,
      };
      const { password, ...others } = change;
      const passwordHash =
        password === undefined ? undefined : await hashPassword(password, pepper);
      const rules = [...changeRules(actor, change), ...versionRules("user", users, precondition)];
      const { role, locked } = change;
      const fields = Object.entries(change).flatMap(([field, value]) =>
        value === undefined ? [] : [field],
      );
      const details = { fields, role, locked };
      const act = { origin, now: clock.now(), details };
      const meant = isMeant(actor, reference);
      const changes = { ...others, passwordHash };
      const { verdict, person } = await updatePerson(db, meant, rules, changes, act);
      return settled(reference, rules, verdict, person);
    },

    async remove(
      db: Database,
      { actor, origin }: Asking,
      reference: Reference,
      precondition: Precondition | null,
    ): Promise<void> {
      const rules = [...deletionRules(actor), ...versionRules("user", users, precondition)];
      const act = { origin, now: clock.now(), details: {} };
      const { verdict, uuid } = await deletePerson(db, isMeant(actor, reference), rules, act);
      settled(reference, rules, verdict, uuid === null ? null : { uuid });
    },

    /**
     * The token of a link to set a password, or the one that the same request has made before: one more
     * round trip then.
     */
    async createPasswordLink(
      db: Database,
      { actor, origin }: Asking,
      reference: Reference,
      claim: IdempotencyClaim | null,
    ): Promise<{ token: string; expiresAt: number; replayed: boolean }> {
      const rules = passwordLinkRules(actor);
      const signed = { jti: crypto.randomUUID(), keyId: tokens.signingKeyId };
      const act = { origin, now: clock.now(), details: {} };
      try {
        const meant = isMeant(actor, reference);
        const { verdict, link } = await noteLink(db, meant, rules, signed, claim, act);
        if (verdict === null || link === null) throw notFound("User", nameOf(reference));
        checkRules(rules, verdict);
        return { ...(await tokenOf(link)), replayed: false };
      } catch (error) {
        const taken = uniqueViolation(error);
        if (claim === null || taken === null || !isRepeat(taken)) throw error;
        // Stored by `noteLink` as these facts.
        const link = (await findFirst(claim)) as LinkFacts;
        return { ...(await tokenOf(link)), replayed: true };
      }
    },

    /** Sets the password that a link is for. No round trip for a token that says nothing. */
    async setPassword(
      db: Database,
      origin: Origin,
      { token, password }: { token: string; password: string },
    ): Promise<void> {
      const claims = await tokens.verify("password", token);
      if (claims?.gen === undefined) throw spentLink();
      const passwordHash = await hashPassword(password, pepper);
      const replaced = { uuid: claims.sub, passwordChangedAt: claims.gen };
      const by = { ...origin, actorKind: "user" as const, actor: claims.sub };
      const act = { origin: by, now: clock.now(), details: { by: "link" } };
      if (!(await replacePassword(db, replaced, passwordHash, act))) throw spentLink();
      identity.forget(claims.sub);
    },

    /** The person's own change. Two round trips; the time of two hashes, whether the old one fits or not. */
    async changeOwnPassword(
      db: Database,
      { actor, origin }: Asking,
      { old_password, password }: { old_password: string; password: string },
    ): Promise<void> {
      const { userId, userUuid, credential } = actor;
      const stored = await findPasswordHash(db, userId);
      const fits = await verifyPassword(old_password, stored, pepper);
      const passwordHash = await hashPassword(password, pepper);
      const replaced = { userId, passwordHash: stored ?? "", keptSession: credential.uuid };
      const act = { origin, now: clock.now(), details: { by: "old password" } };
      if (!fits || !(await replacePassword(db, replaced, passwordHash, act))) {
        throw new ApiError("PERMISSION_DENIED", "The old password is wrong");
      }
      identity.forget(userUuid);
    },
  };

  async function tokenOf({ uuid, passwordChangedAt, jti, keyId, createdAt }: LinkFacts) {
    const expiresAt = createdAt + PASSWORD_LINK_LIFETIME_MS;
    const claims = { sub: uuid, jti, gen: passwordChangedAt };
    const validity = { from: createdAt, until: expiresAt };
    return { token: await tokens.derive("password", claims, validity, keyId), expiresAt };
  }
}

function spentLink(): ApiError {
  return invalidField(
    "token",
    "This link does not work any more: it was used, or it is too old. Ask for a new one",
  );
}
