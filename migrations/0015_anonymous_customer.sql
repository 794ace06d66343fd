-- Whom jobs belong to that were made without an account (src/identity/anonymous.ts). Whoever has the slug
-- already keeps it.
INSERT INTO customers (id, uuid, name, slug, created_at, modified_at)
SELECT 0, 'a9d0b1e5-0000-4000-8000-000000000000', 'Anonymous',
  CASE WHEN EXISTS (SELECT 1 FROM customers WHERE slug = 'anonymous') THEN 'anonymous-' || lower(hex(randomblob(4))) ELSE 'anonymous' END,
  unixepoch() * 1000, unixepoch() * 1000;
--> statement-breakpoint
-- Locked, with a hash that no password has.
INSERT INTO users (id, uuid, customer_id, email, name, slug, role, password_hash, locked, created_at, modified_at)
SELECT 0, 'a9d0b1e5-0000-4000-8000-000000000001', 0, 'anonymous@assay.invalid', 'Anonymous',
  CASE WHEN EXISTS (SELECT 1 FROM users WHERE slug = 'anonymous') THEN 'anonymous-' || lower(hex(randomblob(4))) ELSE 'anonymous' END,
  'user', '$scrypt$ln=14,r=8,p=5$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 1,
  unixepoch() * 1000, unixepoch() * 1000;
