-- The time of a job is the one in its id from here on: 8 ids a millisecond from 2024 on, each times 512.
UPDATE jobs SET created_at = 1704067200000 + id / 4096;
--> statement-breakpoint
UPDATE job_tags SET created_at = 1704067200000 + job_id / 4096;
--> statement-breakpoint
DROP INDEX `jobs_by_time`;--> statement-breakpoint
DROP INDEX `jobs_by_customer_time`;--> statement-breakpoint
DROP INDEX `jobs_by_user_time`;--> statement-breakpoint
ALTER TABLE `jobs` ADD `started_order` integer GENERATED ALWAYS AS (coalesce(started_at, 0)) VIRTUAL;--> statement-breakpoint
ALTER TABLE `jobs` ADD `ended_order` integer GENERATED ALWAYS AS (coalesce(ended_at, 0)) VIRTUAL;--> statement-breakpoint
CREATE INDEX `jobs_live` ON `jobs` (`id`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_by_customer` ON `jobs` (`customer_id`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_by_user` ON `jobs` (`user_id`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_by_state` ON `jobs` (`state`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_by_customer_state` ON `jobs` (`customer_id`,`state`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_by_user_state` ON `jobs` (`user_id`,`state`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_ordered_by_state` ON `jobs` (`customer_id`,`state`,`created_at`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_ordered_by_start` ON `jobs` (`customer_id`,`started_order`,`created_at`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_ordered_by_end` ON `jobs` (`customer_id`,`ended_order`,`created_at`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_ordered_by_size` ON `jobs` (`customer_id`,`node_count`,`created_at`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_ordered_by_nodes` ON `jobs` (`customer_id`,`current_nodes`,`created_at`) WHERE deleted_at is null;