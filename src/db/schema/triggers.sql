-- The parts of the schema that drizzle cannot express: triggers, full-text tables, one view and the seed rows.
-- Written by hand, one family after the other. The tables are in 0000_tables.sql, which `npm run migrations`
-- generates.

-- == Totals of lists ==

-- Triggers keep one counter row per list, so that a total costs one row at any size.
CREATE TRIGGER `customer_counts_insert` AFTER INSERT ON `customers`
BEGIN
  INSERT INTO list_counts (list, items) VALUES ('customers', 1)
  ON CONFLICT (list) DO UPDATE SET items = items + 1;
END;

CREATE TRIGGER `customer_counts_delete` AFTER DELETE ON `customers`
BEGIN
  UPDATE list_counts SET items = items - 1 WHERE list = 'customers';
END;

CREATE TRIGGER `user_counts_insert` AFTER INSERT ON `users` WHEN new.deleted_at IS NULL
BEGIN
  INSERT INTO list_counts (list, items) VALUES ('users', 1), ('users:' || new.customer_id, 1)
  ON CONFLICT (list) DO UPDATE SET items = items + 1;
END;

CREATE TRIGGER `user_counts_delete` AFTER DELETE ON `users` WHEN old.deleted_at IS NULL
BEGIN
  UPDATE list_counts SET items = items - 1 WHERE list IN ('users', 'users:' || old.customer_id);
END;

CREATE TRIGGER `user_counts_update` AFTER UPDATE OF customer_id, deleted_at ON `users`
WHEN new.customer_id <> old.customer_id OR (new.deleted_at IS NULL) <> (old.deleted_at IS NULL)
BEGIN
  UPDATE list_counts SET items = items - (old.deleted_at IS NULL)
  WHERE list IN ('users', 'users:' || old.customer_id);
  INSERT INTO list_counts (list, items)
  VALUES ('users', new.deleted_at IS NULL), ('users:' || new.customer_id, new.deleted_at IS NULL)
  ON CONFLICT (list) DO UPDATE SET items = items + excluded.items;
END;

CREATE TRIGGER `audit_counts_insert` AFTER INSERT ON `audit_events` WHEN new.customer_id IS NOT NULL
BEGIN
  INSERT INTO list_counts (list, items) VALUES ('audit_events:' || new.customer_id, 1)
  ON CONFLICT (list) DO UPDATE SET items = items + 1;
END;

-- == The audit log ==

-- Append-only.
CREATE TRIGGER `audit_events_no_update` BEFORE UPDATE ON `audit_events`
BEGIN
  SELECT RAISE(ABORT, 'audit events are never changed');
END;

CREATE TRIGGER `audit_events_no_delete` BEFORE DELETE ON `audit_events`
BEGIN
  SELECT RAISE(ABORT, 'audit events are never removed');
END;

-- == Specs ==

-- Counter rows: of all specs (name '') and of each name.
CREATE TRIGGER `spec_counts_insert` AFTER INSERT ON `specs`
BEGIN
  INSERT INTO spec_counts (name, live, total)
  VALUES ('', new.archived_at IS NULL, 1), (new.name, new.archived_at IS NULL, 1)
  ON CONFLICT (name) DO UPDATE SET live = live + excluded.live, total = total + 1;
END;

CREATE TRIGGER `spec_counts_delete` AFTER DELETE ON `specs`
BEGIN
  UPDATE spec_counts SET live = live - (old.archived_at IS NULL), total = total - 1
  WHERE name IN ('', old.name);
  DELETE FROM spec_counts WHERE name = old.name AND total = 0;
END;

CREATE TRIGGER `spec_counts_update` AFTER UPDATE OF name, archived_at ON `specs`
WHEN new.name <> old.name OR (new.archived_at IS NULL) <> (old.archived_at IS NULL)
BEGIN
  UPDATE spec_counts SET live = live - (old.archived_at IS NULL), total = total - 1
  WHERE name IN ('', old.name);
  INSERT INTO spec_counts (name, live, total)
  VALUES ('', new.archived_at IS NULL, 1), (new.name, new.archived_at IS NULL, 1)
  ON CONFLICT (name) DO UPDATE SET live = live + excluded.live, total = total + 1;
  DELETE FROM spec_counts WHERE name = old.name AND total = 0;
END;

-- The searchable text of specs. It is in the column of the spec's state, so that a search for live specs skips
-- archived ones. Control characters, which no name contains, separate name, slug and UUID, so that even a short
-- name can be found as a whole.
CREATE VIRTUAL TABLE `specs_search` USING fts5(live, archived, tokenize = 'trigram', content = '', contentless_delete = 1);

CREATE TRIGGER `specs_search_insert` AFTER INSERT ON `specs`
BEGIN
  INSERT INTO specs_search (rowid, live, archived) VALUES (
    new.id,
    iif(new.archived_at IS NULL, char(1) || new.name || char(2) || new.slug || char(3) || new.uuid, NULL),
    iif(new.archived_at IS NULL, NULL, char(1) || new.name || char(2) || new.slug || char(3) || new.uuid)
  );
END;

CREATE TRIGGER `specs_search_delete` AFTER DELETE ON `specs`
BEGIN
  DELETE FROM specs_search WHERE rowid = old.id;
END;

CREATE TRIGGER `specs_search_update` AFTER UPDATE OF name, slug, archived_at ON `specs`
WHEN new.name <> old.name OR new.slug <> old.slug OR (new.archived_at IS NULL) <> (old.archived_at IS NULL)
BEGIN
  DELETE FROM specs_search WHERE rowid = old.id;
  INSERT INTO specs_search (rowid, live, archived) VALUES (
    new.id,
    iif(new.archived_at IS NULL, char(1) || new.name || char(2) || new.slug || char(3) || new.uuid, NULL),
    iif(new.archived_at IS NULL, NULL, char(1) || new.name || char(2) || new.slug || char(3) || new.uuid)
  );
