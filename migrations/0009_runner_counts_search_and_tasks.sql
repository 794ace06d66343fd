-- Counter rows of runners, in all (name '') and per name: totals of lists without a COUNT (design §3.7).
CREATE TRIGGER `runner_counts_insert` AFTER INSERT ON `runners`
BEGIN
  INSERT INTO runner_counts (name, live, total)
  VALUES ('', new.archived_at IS NULL, 1), (new.name, new.archived_at IS NULL, 1)
  ON CONFLICT (name) DO UPDATE SET live = live + excluded.live, total = total + 1;
END;
--> statement-breakpoint
CREATE TRIGGER `runner_counts_delete` AFTER DELETE ON `runners`
BEGIN
  UPDATE runner_counts SET live = live - (old.archived_at IS NULL), total = total - 1
  WHERE name IN ('', old.name);
  DELETE FROM runner_counts WHERE name = old.name AND total = 0;
END;
--> statement-breakpoint
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
--> statement-breakpoint
-- What `search` looks into. The text of a runner stands in the column of its state, so that a search for
-- live runners never meets archived ones. Control characters, which no name has, part name, slug and UUID:
-- a name between its two marks is found as a whole, however short it is.
CREATE VIRTUAL TABLE `runners_search` USING fts5(live, archived, tokenize = 'trigram', content = '', contentless_delete = 1);
--> statement-breakpoint
CREATE TRIGGER `runners_search_insert` AFTER INSERT ON `runners`
BEGIN
  INSERT INTO runners_search (rowid, live, archived) VALUES (
    new.id,
    iif(new.archived_at IS NULL, char(1) || new.name || char(2) || new.slug || char(3) || new.uuid, NULL),
    iif(new.archived_at IS NULL, NULL, char(1) || new.name || char(2) || new.slug || char(3) || new.uuid)
  );
END;
--> statement-breakpoint
CREATE TRIGGER `runners_search_delete` AFTER DELETE ON `runners`
BEGIN
  DELETE FROM runners_search WHERE rowid = old.id;
END;
--> statement-breakpoint
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

--> statement-breakpoint
-- Only the job's object knows when a runner has joined. It tells D1 with the task's row: from then on the
-- runner's row leads to its task.
CREATE TRIGGER `runners_task` AFTER INSERT ON `tasks`
BEGIN
  UPDATE runners SET task_id = new.id WHERE uuid = new.machine_uuid AND job_id = new.job_id;
END;
