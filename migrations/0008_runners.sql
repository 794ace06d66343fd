CREATE TABLE `runner_counts` (
	`name` text PRIMARY KEY NOT NULL,
	`live` integer NOT NULL,
	`total` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `runner_specs` (
	`runner_id` integer NOT NULL,
	`spec_uuid` text NOT NULL,
	PRIMARY KEY(`runner_id`, `spec_uuid`),
	FOREIGN KEY (`runner_id`) REFERENCES `runners`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`spec_uuid`) REFERENCES `specs`(`uuid`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE INDEX `runner_specs_by_spec` ON `runner_specs` (`spec_uuid`,`runner_id`);--> statement-breakpoint
CREATE TABLE `runners` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`name` text NOT NULL,
	`slug` text NOT NULL,
	`key_hash` text NOT NULL,
	`created_at` integer NOT NULL,
	`modified_at` integer NOT NULL,
	`archived_at` integer,
	`version` integer DEFAULT 1 NOT NULL,
	`last_heartbeat_at` integer,
	`job_id` integer,
	`task_id` integer,
	`claimed_at` integer
);
--> statement-breakpoint
CREATE UNIQUE INDEX `runners_uuid_unique` ON `runners` (`uuid`);--> statement-breakpoint
CREATE UNIQUE INDEX `runners_slug_unique` ON `runners` (`slug`);--> statement-breakpoint
CREATE INDEX `runners_by_name` ON `runners` (`name`,`created_at`,`uuid`);--> statement-breakpoint
CREATE INDEX `runners_by_time` ON `runners` (`created_at`,`uuid`);--> statement-breakpoint
CREATE INDEX `runners_live_by_name` ON `runners` (`name`,`created_at`,`uuid`) WHERE archived_at is null;--> statement-breakpoint
CREATE INDEX `runners_live_by_time` ON `runners` (`created_at`,`uuid`) WHERE archived_at is null;--> statement-breakpoint
CREATE INDEX `jobs_open_by_spec` ON `jobs` (`spec_uuid`,`created_at`,`id`) WHERE spec_uuid is not null and deleted_at is null and state in ('created', 'starting');