END;

-- Stops the deletion of a spec in use at its first reference; the foreign keys would read all references first.
CREATE TRIGGER `specs_in_use` BEFORE DELETE ON `specs`
WHEN EXISTS (SELECT 1 FROM jobs WHERE spec_uuid = old.uuid)
  OR EXISTS (SELECT 1 FROM jobs WHERE expected_spec_uuid = old.uuid)
  OR EXISTS (SELECT 1 FROM runner_specs WHERE spec_uuid = old.uuid)
BEGIN
  SELECT RAISE(ABORT, 'FOREIGN KEY constraint failed');
END;

-- == Runners ==

-- Counter rows and search text, as for specs.
CREATE TRIGGER `runner_counts_insert` AFTER INSERT ON `runners`
BEGIN
  INSERT INTO runner_counts (name, live, total)
  VALUES ('', new.archived_at IS NULL, 1), (new.name, new.archived_at IS NULL, 1)
  ON CONFLICT (name) DO UPDATE SET live = live + excluded.live, total = total + 1;
END;

CREATE TRIGGER `runner_counts_delete` AFTER DELETE ON `runners`
BEGIN
  UPDATE runner_counts SET live = live - (old.archived_at IS NULL), total = total - 1
  WHERE name IN ('', old.name);
  DELETE FROM runner_counts WHERE name = old.name AND total = 0;
END;

CREATE TRIGGER `runner_counts_update` AFTER UPDATE OF name, archived_at ON `runners`
WHEN new.name <> old.name OR (new.archived_at IS NULL) <> (old.archived_at IS NULL)
BEGIN
  UPDATE runner_counts SET live = live - (old.archived_at IS NULL), total = total - 1
  WHERE name IN ('', old.name);
  INSERT INTO runner_counts (name, live, total)
  VALUES ('', new.archived_at IS NULL, 1), (new.name, new.archived_at IS NULL, 1)
  ON CONFLICT (name) DO UPDATE SET live = live + excluded.live, total = total + 1;
  DELETE FROM runner_counts WHERE name = old.name AND total = 0;
END;

CREATE VIRTUAL TABLE `runners_search` USING fts5(live, archived, tokenize = 'trigram', content = '', contentless_delete = 1);

CREATE TRIGGER `runners_search_insert` AFTER INSERT ON `runners`
BEGIN
  INSERT INTO runners_search (rowid, live, archived) VALUES (
    new.id,
    iif(new.archived_at IS NULL, char(1) || new.name || char(2) || new.slug || char(3) || new.uuid, NULL),
    iif(new.archived_at IS NULL, NULL, char(1) || new.name || char(2) || new.slug || char(3) || new.uuid)
  );
END;

CREATE TRIGGER `runners_search_delete` AFTER DELETE ON `runners`
BEGIN
  DELETE FROM runners_search WHERE rowid = old.id;
END;

CREATE TRIGGER `runners_search_update` AFTER UPDATE OF name, slug, archived_at ON `runners`
WHEN new.name <> old.name OR new.slug <> old.slug OR (new.archived_at IS NULL) <> (old.archived_at IS NULL)
BEGIN
  DELETE FROM runners_search WHERE rowid = old.id;
  INSERT INTO runners_search (rowid, live, archived) VALUES (
    new.id,
    iif(new.archived_at IS NULL, char(1) || new.name || char(2) || new.slug || char(3) || new.uuid, NULL),
    iif(new.archived_at IS NULL, NULL, char(1) || new.name || char(2) || new.slug || char(3) || new.uuid)
  );
END;

-- Links a runner to its task. Only the job's object knows when a runner has joined, and it tells D1 by the row
-- of the task.
CREATE TRIGGER `runners_task` AFTER INSERT ON `tasks`
BEGIN
  UPDATE runners SET task_id = new.id WHERE uuid = new.machine_uuid AND job_id = new.job_id;
END;

-- The latest check of a runner against each spec that it offers. Only runners join a job made for a spec, so nobody
-- else can speak for their machines. Task ids rise with time.
CREATE TRIGGER `runner_specs_checked` AFTER INSERT ON `tasks` WHEN new.spec_check IS NOT NULL
BEGIN
  UPDATE runner_specs SET spec_check = new.spec_check ->> '$.status', checked_task_id = new.id
  WHERE runner_id = (SELECT id FROM runners WHERE uuid = new.machine_uuid)
  AND spec_uuid = (SELECT spec_uuid FROM jobs WHERE id = new.job_id)
  AND (checked_task_id IS NULL OR checked_task_id <= new.id);
END;

CREATE TRIGGER `runner_specs_checked_again` AFTER UPDATE OF spec_check ON `tasks`
WHEN new.spec_check IS NOT NULL AND new.spec_check ->> '$.status' IS NOT old.spec_check ->> '$.status'
BEGIN
  UPDATE runner_specs SET spec_check = new.spec_check ->> '$.status', checked_task_id = new.id
  WHERE runner_id = (SELECT id FROM runners WHERE uuid = new.machine_uuid)
  AND spec_uuid = (SELECT spec_uuid FROM jobs WHERE id = new.job_id)
  AND (checked_task_id IS NULL OR checked_task_id <= new.id);
END;

-- == Jobs ==

