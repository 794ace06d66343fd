-- What the search by name, tag and benchmark looks into, of jobs not deleted. The full-text tables hold
-- the words alone and read the job from this view, so that a page costs one row for each of its jobs.
--
-- `scope` is one trigram each of the user and the customer: a mark, and their id in two characters of the
-- 20,000 from U+4E00 on. No name holds the marks. `title` is the name in small letters as `lower` makes them, of ASCII.
-- `labels` has a word for each tag and each benchmark but quick_mark, which every job runs, once for each
-- scope: `a`ll, `u`ser, `c`ustomer, then `t`ag or `b`enchmark, then the text in hexadecimal.
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
--> statement-breakpoint
CREATE VIRTUAL TABLE `jobs_search` USING fts5(scope, title, job UNINDEXED, content = 'jobs_indexed', content_rowid = 'id', columnsize = 0, tokenize = 'trigram case_sensitive 1');
--> statement-breakpoint
CREATE VIRTUAL TABLE `jobs_labels` USING fts5(labels, job UNINDEXED, content = 'jobs_indexed', content_rowid = 'id', columnsize = 0, detail = none, tokenize = 'ascii');
--> statement-breakpoint
INSERT INTO jobs_search (rowid, scope, title) SELECT known.id, scope, title FROM jobs_indexed known JOIN jobs USING (id) WHERE deleted_at IS NULL;
--> statement-breakpoint
INSERT INTO jobs_labels (rowid, labels) SELECT known.id, labels FROM jobs_indexed known JOIN jobs USING (id) WHERE deleted_at IS NULL AND labels <> '';
--> statement-breakpoint
-- None of what is indexed ever changes: a job only comes, goes, and comes back.
CREATE TRIGGER `job_search_insert` AFTER INSERT ON `jobs` WHEN new.deleted_at IS NULL
BEGIN
  INSERT INTO jobs_search (rowid, scope, title) SELECT id, scope, title FROM jobs_indexed WHERE id = new.id;
  INSERT INTO jobs_labels (rowid, labels) SELECT id, labels FROM jobs_indexed WHERE id = new.id AND labels <> '';
END;
--> statement-breakpoint
CREATE TRIGGER `job_search_leave` AFTER UPDATE OF deleted_at ON `jobs` WHEN old.deleted_at IS NULL AND new.deleted_at IS NOT NULL
BEGIN
  INSERT INTO jobs_search (jobs_search, rowid, scope, title) SELECT 'delete', id, scope, title FROM jobs_indexed WHERE id = old.id;
  INSERT INTO jobs_labels (jobs_labels, rowid, labels) SELECT 'delete', id, labels FROM jobs_indexed WHERE id = old.id AND labels <> '';
END;
--> statement-breakpoint
CREATE TRIGGER `job_search_enter` AFTER UPDATE OF deleted_at ON `jobs` WHEN old.deleted_at IS NOT NULL AND new.deleted_at IS NULL
BEGIN
  INSERT INTO jobs_search (rowid, scope, title) SELECT id, scope, title FROM jobs_indexed WHERE id = new.id;
  INSERT INTO jobs_labels (rowid, labels) SELECT id, labels FROM jobs_indexed WHERE id = new.id AND labels <> '';
END;
--> statement-breakpoint
-- Before the row is gone: the view still shows what its words were.
CREATE TRIGGER `job_search_delete` BEFORE DELETE ON `jobs` WHEN old.deleted_at IS NULL
BEGIN
  INSERT INTO jobs_search (jobs_search, rowid, scope, title) SELECT 'delete', id, scope, title FROM jobs_indexed WHERE id = old.id;
  INSERT INTO jobs_labels (jobs_labels, rowid, labels) SELECT 'delete', id, labels FROM jobs_indexed WHERE id = old.id AND labels <> '';
END;
