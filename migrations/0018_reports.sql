CREATE TABLE `reports` (
	`hash` text PRIMARY KEY NOT NULL,
	`job_id` integer NOT NULL,
	`rank` integer,
	`version` integer NOT NULL,
	`file_sha256` text NOT NULL,
	`bytes` integer NOT NULL,
	`status` text NOT NULL,
	`made_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `reports_by_job` ON `reports` (`job_id`,`rank`);--> statement-breakpoint
ALTER TABLE `jobs` ADD `origin` text;--> statement-breakpoint
ALTER TABLE `jobs` ADD `report_hash` text;--> statement-breakpoint
CREATE INDEX `jobs_to_report` ON `jobs` (`ended_at`) WHERE ended_at is not null and report_hash is null and user_id <> 0 and deleted_at is null;--> statement-breakpoint
ALTER TABLE `tasks` ADD `report_hash` text;