-- Counter rows of jobs not deleted, per scope and state.
CREATE TRIGGER `job_counts_insert` AFTER INSERT ON `jobs` WHEN new.deleted_at IS NULL
BEGIN
  INSERT INTO job_counts (scope, state, jobs)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), (new.owner, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER `job_counts_leave` AFTER UPDATE OF state, deleted_at ON `jobs`
WHEN old.deleted_at IS NULL AND (new.deleted_at IS NOT NULL OR new.state <> old.state)
BEGIN
  UPDATE job_counts SET jobs = jobs - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, old.owner);
END;

CREATE TRIGGER `job_counts_enter` AFTER UPDATE OF state, deleted_at ON `jobs`
WHEN new.deleted_at IS NULL AND (old.deleted_at IS NOT NULL OR new.state <> old.state)
BEGIN
  INSERT INTO job_counts (scope, state, jobs)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), (new.owner, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER `job_counts_delete` AFTER DELETE ON `jobs` WHEN old.deleted_at IS NULL
BEGIN
  UPDATE job_counts SET jobs = jobs - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, old.owner);
END;

-- What the jobs of each customer take. Rows of other days than the latest are not counted.
CREATE TRIGGER `customer_usage_insert` AFTER INSERT ON `jobs`
BEGIN
  INSERT INTO customer_usage (customer_id, day, jobs, bytes)
  VALUES (new.customer_id, new.created_at / 86400000, 1, coalesce(new.body_bytes, 0))
  ON CONFLICT (customer_id) DO UPDATE SET
    jobs = iif(excluded.day > day, 1, jobs + (excluded.day = day)), day = max(day, excluded.day), bytes = bytes + excluded.bytes;
END;

CREATE TRIGGER `customer_usage_bodies` AFTER UPDATE OF body_bytes ON `jobs`
WHEN coalesce(new.body_bytes, 0) <> coalesce(old.body_bytes, 0)
BEGIN
  UPDATE customer_usage SET bytes = bytes + coalesce(new.body_bytes, 0) - coalesce(old.body_bytes, 0)
  WHERE customer_id = new.customer_id;
END;

CREATE TRIGGER `customer_usage_delete` AFTER DELETE ON `jobs` WHEN old.body_bytes > 0
BEGIN
  UPDATE customer_usage SET bytes = bytes - old.body_bytes WHERE customer_id = old.customer_id;
END;

-- One row per tag of each job not deleted.
CREATE TRIGGER `job_tags_insert` AFTER INSERT ON `jobs` WHEN new.deleted_at IS NULL AND new.tags <> '[]'
BEGIN
  INSERT INTO job_tags (job_id, tag, customer_id, user_id, created_at)
  SELECT new.id, value, new.customer_id, new.user_id, new.created_at FROM json_each(new.tags);
END;

CREATE TRIGGER `job_tags_leave` AFTER UPDATE OF deleted_at ON `jobs`
WHEN old.deleted_at IS NULL AND new.deleted_at IS NOT NULL AND old.tags <> '[]'
BEGIN
  DELETE FROM job_tags WHERE owner = old.owner AND tag IN (SELECT value FROM json_each(old.tags))
  AND created_at = old.created_at AND job_id = old.id;
END;

CREATE TRIGGER `job_tags_enter` AFTER UPDATE OF deleted_at ON `jobs`
WHEN old.deleted_at IS NOT NULL AND new.deleted_at IS NULL AND new.tags <> '[]'
BEGIN
  INSERT INTO job_tags (job_id, tag, customer_id, user_id, created_at)
  SELECT new.id, value, new.customer_id, new.user_id, new.created_at FROM json_each(new.tags);
END;

CREATE TRIGGER `job_tags_delete` AFTER DELETE ON `jobs` WHEN old.deleted_at IS NULL AND old.tags <> '[]'
BEGIN
  DELETE FROM job_tags WHERE owner = old.owner AND tag IN (SELECT value FROM json_each(old.tags))
  AND created_at = old.created_at AND job_id = old.id;
END;

-- Search of jobs that are not deleted, by name, tag and benchmark. The full-text tables hold only the terms and
-- read the job from this view, so that a page costs one row for each of its jobs.
--
-- `scope` has one trigram for the user and one for the customer: a control character, which no name contains,
-- and the id as two of the 20,000 characters from U+4E00 on. `title` is the name with ASCII letters in lower case.
-- `labels` has a term per scope for each tag, each benchmark except quick_mark, which every job runs, and provider, region
-- and order: `a` (all), `u`, user id, `c` and customer id, or `c` and customer id; then `t` (tag), `b` (benchmark), `p`
-- (provider), `r` (region) or `o` (order); then the text in hexadecimal.
CREATE VIEW `jobs_indexed` (id, scope, title, labels, job) AS SELECT
  id,
  char(1, 19968 + user_id / 20000, 19968 + user_id % 20000, 2, 19968 + customer_id / 20000, 19968 + customer_id % 20000),
  lower(name),
  (SELECT coalesce(group_concat(who || kind || hex(label), ' '), '') FROM
    (SELECT 'a' AS who UNION ALL SELECT 'u' || user_id || 'c' || customer_id UNION ALL SELECT 'c' || customer_id),
    (SELECT 't' AS kind, value AS label FROM json_each(tags) UNION SELECT 'b', value ->> 'benchmark_id' FROM json_each(sequence)
      UNION SELECT key, value FROM json_each(folded_origins))
    WHERE kind || label <> 'bquick_mark'),
  json_object('id', id, 'userId', user_id, 'name', name, 'description', description, 'state', state, 'nodeCount', node_count,
    'currentNodes', current_nodes, 'sequence', json(sequence), 'tags', json(tags), 'tokenKeyId', token_key_id,
    'createdAt', created_at, 'startedAt', started_at, 'expiresAt', expires_at, 'endedAt', ended_at, 'specCheck', spec_check,
    'provider', provider, 'region', region, 'orderReference', order_reference)
