import { and, eq, isNull, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { insertFrom } from "../../db/insert-from.ts";
import { customers, users } from "../../db/schema.ts";
import type { SlugChoice } from "../../lib/slugs.ts";
import { foldedAddress } from "../../lib/text.ts";
import { type AuditContext, auditOfRows } from "../../resources/audit.ts";
import { type PersonRow, personColumns } from "./store.ts";

/** The customer that every deployment begins with. */
const DEFAULT_CUSTOMER = "default";

export interface FirstAdmin {
  uuid: string;
  email: string;
  name: string;
  slug: SlugChoice;
  passwordHash: string;
}

const hasRootAdmin = sql<number>`exists (select 1 from ${users} where ${and(eq(users.role, "root_admin"), isNull(users.deletedAt))})`;

/** True once there is a root administrator. One round trip. */
export async function findsRootAdmin(db: Database): Promise<boolean> {
  const [row] = await db
    .select({ uuid: users.uuid })
    .from(users)
    .where(and(eq(users.role, "root_admin"), isNull(users.deletedAt)))
    .limit(1);
  return row !== undefined;
}

/**
 * Inserts the first root administrator, of the customer `default`, and their entry of the audit log. The insert itself
 * tests that there is none. One batch, one round trip.
 */
export async function insertFirstAdmin(
  db: Database,
  admin: FirstAdmin,
  audit: AuditContext,
): Promise<PersonRow | "exists" | "e-mail taken"> {
  const { uuid, email, name, slug } = admin;
  const { now } = audit;
  const isTaken = sql`exists (select 1 from ${users} where ${users.slug} = ${slug.preferred})`;
  const freeSlug = sql`iif(${isTaken}, ${slug.otherwise}, ${slug.preferred})`;
  const isNew = sql`from ${users} where ${users.uuid} = ${uuid}`;
  const { passwordHash: hash } = admin;
  const customer = { uuid: crypto.randomUUID(), name: "Default", slug: DEFAULT_CUSTOMER };
  const times = { createdAt: now, modifiedAt: now };
  const person = { uuid, customerId: sql`${customers.id}`, email, name, slug: freeSlug };
  const rest = {
    emailFolded: foldedAddress(email),
    role: "root_admin" as const,
    passwordHash: hash,
  };
  const [, , , inserted, roots] = await db.batch([
    db
      .insert(customers)
      .values({ ...customer, ...times })
      .onConflictDoNothing(),
    insertFrom(
      db,
      users,
      { ...person, ...rest, ...times },
      sql`from ${customers} where ${customers.slug} = ${DEFAULT_CUSTOMER} and not ${hasRootAdmin}`,
    ).onConflictDoNothing(),
    auditOfRows(
      db,
      {
        action: "user_created",
        subject: { kind: "user", id: sql`${users.uuid}` },
        customerId: sql`${users.customerId}`,
      },
      audit,
      isNew,
    ),
    db.select(personColumns).from(users).where(eq(users.uuid, uuid)),
    db.select({ found: hasRootAdmin }).from(customers).where(eq(customers.slug, DEFAULT_CUSTOMER)),
  ]);
  const otherwise = roots[0]?.found === 1 ? "exists" : "e-mail taken";
  return inserted[0] ?? otherwise;
}
