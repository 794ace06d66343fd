import { eq, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { users } from "../db/schema.ts";

const credentials = {
  id: users.id,
  uuid: users.uuid,
  customerId: users.customerId,
  role: users.role,
  locked: users.locked,
};

/** One round trip. */
export async function findUserByUuid(db: Database, uuid: string) {
  const [row] = await db.select(credentials).from(users).where(eq(users.uuid, uuid));
  return row ?? null;
}

/** E-mail addresses are compared without case. One round trip. */
export async function findUserByEmail(db: Database, email: string) {
  const [row] = await db
    .select({ ...credentials, passwordHash: users.passwordHash })
    .from(users)
    .where(eq(sql`lower(${users.email})`, sql`lower(${email})`));
  return row ?? null;
}