FROM jobs;

CREATE VIRTUAL TABLE `jobs_search` USING fts5(scope, title, job UNINDEXED, content = 'jobs_indexed', content_rowid = 'id', columnsize = 0, tokenize = 'trigram case_sensitive 1');

CREATE VIRTUAL TABLE `jobs_labels` USING fts5(labels, job UNINDEXED, content = 'jobs_indexed', content_rowid = 'id', columnsize = 0, detail = none, tokenize = 'ascii');

-- Indexed values never change, so only creation, deletion and restoration of a job need triggers.
CREATE TRIGGER `job_search_insert` AFTER INSERT ON `jobs` WHEN new.deleted_at IS NULL
BEGIN
  INSERT INTO jobs_search (rowid, scope, title) SELECT id, scope, title FROM jobs_indexed WHERE id = new.id;
  INSERT INTO jobs_labels (rowid, labels) SELECT id, labels FROM jobs_indexed WHERE id = new.id AND labels <> '';
END;

CREATE TRIGGER `job_search_leave` AFTER UPDATE OF deleted_at ON `jobs` WHEN old.deleted_at IS NULL AND new.deleted_at IS NOT NULL
BEGIN
  INSERT INTO jobs_search (jobs_search, rowid, scope, title) SELECT 'delete', id, scope, title FROM jobs_indexed WHERE id = old.id;
  INSERT INTO jobs_labels (jobs_labels, rowid, labels) SELECT 'delete', id, labels FROM jobs_indexed WHERE id = old.id AND labels <> '';
END;

CREATE TRIGGER `job_search_enter` AFTER UPDATE OF deleted_at ON `jobs` WHEN old.deleted_at IS NOT NULL AND new.deleted_at IS NULL
BEGIN
  INSERT INTO jobs_search (rowid, scope, title) SELECT id, scope, title FROM jobs_indexed WHERE id = new.id;
  INSERT INTO jobs_labels (rowid, labels) SELECT id, labels FROM jobs_indexed WHERE id = new.id AND labels <> '';
END;

-- Runs before the row is removed, while the view still has the terms to delete.
CREATE TRIGGER `job_search_delete` BEFORE DELETE ON `jobs` WHEN old.deleted_at IS NULL
BEGIN
  INSERT INTO jobs_search (jobs_search, rowid, scope, title) SELECT 'delete', id, scope, title FROM jobs_indexed WHERE id = old.id;
  INSERT INTO jobs_labels (jobs_labels, rowid, labels) SELECT 'delete', id, labels FROM jobs_indexed WHERE id = old.id AND labels <> '';
END;

-- The links of a job die with it.
CREATE TRIGGER `job_shares_deleted` AFTER UPDATE OF deleted_at ON `jobs` WHEN new.deleted_at IS NOT NULL
BEGIN
  DELETE FROM job_shares WHERE job_id = new.id;
END;

-- == Tasks ==

-- Deletes and restores the tasks of a job with it; their ids are the 511 after its own.
CREATE TRIGGER `tasks_deleted` AFTER UPDATE OF deleted_at ON `jobs`
WHEN (new.deleted_at IS NULL) <> (old.deleted_at IS NULL)
BEGIN
  UPDATE tasks SET deleted_at = new.deleted_at WHERE id BETWEEN new.id + 1 AND new.id + 511 AND job_id = new.id;
END;

-- Counter rows, as for jobs.
CREATE TRIGGER `task_counts_insert` AFTER INSERT ON `tasks` WHEN new.deleted_at IS NULL
BEGIN
  INSERT INTO task_counts (scope, state, tasks)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), (new.owner, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER `task_counts_leave` AFTER UPDATE OF state, deleted_at ON `tasks`
WHEN old.deleted_at IS NULL AND (new.deleted_at IS NOT NULL OR new.state <> old.state)
BEGIN
  UPDATE task_counts SET tasks = tasks - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, old.owner);
END;

CREATE TRIGGER `task_counts_enter` AFTER UPDATE OF state, deleted_at ON `tasks`
WHEN new.deleted_at IS NULL AND (old.deleted_at IS NOT NULL OR new.state <> old.state)
BEGIN
  INSERT INTO task_counts (scope, state, tasks)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), (new.owner, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER `task_counts_delete` AFTER DELETE ON `tasks` WHEN old.deleted_at IS NULL
BEGIN
  UPDATE task_counts SET tasks = tasks - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, old.owner);
END;

-- == Machines ==

-- A row for each machine and scope that sees it: what the newest of its tasks says, and of facts that it does not state
-- the newest of the last 10. A row inserted into this view has the rows of a machine written again: those of all, of a
-- customer and of an owner. `jobs` is added to their number of jobs. The limits of 3, one row for each scope, keep SQLite
-- from computing the columns of the inner queries anew wherever the outer ones name them.
CREATE VIEW `machine_changes` (machine_uuid, customer_id, owner, jobs) AS SELECT machine_uuid, customer_id, owner, 0 FROM tasks;

