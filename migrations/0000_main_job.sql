CREATE TABLE `customers` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`name` text NOT NULL,
	`slug` text NOT NULL,
	`created_at` integer NOT NULL,
	`modified_at` integer NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `customers_uuid_unique` ON `customers` (`uuid`);--> statement-breakpoint
CREATE UNIQUE INDEX `customers_slug_unique` ON `customers` (`slug`);--> statement-breakpoint
CREATE TABLE `job_counts` (
	`scope` text NOT NULL,
	`state` text NOT NULL,
	`jobs` integer NOT NULL,
	PRIMARY KEY(`scope`, `state`)
);
--> statement-breakpoint
CREATE TABLE `jobs` (
	`id` integer PRIMARY KEY NOT NULL,
	`customer_id` integer NOT NULL,
	`user_id` integer NOT NULL,
	`name` text NOT NULL,
	`description` text,
	`node_count` integer NOT NULL,
	`sequence` text NOT NULL,
	`tags` text NOT NULL,
	`token_key_id` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`deleted_at` integer,
	`coordinated` integer DEFAULT false NOT NULL,
	`version` integer DEFAULT 0 NOT NULL,
	`state` text NOT NULL,
	`current_nodes` integer DEFAULT 0 NOT NULL,
	`started_at` integer,
	`ended_at` integer,
	`steps` text DEFAULT '[]' NOT NULL,
	`events` text DEFAULT '[]' NOT NULL,
	`flushed_at` integer NOT NULL,
	FOREIGN KEY (`customer_id`) REFERENCES `customers`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `jobs_live_name` ON `jobs` (`customer_id`,`name`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_by_time` ON `jobs` (`created_at`,`id`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_by_customer_time` ON `jobs` (`customer_id`,`created_at`,`id`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `jobs_by_user_time` ON `jobs` (`user_id`,`created_at`,`id`) WHERE deleted_at is null;--> statement-breakpoint
CREATE TABLE `task_results` (
	`task_id` integer NOT NULL,
	`position` integer NOT NULL,
	`results` text NOT NULL,
	PRIMARY KEY(`task_id`, `position`)
);
--> statement-breakpoint
CREATE TABLE `tasks` (
	`id` integer PRIMARY KEY NOT NULL,
	`job_id` integer NOT NULL,
	`rank` integer NOT NULL,
	`version` integer NOT NULL,
	`machine_uuid` text NOT NULL,
	`machine_ip` text,
	`cluster_address` text,
	`gpu_model` text,
	`gpu_count` integer,
	`inventory` text,
	`state` text NOT NULL,
	`failed_message` text,
	`steps` text NOT NULL,
	`progress` real DEFAULT 0 NOT NULL,
	`message` text,
	`created_at` integer NOT NULL,
	`started_at` integer,
	`ended_at` integer,
	FOREIGN KEY (`job_id`) REFERENCES `jobs`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE TABLE `users` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`customer_id` integer NOT NULL,
	`email` text NOT NULL,
	`name` text NOT NULL,
	`slug` text NOT NULL,
	`role` text NOT NULL,
	`password_hash` text NOT NULL,
	`locked` integer DEFAULT false NOT NULL,
	`created_at` integer NOT NULL,
	`modified_at` integer NOT NULL,
	FOREIGN KEY (`customer_id`) REFERENCES `customers`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `users_uuid_unique` ON `users` (`uuid`);--> statement-breakpoint
CREATE UNIQUE INDEX `users_slug_unique` ON `users` (`slug`);--> statement-breakpoint
CREATE UNIQUE INDEX `users_email` ON `users` (lower("email"));