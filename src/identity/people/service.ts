import { and, isNull } from "drizzle-orm";
import type { NamedListQuery } from "../../api/lists.ts";
import type { Database } from "../../db/client.ts";
import { uniqueViolation } from "../../db/errors.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { namedOrder } from "../../db/named-rows.ts";
import { users } from "../../db/schema.ts";
import type { Precondition } from "../../db/versions.ts";
import { ApiError, unauthorized } from "../../http/errors.ts";
import { type PageOf, readPage } from "../../http/paging.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Reference } from "../../lib/references.ts";
import { chooseSlug } from "../../lib/slugs.ts";
import { fieldsOf, refuseTakenSlug } from "../../resources/change.ts";
import { createOnce } from "../../resources/create.ts";
import { versionRule } from "../../resources/rules.ts";
import type { Actor } from "../actor.ts";
import { requireRecentSignIn } from "../guards.ts";
import type { ActorContext } from "../origin.ts";
import { hashPassword } from "../password-hash.ts";
import type { Identity } from "../service.ts";
import {
  changeRules,
  deletionRules,
  ownOrVisible,
  roleAfter,
  rolesUpTo,
  selfFilter,
  unseenPerson,
} from "./permissions.ts";
import type { CreateUserInput, UpdateUserInput } from "./schemas.ts";
import {
  deletePerson,
  findPerson,
  insertPerson,
  listPeople,
  type PersonRow,
  updatePerson,
} from "./store.ts";

interface PeopleDeps {
  identity: Identity;
  clock: Clock;
  pepper: string | null;
}

/** Each call is one D1 round trip, unless it says otherwise. */
export class PeopleService {
  readonly #deps: PeopleDeps;

  constructor(deps: PeopleDeps) {
    this.#deps = deps;
  }

  /** A page of the people that an administrator sees. */
  list(db: Database, actor: Actor, query: NamedListQuery): Promise<PageOf<PersonRow>> {
    return readPage(query, namedOrder<PersonRow>(users, query), (window) =>
      listPeople(db, actor, query, window),
    );
  }

  async view(db: Database, actor: Actor, reference: Reference): Promise<PersonRow> {
    const row = await findPerson(db, ownOrVisible(actor, reference));
    if (row === null) throw unseenPerson(actor, reference);
    return row;
  }

  /** The actor, whatever their role. Throws 401 for a deleted person whom this isolate still remembers. */
  async viewSelf(db: Database, actor: Actor): Promise<PersonRow> {
    const row = await findPerson(db, and(selfFilter(actor), isNull(users.deletedAt)));
    if (row === null) throw unauthorized();
    return row;
  }

  /** More round trips as `createOnce` says. */
  async create(
    db: Database,
    { actor, origin }: ActorContext,
    input: CreateUserInput,
    key: IdempotencyKey | null,
  ): Promise<{ person: PersonRow; replayed: boolean }> {
    const { email, name, role } = input;
    if (!rolesUpTo(actor.role).includes(role)) {
      throw new ApiError("PERMISSION_DENIED", "You cannot grant a role higher than your own");
    }
    const onlyCustomer = actor.role === "root_admin" ? null : actor.customerId;
    const customer = { reference: input.customer, onlyCustomer };
    const passwordHash = await hashPassword(input.password, this.#deps.pepper);
    const create = async () => {
      const row = { uuid: crypto.randomUUID(), email, name, role, passwordHash };
      const slug = await chooseSlug(input.slug ?? null, name);
      const audit = { origin, now: this.#deps.clock.now(), details: { role } };
      return insertPerson(db, row, customer, slug, key, audit);
    };
    const { created, replayed } = await createOnce(key, create, (violatedColumns) => {
      return isEmailTaken(violatedColumns) ? emailTaken(email) : null;
    });
    // The facts of a first request lack e-mail address and name, which are the same in every repeat.
    return { person: { ...created, email, name }, replayed };
  }

  /** Leaves a field unchanged where its value is null or absent. */
  async update(
    db: Database,
    { actor, origin }: ActorContext,
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
      slug: input.slug ?? undefined,
      email: input.email ?? undefined,
      admin: input.admin ?? undefined,
    };
    const { admin, password, ...others } = change;
    const { role, locked, slug, email } = others;
    const now = this.#deps.clock.now();
    if ([role, admin, email, password].some((value) => value !== undefined)) {
      requireRecentSignIn(actor, now);
    }
    const passwordHash =
      password === undefined ? undefined : await hashPassword(password, this.#deps.pepper);
    const changes = { ...others, role: roleAfter(change), passwordHash };
    const rules = [...changeRules(actor, change), versionRule("user", users, precondition)];
    const details = { fields: fieldsOf(change), role, admin, locked };
    const audit = { origin, now, details };
    const person = await refuseTakenSlug("User", slug, async () => {
      try {
        return await updatePerson(db, actor, reference, rules, changes, audit);
      } catch (error) {
        throw isEmailTaken(uniqueViolation(error)) ? emailTaken(email ?? "") : error;
      }
    });
    this.#deps.identity.forget(person.uuid);
    return person;
  }

  async remove(
    db: Database,
    { actor, origin }: ActorContext,
    reference: Reference,
    precondition: Precondition | null,
  ): Promise<void> {
    const rules = [...deletionRules(actor), versionRule("user", users, precondition)];
    const audit = { origin, now: this.#deps.clock.now() };
    this.#deps.identity.forget(await deletePerson(db, actor, reference, rules, audit));
  }
}

function isEmailTaken(violatedColumns: string | null): boolean {
  return violatedColumns?.includes("users.email_folded") ?? false;
}

function emailTaken(email: string): ApiError {
  return new ApiError("RESOURCE_ALREADY_EXISTS", `User with email '${email}' already exists`);
}