CREATE TRIGGER `machines_change` INSTEAD OF INSERT ON `machine_changes`
BEGIN
  DELETE FROM machines WHERE machine_uuid = new.machine_uuid
  AND scope IN ('all', 'customer:' || new.customer_id, new.owner) AND jobs + new.jobs <= 0;
  INSERT INTO machines (id, scope, machine_uuid, jobs, last_task_id, last_job_id, last_seen_at,
    host_name, gpu_models, provider, region, status, finding_count, is_replayed, spec_check, labels)
  SELECT
    -- Three numbers for each machine, the next free ones of its millisecond. Where there are none, it comes first.
    place + iif(
      coalesce((SELECT max(id) + 1 FROM machines WHERE id >= first_id AND id < first_id + 4096), first_id) + 2 < first_id + 4096,
      coalesce((SELECT max(id) + 1 FROM machines WHERE id >= first_id AND id < first_id + 4096), first_id),
      (SELECT max(id) + 1 FROM machines)),
    scope, new.machine_uuid, max(new.jobs, 1), last_task_id, last_job_id, last_seen_at,
    host_name, gpus ->> '$[0]', provider ->> '$[0]', region ->> '$[0]', rating ->> '$[0]', rating ->> '$[1]', rating ->> '$[2]', spec_check,
    (SELECT json_group_array(prefix || term) FROM (
      SELECT value AS term FROM json_each(json_array('',
        iif(provider IS NULL, NULL, 'p' || hex(provider ->> '$[1]')), iif(region IS NULL, NULL, 'r' || hex(region ->> '$[1]')),
        iif(rating IS NULL, NULL, 's' || hex(rating ->> '$[0]')), iif(rating ->> '$[1]' > 0, 'f', NULL),
        iif(spec_check IS NULL, NULL, 'x' || hex(spec_check)))) WHERE value IS NOT NULL
      UNION ALL SELECT 'g' || hex(value) FROM json_each(coalesce(gpus ->> '$[1]', '[]'))))
  FROM (
    SELECT scope, prefix, place,
      newest ->> '$[0][0]' AS last_task_id, newest ->> '$[0][1]' AS last_job_id, newest ->> '$[0][2]' AS last_seen_at,
      (newest ->> '$[0][2]' - 1704067200000) * 4096 AS first_id,
      (SELECT value ->> '$[3]' FROM json_each(newest) WHERE value ->> '$[3]' IS NOT NULL LIMIT 1) AS host_name,
      (SELECT value ->> '$[4]' FROM json_each(newest) WHERE value ->> '$[4]' IS NOT NULL LIMIT 1) AS gpus,
      (SELECT value ->> '$[5]' FROM json_each(newest) WHERE value ->> '$[5]' IS NOT NULL LIMIT 1) AS rating,
      (SELECT value ->> '$[6]' FROM json_each(newest) WHERE value ->> '$[6]' IS NOT NULL LIMIT 1) AS spec_check,
      (SELECT value ->> '$[7]' FROM json_each(newest) WHERE value ->> '$[7]' IS NOT NULL LIMIT 1) AS provider,
      (SELECT value ->> '$[8]' FROM json_each(newest) WHERE value ->> '$[8]' IS NOT NULL LIMIT 1) AS region
    FROM (
      SELECT 'all' AS scope, 'a' AS prefix, 0 AS place, (SELECT json_group_array(json(said)) FROM (SELECT said FROM machine_said
        WHERE deleted_at IS NULL AND machine_uuid = new.machine_uuid
        ORDER BY created_at DESC, job_id DESC, rank DESC LIMIT 10)) AS newest
      UNION ALL SELECT 'customer:' || new.customer_id, 'c' || new.customer_id, 1, (SELECT json_group_array(json(said)) FROM (SELECT said FROM machine_said
        WHERE deleted_at IS NULL AND customer_id = new.customer_id AND machine_uuid = new.machine_uuid
        ORDER BY created_at DESC, job_id DESC, rank DESC LIMIT 10))
      UNION ALL SELECT new.owner, replace(replace(new.owner, 'user:', 'u'), ':', 'c'), 2, (SELECT json_group_array(json(said)) FROM (SELECT said FROM machine_said
        WHERE deleted_at IS NULL AND owner = new.owner AND machine_uuid = new.machine_uuid
        ORDER BY created_at DESC, job_id DESC, rank DESC LIMIT 10))
      LIMIT 3)
    WHERE newest <> '[]'
    LIMIT 3)
  WHERE true
  ON CONFLICT (scope, machine_uuid) DO UPDATE SET
    id = iif(machines.last_task_id = excluded.last_task_id, machines.id, excluded.id),
    jobs = machines.jobs + new.jobs, last_task_id = excluded.last_task_id, last_job_id = excluded.last_job_id,
    last_seen_at = excluded.last_seen_at, host_name = excluded.host_name, gpu_models = excluded.gpu_models,
    provider = excluded.provider, region = excluded.region, status = excluded.status,
    finding_count = excluded.finding_count, is_replayed = excluded.is_replayed, spec_check = excluded.spec_check, labels = excluded.labels
  WHERE new.jobs <> 0
    OR (machines.last_task_id, machines.host_name, machines.gpu_models, machines.provider, machines.region, machines.status, machines.finding_count, machines.is_replayed, machines.spec_check, machines.labels)
    IS NOT (excluded.last_task_id, excluded.host_name, excluded.gpu_models, excluded.provider, excluded.region, excluded.status, excluded.finding_count, excluded.is_replayed, excluded.spec_check, excluded.labels);
END;

