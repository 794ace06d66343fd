import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hashPassword } from "../../src/identity/password-hash.ts";
import { foldedAddress } from "../../src/lib/text.ts";
import { runWrangler } from "./project.ts";

/** Where the database is: on a Cloudflare account, or in a local state folder. */
export type DatabasePlace = { remote: true } | { remote: false; state: string };

/**
 * Makes the first root_admin, of the customer `default`, in a local or a remote database. Never changes
 * an existing person, and brings back none who was deleted: it does nothing where there is a root_admin
 * (docs/contract.md, "Sign-in and people").
 */
export async function createFirstAdmin(
  place: DatabasePlace,
  { email, password }: { email: string; password: string },
): Promise<void> {
  if (!/^[^\s@]+@[^\s@]+$/.test(email)) throw new Error("The e-mail address is not valid");
  if (password.length < 12 || password.length > 128) {
    throw new Error("The password must have 12 to 128 characters");
  }
  if (/change-me/i.test(password) || new Set(password).size < 4) {
    throw new Error(
      "The password is an example, or a few repeated characters: anyone can guess it",
    );
  }
  const now = Date.now();
  const uuid = quote(randomUUID());
  const statements = [
    `INSERT INTO customers (uuid, name, slug, created_at, modified_at)
     VALUES (${quote(randomUUID())}, 'Default', 'default', ${now}, ${now}) ON CONFLICT DO NOTHING;`,
    `INSERT INTO users (uuid, customer_id, email, email_folded, name, slug, role, password_hash, created_at, modified_at)
     SELECT ${uuid}, id, ${quote(email)}, ${quote(foldedAddress(email))}, 'Administrator', 'administrator', 'root_admin',
       ${quote(await hashPassword(password))}, ${now}, ${now}
     FROM customers WHERE slug = 'default'
       AND NOT EXISTS (SELECT 1 FROM users WHERE role = 'root_admin' AND deleted_at IS NULL)
     ON CONFLICT DO NOTHING;`,
    `INSERT INTO audit_events (at, action, actor_kind, subject_kind, subject, customer_id, request_id, details)
     SELECT ${now}, 'user_created', 'operator', 'user', uuid, customer_id, 'first-admin', '{"role":"root_admin"}'
     FROM users WHERE uuid = ${uuid};`,
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
