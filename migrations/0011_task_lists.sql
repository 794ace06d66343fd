CREATE TABLE `task_counts` (
	`scope` text NOT NULL,
	`state` text NOT NULL,
	`tasks` integer NOT NULL,
	PRIMARY KEY(`scope`, `state`)
);
--> statement-breakpoint
ALTER TABLE `tasks` ADD `customer_id` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `tasks` ADD `user_id` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `tasks` ADD `deleted_at` integer;--> statement-breakpoint
-- Whose the tasks are that there are already, before there is an index to keep.
UPDATE tasks SET (customer_id, user_id, deleted_at) =
  (SELECT customer_id, user_id, deleted_at FROM jobs WHERE jobs.id = tasks.job_id);
--> statement-breakpoint
CREATE INDEX `tasks_by_job` ON `tasks` (`job_id`,`created_at`,`rank`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `tasks_by_time` ON `tasks` (`created_at`,`job_id`,`rank`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `tasks_by_customer` ON `tasks` (`customer_id`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `tasks_by_user` ON `tasks` (`user_id`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `tasks_by_state` ON `tasks` (`state`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `tasks_by_customer_state` ON `tasks` (`customer_id`,`state`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `tasks_by_user_state` ON `tasks` (`user_id`,`state`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `tasks_by_machine` ON `tasks` (`machine_uuid`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `tasks_by_customer_machine` ON `tasks` (`customer_id`,`machine_uuid`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `tasks_by_user_machine` ON `tasks` (`user_id`,`machine_uuid`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `tasks_by_ip` ON `tasks` (`machine_ip`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and machine_ip is not null;--> statement-breakpoint
CREATE INDEX `tasks_by_customer_ip` ON `tasks` (`customer_id`,`machine_ip`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and machine_ip is not null;--> statement-breakpoint
CREATE INDEX `tasks_by_user_ip` ON `tasks` (`user_id`,`machine_ip`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and machine_ip is not null;--> statement-breakpoint
-- Counter rows of tasks not deleted, per scope and state, as those of jobs: first what there is already.
INSERT INTO task_counts (scope, state, tasks) SELECT 'all', state, count(*) FROM tasks WHERE deleted_at IS NULL GROUP BY state;
--> statement-breakpoint
INSERT INTO task_counts (scope, state, tasks) SELECT 'customer:' || customer_id, state, count(*) FROM tasks WHERE deleted_at IS NULL GROUP BY customer_id, state;
--> statement-breakpoint
INSERT INTO task_counts (scope, state, tasks) SELECT 'user:' || user_id, state, count(*) FROM tasks WHERE deleted_at IS NULL GROUP BY user_id, state;
--> statement-breakpoint
CREATE TRIGGER `task_counts_insert` AFTER INSERT ON `tasks` WHEN new.deleted_at IS NULL
BEGIN
  INSERT INTO task_counts (scope, state, tasks)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), ('user:' || new.user_id, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET tasks = tasks + 1;
END;
--> statement-breakpoint
CREATE TRIGGER `task_counts_leave` AFTER UPDATE OF state, deleted_at ON `tasks`
WHEN old.deleted_at IS NULL AND (new.deleted_at IS NOT NULL OR new.state <> old.state)
BEGIN
  UPDATE task_counts SET tasks = tasks - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, 'user:' || old.user_id);
END;
--> statement-breakpoint
CREATE TRIGGER `task_counts_enter` AFTER UPDATE OF state, deleted_at ON `tasks`
WHEN new.deleted_at IS NULL AND (old.deleted_at IS NOT NULL OR new.state <> old.state)
BEGIN
  INSERT INTO task_counts (scope, state, tasks)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), ('user:' || new.user_id, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET tasks = tasks + 1;
END;
--> statement-breakpoint
-- A job is deleted with its tasks: their ids are the 511 after its own.
CREATE TRIGGER `tasks_deleted` AFTER UPDATE OF deleted_at ON `jobs`
WHEN (new.deleted_at IS NULL) <> (old.deleted_at IS NULL)
BEGIN
  UPDATE tasks SET deleted_at = new.deleted_at WHERE id BETWEEN new.id + 1 AND new.id + 511 AND job_id = new.id;
END;
