CREATE TABLE `spec_counts` (
	`name` text PRIMARY KEY NOT NULL,
	`live` integer NOT NULL,
	`total` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `specs` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`name` text NOT NULL,
	`slug` text NOT NULL,
	`os` text NOT NULL,
	`architecture` text NOT NULL,
	`cpu` integer NOT NULL,
	`memory` integer NOT NULL,
	`disk` integer NOT NULL,
	`network` integer NOT NULL,
	`created_at` integer NOT NULL,
	`modified_at` integer NOT NULL,
	`archived_at` integer,
	`version` integer DEFAULT 1 NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `specs_uuid_unique` ON `specs` (`uuid`);--> statement-breakpoint
CREATE UNIQUE INDEX `specs_slug_unique` ON `specs` (`slug`);--> statement-breakpoint
CREATE INDEX `specs_by_name` ON `specs` (`name`,`created_at`,`uuid`);--> statement-breakpoint
CREATE INDEX `specs_by_time` ON `specs` (`created_at`,`uuid`);--> statement-breakpoint
CREATE INDEX `specs_live_by_name` ON `specs` (`name`,`created_at`,`uuid`) WHERE archived_at is null;--> statement-breakpoint
CREATE INDEX `specs_live_by_time` ON `specs` (`created_at`,`uuid`) WHERE archived_at is null;--> statement-breakpoint
ALTER TABLE `jobs` ADD `spec_uuid` text REFERENCES specs(uuid);--> statement-breakpoint
CREATE INDEX `jobs_by_spec` ON `jobs` (`spec_uuid`) WHERE spec_uuid is not null;