-- What a task says of its machine. Of its GPUs, those by model with the normalised models; of its verdict, the status with
-- the number of findings and the mark of recordings; of where it was rented, the text with the form that filters compare.
CREATE VIEW `machine_said` (machine_uuid, customer_id, owner, deleted_at, created_at, job_id, rank, said) AS SELECT
  tasks.machine_uuid, tasks.customer_id, tasks.owner, tasks.deleted_at, tasks.created_at, job_id, rank, json_array(
    tasks.id, job_id, tasks.created_at, host_name,
    iif(gpu_count = 0, json_array(json('[]'), json('[]')),
      iif(gpu_models IS NOT NULL, json_array(json(gpu_models), json(models)),
        iif(gpu_model IS NOT NULL, json_array(json_array(json_array(gpu_model, gpu_count)), json(models)), NULL))),
    iif(tasks.performance_status IS NULL, NULL, json_array(tasks.performance_status, coalesce(tasks.finding_count, 0), is_replayed)),
    spec_status,
    iif(provider IS NULL, NULL, json_array(provider, folded_origins ->> '$.p')),
    iif(region IS NULL, NULL, json_array(region, folded_origins ->> '$.r')))
FROM tasks CROSS JOIN jobs ON jobs.id = job_id;

CREATE TRIGGER `machines_joined` AFTER INSERT ON `tasks` WHEN new.deleted_at IS NULL
BEGIN
  INSERT INTO machine_changes (machine_uuid, customer_id, owner, jobs)
  VALUES (new.machine_uuid, new.customer_id, new.owner, 1);
END;

CREATE TRIGGER `machines_told` AFTER UPDATE OF host_name, gpu_model, gpu_count, gpu_models, spec_check, performance_status, finding_count, verdict ON `tasks`
WHEN old.deleted_at IS NULL AND new.deleted_at IS NULL AND (
  new.host_name IS NOT old.host_name OR new.gpu_model IS NOT old.gpu_model OR new.gpu_count IS NOT old.gpu_count
  OR new.gpu_models IS NOT old.gpu_models OR new.spec_status IS NOT old.spec_status
  OR new.performance_status IS NOT old.performance_status OR new.finding_count IS NOT old.finding_count
  OR new.is_replayed IS NOT old.is_replayed)
BEGIN
  INSERT INTO machine_changes (machine_uuid, customer_id, owner, jobs)
  VALUES (new.machine_uuid, new.customer_id, new.owner, 0);
END;

CREATE TRIGGER `machines_left` AFTER UPDATE OF deleted_at ON `tasks`
WHEN (new.deleted_at IS NULL) <> (old.deleted_at IS NULL)
BEGIN
  INSERT INTO machine_changes (machine_uuid, customer_id, owner, jobs)
  VALUES (new.machine_uuid, new.customer_id, new.owner, iif(new.deleted_at IS NULL, 1, -1));
END;

CREATE TRIGGER `machines_gone` AFTER DELETE ON `tasks` WHEN old.deleted_at IS NULL
BEGIN
  INSERT INTO machine_changes (machine_uuid, customer_id, owner, jobs)
  VALUES (old.machine_uuid, old.customer_id, old.owner, -1);
END;

-- Lists of machines, the one seen last first: the full-text table holds only the terms and reads the machine from this
-- view, so that a page costs one row for each of its machines. `terms` has the labels, which begin with the scope: `a`
-- (all), `c` and customer id, or `u`, user id, `c` and customer id; alone, or with `g` (GPU model), `p` (provider),
-- `r` (region), `s` (status), `x` (spec check) and the text in hexadecimal, or with `f` (findings). Then `n` with each three
-- characters of the host name, ASCII letters in lower case.
CREATE VIEW `machines_indexed` (id, terms, machine) AS SELECT
  id,
  labels || coalesce((SELECT group_concat(' n' || hex(substr(lower(host_name), key + 1, 3)), '')
    FROM json_each('[0' || replace(hex(zeroblob(length(host_name) - 3)), '00', ',0') || ']') WHERE length(host_name) >= 3), ''),
  json_object('id', id, 'machineUuid', machine_uuid, 'jobs', jobs, 'lastJobId', last_job_id, 'lastSeenAt', last_seen_at,
    'hostName', host_name, 'gpuModels', json(gpu_models), 'provider', provider, 'region', region,
    'status', status, 'findingCount', finding_count, 'isReplayed', is_replayed, 'specCheck', spec_check)
FROM machines;

CREATE VIRTUAL TABLE `machines_search` USING fts5(terms, machine UNINDEXED, content = 'machines_indexed', content_rowid = 'id', columnsize = 0, detail = none, tokenize = 'ascii');

CREATE TRIGGER `machines_search_insert` AFTER INSERT ON `machines`
BEGIN
  INSERT INTO machines_search (rowid, terms) SELECT id, terms FROM machines_indexed WHERE id = new.id;
END;

-- The two that remove terms run before the change, while the view still has them.
CREATE TRIGGER `machines_search_leave` BEFORE UPDATE OF id, host_name, labels ON `machines`
WHEN new.id <> old.id OR new.host_name IS NOT old.host_name OR new.labels <> old.labels
BEGIN
  INSERT INTO machines_search (machines_search, rowid, terms) SELECT 'delete', id, terms FROM machines_indexed WHERE id = old.id;
END;

CREATE TRIGGER `machines_search_enter` AFTER UPDATE OF id, host_name, labels ON `machines`
WHEN new.id <> old.id OR new.host_name IS NOT old.host_name OR new.labels <> old.labels
BEGIN
  INSERT INTO machines_search (rowid, terms) SELECT id, terms FROM machines_indexed WHERE id = new.id;
END;

CREATE TRIGGER `machines_search_delete` BEFORE DELETE ON `machines`
BEGIN
  INSERT INTO machines_search (machines_search, rowid, terms) SELECT 'delete', id, terms FROM machines_indexed WHERE id = old.id;
END;

