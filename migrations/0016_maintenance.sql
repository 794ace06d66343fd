DROP INDEX `tasks_by_job`;--> statement-breakpoint
CREATE INDEX `tasks_by_job` ON `tasks` (`job_id`,`created_at`,`rank`);--> statement-breakpoint
ALTER TABLE `jobs` ADD `check_at` integer DEFAULT 0;--> statement-breakpoint
ALTER TABLE `jobs` ADD `archived_at` integer;--> statement-breakpoint
-- Before there is an index to keep: who has ended needs no look, who lives gets one in its turn.
UPDATE jobs SET check_at = CASE
  WHEN ended_at IS NOT NULL OR (deleted_at IS NOT NULL AND coordinated = 0) THEN NULL
  WHEN coordinated = 0 THEN expires_at
  ELSE min(expires_at, flushed_at + 600000) END;
--> statement-breakpoint
CREATE INDEX `jobs_to_check` ON `jobs` (`coordinated`,`check_at`,`id`) WHERE check_at is not null;--> statement-breakpoint
CREATE INDEX `jobs_to_archive` ON `jobs` (`ended_at`,`id`) WHERE archived_at is null and ended_at is not null;--> statement-breakpoint
ALTER TABLE `task_results` ADD `archive_offset` integer;--> statement-breakpoint
ALTER TABLE `task_results` ADD `archive_bytes` integer;--> statement-breakpoint
CREATE INDEX `sessions_by_time` ON `sessions` (`expires_at`);--> statement-breakpoint
-- What is removed for good leaves the counter rows and the tags, as what is deleted does. The condition is
-- the one of its rows there: deleted jobs have left already.
CREATE TRIGGER `job_counts_delete` AFTER DELETE ON `jobs` WHEN old.deleted_at IS NULL
BEGIN
  UPDATE job_counts SET jobs = jobs - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, 'user:' || old.user_id);
END;
--> statement-breakpoint
CREATE TRIGGER `job_tags_delete` AFTER DELETE ON `jobs` WHEN old.deleted_at IS NULL AND old.tags <> '[]'
BEGIN
  DELETE FROM job_tags WHERE user_id = old.user_id AND tag IN (SELECT value FROM json_each(old.tags))
  AND created_at = old.created_at AND job_id = old.id;
END;
--> statement-breakpoint
CREATE TRIGGER `task_counts_delete` AFTER DELETE ON `tasks` WHEN old.deleted_at IS NULL
BEGIN
  UPDATE task_counts SET tasks = tasks - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, 'user:' || old.user_id);
END;
