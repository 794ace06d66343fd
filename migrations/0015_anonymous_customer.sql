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
--> statement-breakpoint
-- A job shows whose it is: its token depends on that. The words in the full-text tables stay as they are.
DROP VIEW `jobs_indexed`;
--> statement-breakpoint
CREATE VIEW `jobs_indexed` (id, scope, title, labels, job) AS SELECT
  id,
  char(1, 19968 + user_id / 20000, 19968 + user_id % 20000, 2, 19968 + customer_id / 20000, 19968 + customer_id % 20000),
  lower(name),
  (SELECT coalesce(group_concat(who || kind || hex(label), ' '), '') FROM
    (SELECT 'a' AS who UNION ALL SELECT 'u' || user_id UNION ALL SELECT 'c' || customer_id),
    (SELECT 't' AS kind, value AS label FROM json_each(tags) UNION SELECT 'b', value ->> 'benchmark_id' FROM json_each(sequence))
    WHERE kind || label <> 'bquick_mark'),
  json_object('id', id, 'userId', user_id, 'name', name, 'description', description, 'state', state, 'nodeCount', node_count,
    'currentNodes', current_nodes, 'sequence', sequence, 'tags', tags, 'tokenKeyId', token_key_id,
    'createdAt', created_at, 'startedAt', started_at, 'expiresAt', expires_at, 'endedAt', ended_at)
FROM jobs;
