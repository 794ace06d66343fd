CREATE TABLE `job_tags` (
	`job_id` integer NOT NULL,
	`tag` text NOT NULL,
	`customer_id` integer NOT NULL,
	`user_id` integer NOT NULL,
	`created_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `job_tags_by_tag` ON `job_tags` (`tag`,`created_at`,`job_id`);--> statement-breakpoint
CREATE INDEX `job_tags_by_customer` ON `job_tags` (`customer_id`,`tag`,`created_at`,`job_id`);--> statement-breakpoint
CREATE INDEX `job_tags_by_user` ON `job_tags` (`user_id`,`tag`,`created_at`,`job_id`);--> statement-breakpoint
-- The tags of jobs: first of those there are already, then kept as jobs come, go and come back.
INSERT INTO job_tags (job_id, tag, customer_id, user_id, created_at)
SELECT jobs.id, tags.value, customer_id, user_id, created_at FROM jobs, json_each(jobs.tags) tags WHERE deleted_at IS NULL;
--> statement-breakpoint
CREATE TRIGGER `job_tags_insert` AFTER INSERT ON `jobs` WHEN new.deleted_at IS NULL AND new.tags <> '[]'
BEGIN
  INSERT INTO job_tags (job_id, tag, customer_id, user_id, created_at)
  SELECT new.id, value, new.customer_id, new.user_id, new.created_at FROM json_each(new.tags);
END;
--> statement-breakpoint
CREATE TRIGGER `job_tags_leave` AFTER UPDATE OF deleted_at ON `jobs`
WHEN old.deleted_at IS NULL AND new.deleted_at IS NOT NULL AND old.tags <> '[]'
BEGIN
  DELETE FROM job_tags WHERE user_id = old.user_id AND tag IN (SELECT value FROM json_each(old.tags))
  AND created_at = old.created_at AND job_id = old.id;
END;
--> statement-breakpoint
CREATE TRIGGER `job_tags_enter` AFTER UPDATE OF deleted_at ON `jobs`
WHEN old.deleted_at IS NOT NULL AND new.deleted_at IS NULL AND new.tags <> '[]'
BEGIN
  INSERT INTO job_tags (job_id, tag, customer_id, user_id, created_at)
  SELECT new.id, value, new.customer_id, new.user_id, new.created_at FROM json_each(new.tags);
END;
