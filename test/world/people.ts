/** People for tests outside the Worker, inserted as rows because the API would hash a password for each. */
import { randomUUID } from "node:crypto";
import type { Database } from "../../scripts/lib/local-worker.ts";
import type { Role } from "../../src/lib/enums.ts";
import { foldedAddress } from "../../src/lib/text.ts";

export interface NewPerson {
  uuid?: string;
  email: string;
  role: Role;
  /** Slug of the customer, which is created if it does not exist. */
  customer: string;
  passwordHash: string;
}

/** Adds a person who can sign in. The slug is `person-` followed by the UUID. */
export async function addPerson(
  db: Pick<Database, "prepare" | "batch">,
  { uuid = randomUUID(), email, role, customer, passwordHash }: NewPerson,
): Promise<void> {
  await db.batch([
    db
      .prepare(
        `INSERT INTO customers (uuid, name, slug, created_at, modified_at)
         VALUES (?1, ?2, ?2, 0, 0) ON CONFLICT DO NOTHING`,
      )
      .bind(randomUUID(), customer),
    db
      .prepare(
        `INSERT INTO users (uuid, customer_id, email, email_folded, name, slug, role, password_hash, created_at, modified_at)
         SELECT ?1, id, ?2, ?6, 'Person', 'person-' || ?1, ?3, ?4, 0, 0 FROM customers WHERE slug = ?5`,
      )
      .bind(uuid, email, role, passwordHash, customer, foldedAddress(email)),
  ]);
}