-- Counter rows of each label.
CREATE TRIGGER `machine_counts_insert` AFTER INSERT ON `machines`
BEGIN
  INSERT INTO machine_counts (label, machines) SELECT value, 1 FROM json_each(new.labels) WHERE true
  ON CONFLICT (label) DO UPDATE SET machines = machines + 1;
END;

CREATE TRIGGER `machine_counts_update` AFTER UPDATE OF labels ON `machines` WHEN new.labels <> old.labels
BEGIN
  UPDATE machine_counts SET machines = machines - 1 WHERE label IN
    (SELECT value FROM json_each(old.labels) EXCEPT SELECT value FROM json_each(new.labels));
  DELETE FROM machine_counts WHERE machines = 0 AND label IN (SELECT value FROM json_each(old.labels));
  INSERT INTO machine_counts (label, machines)
  SELECT value, 1 FROM (SELECT value FROM json_each(new.labels) EXCEPT SELECT value FROM json_each(old.labels)) WHERE true
  ON CONFLICT (label) DO UPDATE SET machines = machines + 1;
END;

CREATE TRIGGER `machine_counts_delete` AFTER DELETE ON `machines`
BEGIN
  UPDATE machine_counts SET machines = machines - 1 WHERE label IN (SELECT value FROM json_each(old.labels));
  DELETE FROM machine_counts WHERE machines = 0 AND label IN (SELECT value FROM json_each(old.labels));
END;

-- == The scoreboard ==

-- Counter rows of rated jobs not deleted, per scope, state and outcome.
CREATE TRIGGER `performance_counts_insert` AFTER INSERT ON `jobs`
WHEN new.deleted_at IS NULL AND new.performance_status IS NOT NULL
BEGIN
  INSERT INTO performance_counts (scope, state, status, jobs)
  VALUES ('all', new.state, new.performance_status, 1),
    ('customer:' || new.customer_id, new.state, new.performance_status, 1),
    (new.owner, new.state, new.performance_status, 1)
  ON CONFLICT (scope, state, status) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER `performance_counts_leave` AFTER UPDATE OF state, deleted_at, performance_status ON `jobs`
WHEN old.deleted_at IS NULL AND old.performance_status IS NOT NULL AND (new.deleted_at IS NOT NULL
  OR new.state <> old.state OR new.performance_status IS NOT old.performance_status)
BEGIN
  UPDATE performance_counts SET jobs = jobs - 1
  WHERE scope IN ('all', 'customer:' || old.customer_id, old.owner)
  AND state = old.state AND status = old.performance_status;
END;

CREATE TRIGGER `performance_counts_enter` AFTER UPDATE OF state, deleted_at, performance_status ON `jobs`
WHEN new.deleted_at IS NULL AND new.performance_status IS NOT NULL AND (old.deleted_at IS NOT NULL
  OR new.state <> old.state OR new.performance_status IS NOT old.performance_status)
BEGIN
  INSERT INTO performance_counts (scope, state, status, jobs)
  VALUES ('all', new.state, new.performance_status, 1),
    ('customer:' || new.customer_id, new.state, new.performance_status, 1),
    (new.owner, new.state, new.performance_status, 1)
  ON CONFLICT (scope, state, status) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER `performance_counts_delete` AFTER DELETE ON `jobs`
WHEN old.deleted_at IS NULL AND old.performance_status IS NOT NULL
BEGIN
  UPDATE performance_counts SET jobs = jobs - 1
  WHERE scope IN ('all', 'customer:' || old.customer_id, old.owner)
  AND state = old.state AND status = old.performance_status;
END;

-- Removes the figures of a job when it is deleted or permanently removed.
CREATE TRIGGER `task_figures_deleted` AFTER UPDATE OF deleted_at ON `jobs` WHEN new.deleted_at IS NOT NULL
BEGIN
  DELETE FROM task_figures WHERE task_id BETWEEN new.id + 1 AND new.id + 511;
END;

CREATE TRIGGER `task_figures_gone` AFTER DELETE ON `tasks`
BEGIN
  DELETE FROM task_figures WHERE task_id = old.id;
END;

-- The figures that compare, the newest job first: the full-text table holds only the labels and reads the figure from this
-- view, so that a figure costs one row. `labels` has a term per scope, as in `machines_indexed`, for the machine (`m`), each
-- GPU model (`g`), and the provider (`p`), region (`r`) and expected spec (`x`) of its job. Nothing compares with a recording.
CREATE VIEW `figures_indexed` (id, labels, figure) AS SELECT
  task_id,
  (SELECT group_concat(who || kind || hex(label), ' ') FROM
    (SELECT 'a' AS who UNION ALL SELECT 'u' || task_figures.user_id || 'c' || task_figures.customer_id UNION ALL SELECT 'c' || task_figures.customer_id),
    (SELECT 'm' AS kind, machine_uuid AS label
      UNION SELECT 'g', value FROM json_each('["' || replace(model, '|', '","') || '"]') WHERE value <> ''
      UNION SELECT key, value FROM json_each(folded_origins) WHERE key <> 'o'
      UNION SELECT 'x', coalesce(expected_spec_uuid, spec_uuid) WHERE coalesce(expected_spec_uuid, spec_uuid) IS NOT NULL)),
  json_array(machine_uuid, bf16_class, memory_class, bf16_tflops, memory_bandwidth_gbs, json(parts))
FROM task_figures CROSS JOIN jobs ON jobs.id = task_id - task_id % 512
WHERE coalesce(bf16_tflops, memory_bandwidth_gbs, parts) IS NOT NULL AND bf16_class IS NOT 'replayed';

