import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashPassword } from "../../src/identity/password.ts";
import { runWrangler } from "./project.ts";

/** Where the database is: on a Cloudflare account, or in a local state folder. */
export type DatabasePlace = { remote: true } | { remote: false; state: string };

/**
 * Makes the first root_admin, of the customer `default`, in a local or a remote database. Never
 * changes an existing person: repeating it does nothing (contract §3).
 */
export async function createFirstAdmin(
  place: DatabasePlace,
  { email, password }: { email: string; password: string },
): Promise<void> {
  if (!/^[^\s@]+@[^\s@]+$/.test(email)) throw new Error("The e-mail address is not one");
  if (password.length < 12 || password.length > 128) {
    throw new Error("The password must have 12 to 128 characters");
  }
  const now = Date.now();
  const statements = [
    `INSERT INTO customers (uuid, name, slug, created_at, modified_at)
     VALUES (${quote(randomUUID())}, 'Default', 'default', ${now}, ${now}) ON CONFLICT DO NOTHING;`,
    `INSERT INTO users (uuid, customer_id, email, name, slug, role, password_hash, created_at, modified_at)
     SELECT ${quote(randomUUID())}, id, ${quote(email)}, 'Administrator', 'administrator', 'root_admin',
       ${quote(await hashPassword(password))}, ${now}, ${now}
     FROM customers WHERE slug = 'default' ON CONFLICT DO NOTHING;`,
  ];
  const folder = mkdtempSync(join(tmpdir(), "assay-admin-"));
  try {
    const file = join(folder, "first-admin.sql");
    writeFileSync(file, statements.join("\n"), { mode: 0o600 });
    const target = place.remote ? ["--remote"] : ["--local", "--persist-to", place.state];
    await runWrangler(["d1", "execute", "DB", ...target, "--yes", "--file", file], {
      offline: !place.remote,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
