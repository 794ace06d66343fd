CREATE TABLE `api_tokens` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`user_id` integer NOT NULL,
	`name` text NOT NULL,
	`key_id` text NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer,
	`last_used_at` integer,
	`revoked_at` integer,
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `api_tokens_uuid_unique` ON `api_tokens` (`uuid`);--> statement-breakpoint
CREATE INDEX `api_tokens_by_name` ON `api_tokens` (`user_id`,`name`,`created_at`,`uuid`) WHERE revoked_at is null;--> statement-breakpoint
CREATE INDEX `api_tokens_by_time` ON `api_tokens` (`user_id`,`created_at`,`uuid`) WHERE revoked_at is null;--> statement-breakpoint
CREATE TABLE `audit_events` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`at` integer NOT NULL,
	`action` text NOT NULL,
	`actor_kind` text NOT NULL,
	`actor` text,
	`subject_kind` text,
	`subject` text,
	`customer_id` integer,
	`request_id` text NOT NULL,
	`address` text,
	`details` text DEFAULT '{}' NOT NULL
);
--> statement-breakpoint
CREATE INDEX `audit_events_by_customer` ON `audit_events` (`customer_id`,`id`);--> statement-breakpoint
CREATE INDEX `audit_events_by_actor` ON `audit_events` (`actor`,`action`,`at`);--> statement-breakpoint
CREATE TABLE `sessions` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`user_id` integer NOT NULL,
	`generation` integer DEFAULT 1 NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE no action
);
--> statement-breakpoint
CREATE UNIQUE INDEX `sessions_uuid_unique` ON `sessions` (`uuid`);--> statement-breakpoint
CREATE INDEX `sessions_by_user` ON `sessions` (`user_id`,`expires_at`);--> statement-breakpoint
CREATE TABLE `sign_in_failures` (
	`account` text PRIMARY KEY NOT NULL,
	`failures` integer NOT NULL,
	`retry_at` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `sign_in_failures_by_time` ON `sign_in_failures` (`retry_at`);--> statement-breakpoint
DROP INDEX `users_email`;--> statement-breakpoint
ALTER TABLE `users` ADD `version` integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE `users` ADD `password_changed_at` integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE `users` ADD `deleted_at` integer;--> statement-breakpoint
CREATE INDEX `users_by_name` ON `users` (`name`,`created_at`,`uuid`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `users_by_time` ON `users` (`created_at`,`uuid`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `users_by_customer_name` ON `users` (`customer_id`,`name`,`created_at`,`uuid`) WHERE deleted_at is null;--> statement-breakpoint
CREATE INDEX `users_by_customer_time` ON `users` (`customer_id`,`created_at`,`uuid`) WHERE deleted_at is null;--> statement-breakpoint
CREATE UNIQUE INDEX `users_email` ON `users` (lower("email")) WHERE deleted_at is null;--> statement-breakpoint
ALTER TABLE `customers` ADD `version` integer DEFAULT 1 NOT NULL;--> statement-breakpoint
CREATE INDEX `customers_by_name` ON `customers` (`name`,`created_at`,`uuid`);--> statement-breakpoint
CREATE INDEX `customers_by_time` ON `customers` (`created_at`,`uuid`);