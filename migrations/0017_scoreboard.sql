CREATE TABLE `performance_counts` (
	`scope` text NOT NULL,
	`state` text NOT NULL,
	`status` text NOT NULL,
	`jobs` integer NOT NULL,
	PRIMARY KEY(`scope`, `state`, `status`)
);
--> statement-breakpoint
CREATE TABLE `baselines` (
	`model` text NOT NULL,
	`metric` text NOT NULL,
	`version` integer NOT NULL,
	`fleet_median` real,
	`fleet_lower_quartile` real,
	`fleet_upper_quartile` real,
	`fleet_machines` integer,
	`fleet_at` integer,
	`pinned_value` real,
	`pinned_at` integer,
	`pinned_by` text,
	PRIMARY KEY(`model`, `metric`)
);
--> statement-breakpoint
CREATE TABLE `gpu_models` (
	`model` text PRIMARY KEY NOT NULL,
	`machines` integer DEFAULT 0 NOT NULL,
	`changes` integer DEFAULT 0 NOT NULL,
	`computed_changes` integer DEFAULT 0 NOT NULL,
	`computed_at` integer DEFAULT 0 NOT NULL,
	`version` integer DEFAULT 0 NOT NULL,
	`is_stale` integer DEFAULT false NOT NULL
);
--> statement-breakpoint
CREATE INDEX `gpu_models_with_news` ON `gpu_models` (`machines`) WHERE changes <> computed_changes;--> statement-breakpoint
CREATE INDEX `gpu_models_stale` ON `gpu_models` (`model`) WHERE is_stale = 1;--> statement-breakpoint
CREATE TABLE `machine_figures` (
	`model` text NOT NULL,
	`machine_uuid` text NOT NULL,
	`at` integer NOT NULL,
	`task_id` integer NOT NULL,
	`bf16_tflops` real,
	`memory_bandwidth_gbs` real,
	PRIMARY KEY(`model`, `machine_uuid`)
);
--> statement-breakpoint
CREATE INDEX `machine_figures_by_time` ON `machine_figures` (`model`,`at`,`machine_uuid`,`bf16_tflops`,`memory_bandwidth_gbs`);--> statement-breakpoint
CREATE TABLE `scoreboard` (
	`id` integer PRIMARY KEY NOT NULL,
	`version` integer NOT NULL,
	`rules` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `task_figures` (
	`task_id` integer PRIMARY KEY NOT NULL,
	`user_id` integer NOT NULL,
	`machine_uuid` text NOT NULL,
	`model` text NOT NULL,
	`at` integer NOT NULL,
	`bf16_tflops` real,
	`memory_bandwidth_gbs` real,
	`figures` text NOT NULL,
	`rated_version` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `task_figures_by_machine` ON `task_figures` (`user_id`,`machine_uuid`,`model`,`at`,`task_id`);--> statement-breakpoint
CREATE INDEX `task_figures_by_version` ON `task_figures` (`model`,`rated_version`);--> statement-breakpoint
ALTER TABLE `jobs` ADD `performance_status` text;--> statement-breakpoint
ALTER TABLE `jobs` ADD `verdict` text;--> statement-breakpoint
ALTER TABLE `jobs` ADD `baseline_version` integer;--> statement-breakpoint
ALTER TABLE `jobs` ADD `rated_at` integer;--> statement-breakpoint
CREATE INDEX `jobs_rated` ON `jobs` (`id`) WHERE deleted_at is null and performance_status is not null;--> statement-breakpoint
CREATE INDEX `jobs_rated_by_customer` ON `jobs` (`customer_id`) WHERE deleted_at is null and performance_status is not null;--> statement-breakpoint
CREATE INDEX `jobs_rated_by_user` ON `jobs` (`user_id`) WHERE deleted_at is null and performance_status is not null;--> statement-breakpoint
CREATE INDEX `jobs_to_rate` ON `jobs` (`ended_at`) WHERE ended_at is not null and rated_at is null and current_nodes > 0 and deleted_at is null;--> statement-breakpoint
ALTER TABLE `tasks` ADD `performance_status` text;--> statement-breakpoint
ALTER TABLE `tasks` ADD `verdict` text;--> statement-breakpoint
CREATE INDEX `tasks_by_performance` ON `tasks` (`performance_status`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and performance_status is not null;--> statement-breakpoint
CREATE INDEX `tasks_by_customer_performance` ON `tasks` (`customer_id`,`performance_status`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and performance_status is not null;--> statement-breakpoint
CREATE INDEX `tasks_by_user_performance` ON `tasks` (`user_id`,`performance_status`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and performance_status is not null;--> statement-breakpoint
INSERT INTO scoreboard (id, version, rules) VALUES (1, 0, '');
--> statement-breakpoint
-- Counter rows of rated jobs not deleted, per scope, state and outcome: the alert count of any size costs one row.
CREATE TRIGGER `performance_counts_insert` AFTER INSERT ON `jobs`
WHEN new.deleted_at IS NULL AND new.performance_status IS NOT NULL
BEGIN
  INSERT INTO performance_counts (scope, state, status, jobs)
  VALUES ('all', new.state, new.performance_status, 1),
    ('customer:' || new.customer_id, new.state, new.performance_status, 1),
    ('user:' || new.user_id, new.state, new.performance_status, 1)
  ON CONFLICT (scope, state, status) DO UPDATE SET jobs = jobs + 1;
END;
--> statement-breakpoint
CREATE TRIGGER `performance_counts_leave` AFTER UPDATE OF state, deleted_at, performance_status ON `jobs`
WHEN old.deleted_at IS NULL AND old.performance_status IS NOT NULL AND (new.deleted_at IS NOT NULL
  OR new.state <> old.state OR new.performance_status IS NOT old.performance_status)
BEGIN
  UPDATE performance_counts SET jobs = jobs - 1
  WHERE scope IN ('all', 'customer:' || old.customer_id, 'user:' || old.user_id)
  AND state = old.state AND status = old.performance_status;
END;
--> statement-breakpoint
CREATE TRIGGER `performance_counts_enter` AFTER UPDATE OF state, deleted_at, performance_status ON `jobs`
WHEN new.deleted_at IS NULL AND new.performance_status IS NOT NULL AND (old.deleted_at IS NOT NULL
  OR new.state <> old.state OR new.performance_status IS NOT old.performance_status)
BEGIN
  INSERT INTO performance_counts (scope, state, status, jobs)
  VALUES ('all', new.state, new.performance_status, 1),
    ('customer:' || new.customer_id, new.state, new.performance_status, 1),
    ('user:' || new.user_id, new.state, new.performance_status, 1)
  ON CONFLICT (scope, state, status) DO UPDATE SET jobs = jobs + 1;
END;
--> statement-breakpoint
CREATE TRIGGER `performance_counts_delete` AFTER DELETE ON `jobs`
WHEN old.deleted_at IS NULL AND old.performance_status IS NOT NULL
BEGIN
  UPDATE performance_counts SET jobs = jobs - 1
  WHERE scope IN ('all', 'customer:' || old.customer_id, 'user:' || old.user_id)
  AND state = old.state AND status = old.performance_status;
END;
--> statement-breakpoint
-- Figures go with their job, whether it is hidden or gone.
CREATE TRIGGER `task_figures_deleted` AFTER UPDATE OF deleted_at ON `jobs` WHEN new.deleted_at IS NOT NULL
BEGIN
  DELETE FROM task_figures WHERE task_id BETWEEN new.id + 1 AND new.id + 511;
END;
--> statement-breakpoint
CREATE TRIGGER `task_figures_gone` AFTER DELETE ON `tasks`
BEGIN
  DELETE FROM task_figures WHERE task_id = old.id;
END;
--> statement-breakpoint
CREATE TRIGGER `gpu_models_seen` AFTER INSERT ON `task_figures` WHEN new.model <> ''
BEGIN
  INSERT INTO gpu_models (model) VALUES (new.model) ON CONFLICT (model) DO NOTHING;
END;
--> statement-breakpoint
CREATE TRIGGER `gpu_models_machine` AFTER INSERT ON `machine_figures`
BEGIN
  UPDATE gpu_models SET machines = machines + 1, changes = changes + 1 WHERE model = new.model;
END;
--> statement-breakpoint
CREATE TRIGGER `gpu_models_news` AFTER UPDATE ON `machine_figures`
BEGIN
  UPDATE gpu_models SET changes = changes + 1 WHERE model = new.model;
END;