CREATE VIRTUAL TABLE `figures_search` USING fts5(labels, figure UNINDEXED, content = 'figures_indexed', content_rowid = 'id', columnsize = 0, detail = none, tokenize = 'ascii');

CREATE TRIGGER `figures_search_insert` AFTER INSERT ON `task_figures`
BEGIN
  INSERT INTO figures_search (rowid, labels) SELECT id, labels FROM figures_indexed WHERE id = new.task_id;
END;

-- Runs before the row is removed, while the view still has the labels.
CREATE TRIGGER `figures_search_delete` BEFORE DELETE ON `task_figures`
BEGIN
  INSERT INTO figures_search (figures_search, rowid, labels) SELECT 'delete', id, labels FROM figures_indexed WHERE id = old.task_id;
END;

-- Lists the measured GPU models.
CREATE TRIGGER `gpu_models_seen` AFTER INSERT ON `task_figures` WHEN new.model <> ''
BEGIN
  INSERT INTO gpu_models (model) VALUES (new.model) ON CONFLICT (model) DO NOTHING;
END;

-- Counts the machines of each customer, model and class, and the changes since their medians were computed.
CREATE TRIGGER `customer_fleets_machine` AFTER INSERT ON `machine_figures`
BEGIN
  INSERT INTO customer_fleets (model, customer_id, class, machines, changes)
  VALUES (new.model, new.customer_id, new.class, 1, 1)
  ON CONFLICT (model, customer_id, class) DO UPDATE SET machines = machines + 1, changes = changes + 1;
END;

CREATE TRIGGER `customer_fleets_news` AFTER UPDATE ON `machine_figures`
BEGIN
  UPDATE customer_fleets SET changes = changes + 1
  WHERE model = new.model AND customer_id = new.customer_id AND class = new.class;
END;

-- Counter rows of jobs with findings not deleted, per scope and state, then of such tasks.
CREATE TRIGGER `job_finding_counts_insert` AFTER INSERT ON `jobs`
WHEN new.deleted_at IS NULL AND new.finding_count > 0
BEGIN
  INSERT INTO finding_counts (scope, state, jobs)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), (new.owner, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER `job_finding_counts_leave` AFTER UPDATE OF state, deleted_at, finding_count ON `jobs`
WHEN old.deleted_at IS NULL AND old.finding_count > 0 AND (new.deleted_at IS NOT NULL
  OR new.state <> old.state OR coalesce(new.finding_count, 0) = 0)
BEGIN
  UPDATE finding_counts SET jobs = jobs - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, old.owner);
END;

CREATE TRIGGER `job_finding_counts_enter` AFTER UPDATE OF state, deleted_at, finding_count ON `jobs`
WHEN new.deleted_at IS NULL AND new.finding_count > 0 AND (old.deleted_at IS NOT NULL
  OR new.state <> old.state OR coalesce(old.finding_count, 0) = 0)
BEGIN
  INSERT INTO finding_counts (scope, state, jobs)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), (new.owner, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET jobs = jobs + 1;
END;

CREATE TRIGGER `job_finding_counts_delete` AFTER DELETE ON `jobs`
WHEN old.deleted_at IS NULL AND old.finding_count > 0
BEGIN
  UPDATE finding_counts SET jobs = jobs - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, old.owner);
END;

CREATE TRIGGER `task_finding_counts_insert` AFTER INSERT ON `tasks`
WHEN new.deleted_at IS NULL AND new.finding_count > 0
BEGIN
  INSERT INTO finding_counts (scope, state, tasks)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), (new.owner, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER `task_finding_counts_leave` AFTER UPDATE OF state, deleted_at, finding_count ON `tasks`
WHEN old.deleted_at IS NULL AND old.finding_count > 0 AND (new.deleted_at IS NOT NULL
  OR new.state <> old.state OR coalesce(new.finding_count, 0) = 0)
BEGIN
  UPDATE finding_counts SET tasks = tasks - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, old.owner);
END;

CREATE TRIGGER `task_finding_counts_enter` AFTER UPDATE OF state, deleted_at, finding_count ON `tasks`
WHEN new.deleted_at IS NULL AND new.finding_count > 0 AND (old.deleted_at IS NOT NULL
  OR new.state <> old.state OR coalesce(old.finding_count, 0) = 0)
BEGIN
  INSERT INTO finding_counts (scope, state, tasks)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), (new.owner, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET tasks = tasks + 1;
END;

CREATE TRIGGER `task_finding_counts_delete` AFTER DELETE ON `tasks`
WHEN old.deleted_at IS NULL AND old.finding_count > 0
BEGIN
  UPDATE finding_counts SET tasks = tasks - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, old.owner);
END;

-- == Seed rows ==

-- Owner of jobs created without an account (src/identity/anonymous.ts): a customer, and a locked person whose
-- hash no password matches.
INSERT INTO customers (id, uuid, name, slug, created_at, modified_at)
VALUES (0, 'a9d0b1e5-0000-4000-8000-000000000000', 'Anonymous', 'anonymous', unixepoch() * 1000, unixepoch() * 1000);

INSERT INTO users (id, uuid, customer_id, email, email_folded, name, slug, role, password_hash, locked, created_at, modified_at)
VALUES (0, 'a9d0b1e5-0000-4000-8000-000000000001', 0, 'anonymous@assay.invalid', 'anonymous@assay.invalid', 'Anonymous', 'anonymous', 'user',
  '$scrypt$ln=14,r=8,p=5$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 1,
  unixepoch() * 1000, unixepoch() * 1000);

-- No baselines yet, and no rules.
INSERT INTO scoreboard (id, version, rules) VALUES (1, 0, '');
