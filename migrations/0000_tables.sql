CREATE TABLE `idempotency_keys` (
	`scope` text NOT NULL,
	`key` text NOT NULL,
	`fingerprint` text NOT NULL,
	`facts` text NOT NULL,
	`created_at` integer NOT NULL,
	PRIMARY KEY(`scope`, `key`)
);

CREATE TABLE `api_tokens` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`user_id` integer NOT NULL,
	`name` text NOT NULL,
	`scope` text DEFAULT 'write' NOT NULL,
	`key_id` text,
	`key_hash` text,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	`last_used_at` integer,
	`revoked_at` integer,
	`version` integer DEFAULT 1 NOT NULL,
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE UNIQUE INDEX `api_tokens_uuid_unique` ON `api_tokens` (`uuid`);
CREATE UNIQUE INDEX `api_tokens_key_hash_unique` ON `api_tokens` (`key_hash`);
CREATE INDEX `api_tokens_by_name` ON `api_tokens` (`user_id`,`name`,`created_at`,`uuid`) WHERE revoked_at is null;
CREATE INDEX `api_tokens_by_time` ON `api_tokens` (`user_id`,`created_at`,`uuid`) WHERE revoked_at is null;
CREATE INDEX `api_tokens_revoked` ON `api_tokens` (`user_id`,`revoked_at`) WHERE revoked_at is not null;
CREATE INDEX `api_tokens_by_revocation` ON `api_tokens` (`revoked_at`) WHERE revoked_at is not null;
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

CREATE INDEX `audit_events_by_customer` ON `audit_events` (`customer_id`,`id`);
CREATE INDEX `audit_events_by_actor` ON `audit_events` (`actor`,`action`,`at`);
CREATE INDEX `audit_events_by_subject` ON `audit_events` (`subject`,`id`);
CREATE INDEX `audit_events_by_action` ON `audit_events` (`action`,`id`);
CREATE TABLE `customers` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`name` text NOT NULL,
	`slug` text NOT NULL,
	`created_at` integer NOT NULL,
	`modified_at` integer NOT NULL,
	`version` integer DEFAULT 1 NOT NULL
);

CREATE UNIQUE INDEX `customers_uuid_unique` ON `customers` (`uuid`);
CREATE UNIQUE INDEX `customers_slug_unique` ON `customers` (`slug`);
CREATE INDEX `customers_by_name` ON `customers` (`name`,`slug`);
CREATE INDEX `customers_by_name_time` ON `customers` (`name`,`created_at`,`uuid`);
CREATE INDEX `customers_by_time` ON `customers` (`created_at`,`uuid`);
CREATE TABLE `known_addresses` (
	`user_id` integer NOT NULL,
	`address` text NOT NULL,
	`signed_in_at` integer NOT NULL,
	PRIMARY KEY(`user_id`, `address`),
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE TABLE `list_counts` (
	`list` text PRIMARY KEY NOT NULL,
	`items` integer NOT NULL
);

CREATE TABLE `sessions` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`user_id` integer NOT NULL,
	`generation` integer DEFAULT 1 NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL,
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE UNIQUE INDEX `sessions_uuid_unique` ON `sessions` (`uuid`);
CREATE INDEX `sessions_by_user` ON `sessions` (`user_id`,`expires_at`);
CREATE INDEX `sessions_by_time` ON `sessions` (`expires_at`);
CREATE TABLE `sign_in_failures` (
	`account` text NOT NULL,
	`network` text NOT NULL,
	`failures` integer NOT NULL,
	`retry_at` integer NOT NULL,
	PRIMARY KEY(`account`, `network`)
);

CREATE INDEX `sign_in_failures_by_time` ON `sign_in_failures` (`retry_at`);
CREATE TABLE `users` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`customer_id` integer NOT NULL,
	`email` text NOT NULL,
	`email_folded` text NOT NULL,
	`name` text NOT NULL,
	`slug` text NOT NULL,
	`role` text NOT NULL,
	`password_hash` text NOT NULL,
	`locked` integer DEFAULT false NOT NULL,
	`created_at` integer NOT NULL,
	`modified_at` integer NOT NULL,
	`version` integer DEFAULT 1 NOT NULL,
	`password_changed_at` integer DEFAULT 0 NOT NULL,
	`deleted_at` integer,
	FOREIGN KEY (`customer_id`) REFERENCES `customers`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE UNIQUE INDEX `users_uuid_unique` ON `users` (`uuid`);
CREATE UNIQUE INDEX `users_slug_unique` ON `users` (`slug`);
CREATE UNIQUE INDEX `users_email` ON `users` (`email_folded`) WHERE deleted_at is null;
CREATE INDEX `users_by_name` ON `users` (`name`,`slug`) WHERE deleted_at is null;
CREATE INDEX `users_by_name_time` ON `users` (`name`,`created_at`,`uuid`) WHERE deleted_at is null;
CREATE INDEX `users_by_time` ON `users` (`created_at`,`uuid`) WHERE deleted_at is null;
CREATE INDEX `users_by_customer_name` ON `users` (`customer_id`,`name`,`slug`) WHERE deleted_at is null;
CREATE INDEX `users_by_customer_name_time` ON `users` (`customer_id`,`name`,`created_at`,`uuid`) WHERE deleted_at is null;
CREATE INDEX `users_by_customer_time` ON `users` (`customer_id`,`created_at`,`uuid`) WHERE deleted_at is null;
CREATE INDEX `users_root_admins` ON `users` (`id`) WHERE role = 'root_admin' and locked = 0 and deleted_at is null;
CREATE TABLE `customer_usage` (
	`customer_id` integer PRIMARY KEY NOT NULL,
	`day` integer DEFAULT 0 NOT NULL,
	`jobs` integer DEFAULT 0 NOT NULL,
	`bytes` integer DEFAULT 0 NOT NULL,
	`is_closed` integer DEFAULT false NOT NULL
);

CREATE TABLE `finding_counts` (
	`scope` text NOT NULL,
	`state` text NOT NULL,
	`jobs` integer DEFAULT 0 NOT NULL,
	`tasks` integer DEFAULT 0 NOT NULL,
	PRIMARY KEY(`scope`, `state`)
);

CREATE TABLE `job_counts` (
	`scope` text NOT NULL,
	`state` text NOT NULL,
	`jobs` integer NOT NULL,
	PRIMARY KEY(`scope`, `state`)
);

CREATE TABLE `job_tags` (
	`job_id` integer NOT NULL,
	`tag` text NOT NULL,
	`customer_id` integer NOT NULL,
	`user_id` integer NOT NULL,
	`owner` text GENERATED ALWAYS AS ('user:' || user_id || ':' || customer_id) VIRTUAL,
	`created_at` integer NOT NULL
);

CREATE INDEX `job_tags_by_tag` ON `job_tags` (`tag`,`created_at`,`job_id`);
CREATE INDEX `job_tags_by_customer` ON `job_tags` (`customer_id`,`tag`,`created_at`,`job_id`);
CREATE INDEX `job_tags_by_owner` ON `job_tags` (`owner`,`tag`,`created_at`,`job_id`);
CREATE TABLE `jobs` (
	`id` integer PRIMARY KEY NOT NULL,
	`customer_id` integer NOT NULL,
	`user_id` integer NOT NULL,
	`owner` text GENERATED ALWAYS AS ('user:' || user_id || ':' || customer_id) VIRTUAL,
	`name` text NOT NULL,
	`description` text,
	`node_count` integer NOT NULL,
	`sequence` text NOT NULL,
	`tags` text NOT NULL,
	`provider` text,
	`region` text,
	`order_reference` text,
	`folded_origins` text,
	`paper` text DEFAULT 'a4' NOT NULL,
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
	`started_order` integer GENERATED ALWAYS AS (coalesce(started_at, 0)) VIRTUAL,
	`ended_order` integer GENERATED ALWAYS AS (coalesce(ended_at, 0)) VIRTUAL,
	`steps` text DEFAULT '[]' NOT NULL,
	`events` text DEFAULT '[]' NOT NULL,
	`flushed_at` integer NOT NULL,
	`spec_uuid` text,
	`expected_spec_uuid` text,
	`spec_check` text,
	`gang` text,
	`gang_size` integer GENERATED ALWAYS AS (case gang when 'waiting' then node_count else 0 end) VIRTUAL,
	`reserved_at` integer,
	`held_since` integer,
	`origin` text,
	`report_hash` blob,
	`report_attempts` integer DEFAULT 0 NOT NULL,
	`report_error` text,
	`check_at` integer DEFAULT 0,
	`body_bytes` integer,
	`performance_status` text,
	`verdict` text,
	`baseline_version` integer,
	`rated_at` integer,
	`finding_count` integer,
	FOREIGN KEY (`customer_id`) REFERENCES `customers`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`user_id`) REFERENCES `users`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`spec_uuid`) REFERENCES `specs`(`uuid`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`expected_spec_uuid`) REFERENCES `specs`(`uuid`) ON UPDATE no action ON DELETE no action
);

CREATE UNIQUE INDEX `jobs_live_name` ON `jobs` (`customer_id`,`name`) WHERE deleted_at is null;
CREATE INDEX `jobs_live` ON `jobs` (`id`) WHERE deleted_at is null;
CREATE INDEX `jobs_by_customer` ON `jobs` (`customer_id`) WHERE deleted_at is null;
CREATE INDEX `jobs_by_owner` ON `jobs` (`owner`) WHERE deleted_at is null;
CREATE INDEX `jobs_by_state` ON `jobs` (`state`) WHERE deleted_at is null;
CREATE INDEX `jobs_by_customer_state` ON `jobs` (`customer_id`,`state`) WHERE deleted_at is null;
CREATE INDEX `jobs_by_owner_state` ON `jobs` (`owner`,`state`) WHERE deleted_at is null;
CREATE INDEX `jobs_ordered_by_state` ON `jobs` (`customer_id`,`state`,`created_at`) WHERE deleted_at is null;
CREATE INDEX `jobs_ordered_by_start` ON `jobs` (`customer_id`,`started_order`,`created_at`) WHERE deleted_at is null;
CREATE INDEX `jobs_ordered_by_end` ON `jobs` (`customer_id`,`ended_order`,`created_at`) WHERE deleted_at is null;
CREATE INDEX `jobs_ordered_by_size` ON `jobs` (`customer_id`,`node_count`,`created_at`) WHERE deleted_at is null;
CREATE INDEX `jobs_ordered_by_nodes` ON `jobs` (`customer_id`,`current_nodes`,`created_at`) WHERE deleted_at is null;
CREATE INDEX `jobs_by_spec` ON `jobs` (`spec_uuid`) WHERE spec_uuid is not null;
CREATE INDEX `jobs_by_expected_spec` ON `jobs` (`expected_spec_uuid`) WHERE expected_spec_uuid is not null;
CREATE INDEX `jobs_to_clear` ON `jobs` (`deleted_at`) WHERE deleted_at is not null and (report_hash is not null or body_bytes > 0);
CREATE INDEX `jobs_to_report` ON `jobs` (`ended_at`) WHERE ended_at is not null and report_hash is null and report_error is null and user_id <> 0 and deleted_at is null;
CREATE INDEX `jobs_open_by_spec` ON `jobs` (`spec_uuid`,`customer_id`,`gang_size`,`created_at`,`id`) WHERE spec_uuid is not null and deleted_at is null and state in ('created', 'starting');
CREATE INDEX `jobs_held` ON `jobs` (`spec_uuid`,`customer_id`,`held_since`) WHERE held_since is not null;
CREATE INDEX `jobs_reserved` ON `jobs` (`spec_uuid`,`customer_id`,`reserved_at`) WHERE reserved_at is not null and gang = 'waiting';
CREATE INDEX `jobs_to_check` ON `jobs` (`coordinated`,`check_at`,`id`) WHERE check_at is not null;
CREATE INDEX `jobs_rated` ON `jobs` (`id`) WHERE deleted_at is null and performance_status is not null;
CREATE INDEX `jobs_rated_by_customer` ON `jobs` (`customer_id`) WHERE deleted_at is null and performance_status is not null;
CREATE INDEX `jobs_rated_by_owner` ON `jobs` (`owner`) WHERE deleted_at is null and performance_status is not null;
CREATE INDEX `jobs_checked` ON `jobs` (`spec_check`) WHERE deleted_at is null and spec_check is not null;
CREATE INDEX `jobs_checked_by_customer` ON `jobs` (`customer_id`,`spec_check`) WHERE deleted_at is null and spec_check is not null;
CREATE INDEX `jobs_checked_by_owner` ON `jobs` (`owner`,`spec_check`) WHERE deleted_at is null and spec_check is not null;
CREATE INDEX `jobs_with_findings` ON `jobs` (`id`) WHERE deleted_at is null and finding_count > 0;
CREATE INDEX `jobs_with_findings_by_customer` ON `jobs` (`customer_id`) WHERE deleted_at is null and finding_count > 0;
CREATE INDEX `jobs_with_findings_by_owner` ON `jobs` (`owner`) WHERE deleted_at is null and finding_count > 0;
CREATE INDEX `jobs_to_rate` ON `jobs` (`ended_at`) WHERE ended_at is not null and rated_at is null and current_nodes > 0 and deleted_at is null;
CREATE TABLE `performance_counts` (
	`scope` text NOT NULL,
	`state` text NOT NULL,
	`status` text NOT NULL,
	`jobs` integer NOT NULL,
	PRIMARY KEY(`scope`, `state`, `status`)
);

CREATE TABLE `lobbies` (
	`id` integer PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`renewed_at` integer NOT NULL
);

CREATE UNIQUE INDEX `lobbies_name_unique` ON `lobbies` (`name`);
CREATE TABLE `lobby_specs` (
	`spec_uuid` text NOT NULL,
	`lobby_id` integer NOT NULL,
	PRIMARY KEY(`spec_uuid`, `lobby_id`)
);

CREATE TABLE `machine_counts` (
	`label` text PRIMARY KEY NOT NULL,
	`machines` integer NOT NULL
);

CREATE TABLE `machines` (
	`id` integer PRIMARY KEY NOT NULL,
	`scope` text NOT NULL,
	`machine_uuid` text NOT NULL,
	`jobs` integer NOT NULL,
	`last_task_id` integer NOT NULL,
	`last_job_id` integer NOT NULL,
	`last_seen_at` integer NOT NULL,
	`host_name` text,
	`gpu_models` text,
	`provider` text,
	`region` text,
	`status` text,
	`finding_count` integer,
	`is_replayed` integer,
	`spec_check` text,
	`labels` text NOT NULL
);

CREATE UNIQUE INDEX `machines_by_uuid` ON `machines` (`scope`,`machine_uuid`);
CREATE TABLE `report_keys` (
	`id` integer PRIMARY KEY NOT NULL,
	`kid` text NOT NULL,
	`jwk` text NOT NULL,
	`created_at` integer NOT NULL,
	`retired_at` integer
);

CREATE UNIQUE INDEX `report_keys_kid_unique` ON `report_keys` (`kid`);
CREATE TABLE `reports` (
	`hash` blob PRIMARY KEY NOT NULL,
	`job_id` integer NOT NULL,
	`rank` integer,
	`version` integer NOT NULL,
	`file_sha256` blob NOT NULL,
	`bytes` integer NOT NULL,
	`status` text NOT NULL,
	`made_at` integer NOT NULL,
	`is_replayed` integer DEFAULT false NOT NULL,
	`key_id` integer,
	`data_offset` integer DEFAULT 0 NOT NULL,
	`data_bytes` integer DEFAULT 0 NOT NULL
);

CREATE INDEX `reports_by_job` ON `reports` (`job_id`,`rank`);
CREATE TABLE `runner_counts` (
	`name` text PRIMARY KEY NOT NULL,
	`live` integer NOT NULL,
	`total` integer NOT NULL
);

CREATE TABLE `runner_specs` (
	`runner_id` integer NOT NULL,
	`spec_uuid` text NOT NULL,
	`spec_check` text,
	`checked_task_id` integer,
	PRIMARY KEY(`runner_id`, `spec_uuid`),
	FOREIGN KEY (`runner_id`) REFERENCES `runners`(`id`) ON UPDATE no action ON DELETE no action,
	FOREIGN KEY (`spec_uuid`) REFERENCES `specs`(`uuid`) ON UPDATE no action ON DELETE no action
);

CREATE INDEX `runner_specs_by_spec` ON `runner_specs` (`spec_uuid`,`runner_id`);
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
	`claimed_at` integer,
	`asked_at` integer,
	`lobby_id` integer
);

CREATE UNIQUE INDEX `runners_uuid_unique` ON `runners` (`uuid`);
CREATE UNIQUE INDEX `runners_slug_unique` ON `runners` (`slug`);
CREATE INDEX `runners_by_name` ON `runners` (`name`,`slug`);
CREATE INDEX `runners_by_name_time` ON `runners` (`name`,`created_at`,`uuid`);
CREATE INDEX `runners_by_time` ON `runners` (`created_at`,`uuid`);
CREATE INDEX `runners_live_by_name` ON `runners` (`name`,`slug`) WHERE archived_at is null;
CREATE INDEX `runners_live_by_name_time` ON `runners` (`name`,`created_at`,`uuid`) WHERE archived_at is null;
CREATE INDEX `runners_live_by_time` ON `runners` (`created_at`,`uuid`) WHERE archived_at is null;
CREATE INDEX `runners_of_gang` ON `runners` (`job_id`) WHERE asked_at is not null;
CREATE TABLE `baselines` (
	`model` text NOT NULL,
	`metric` text NOT NULL,
	`class` text NOT NULL,
	`version` integer NOT NULL,
	`fleet_median` real,
	`fleet_machines` integer,
	`fleet_at` integer,
	`fleet_customers` integer,
	`fleet_spread` text,
	`pinned_value` real,
	`pinned_at` integer,
	`pinned_by` text,
	PRIMARY KEY(`model`, `metric`, `class`)
);

CREATE TABLE `customer_fleets` (
	`model` text NOT NULL,
	`customer_id` integer NOT NULL,
	`class` text NOT NULL,
	`machines` integer DEFAULT 0 NOT NULL,
	`changes` integer DEFAULT 0 NOT NULL,
	`computed_changes` integer DEFAULT 0 NOT NULL,
	`computed_at` integer DEFAULT 0 NOT NULL,
	`bf16_median` real,
	`bf16_machines` integer DEFAULT 0 NOT NULL,
	`memory_median` real,
	`memory_machines` integer DEFAULT 0 NOT NULL,
	`bf16_spread` text,
	`memory_spread` text,
	PRIMARY KEY(`model`, `customer_id`, `class`)
);

CREATE INDEX `customer_fleets_with_news` ON `customer_fleets` (`computed_at`) WHERE changes <> computed_changes and machines >= 3;
CREATE TABLE `gpu_models` (
	`model` text PRIMARY KEY NOT NULL,
	`version` integer DEFAULT 0 NOT NULL,
	`is_stale` integer DEFAULT false NOT NULL
);

CREATE INDEX `gpu_models_stale` ON `gpu_models` (`model`) WHERE is_stale = 1;
CREATE TABLE `machine_figures` (
	`model` text NOT NULL,
	`customer_id` integer NOT NULL,
	`machine_uuid` text NOT NULL,
	`class` text NOT NULL,
	`at` integer NOT NULL,
	`task_id` integer NOT NULL,
	`bf16_tflops` real,
	`memory_bandwidth_gbs` real,
	PRIMARY KEY(`model`, `customer_id`, `machine_uuid`, `class`)
);

CREATE INDEX `machine_figures_by_time` ON `machine_figures` (`model`,`customer_id`,`class`,`at`,`bf16_tflops`,`memory_bandwidth_gbs`);
CREATE TABLE `scoreboard` (
	`id` integer PRIMARY KEY NOT NULL,
	`version` integer NOT NULL,
	`rules` text NOT NULL
);

CREATE TABLE `task_figures` (
	`task_id` integer PRIMARY KEY NOT NULL,
	`user_id` integer NOT NULL,
	`customer_id` integer NOT NULL,
	`machine_uuid` text NOT NULL,
	`model` text NOT NULL,
	`at` integer NOT NULL,
	`bf16_tflops` real,
	`memory_bandwidth_gbs` real,
	`fleets` text NOT NULL,
	`parts` text,
	`methods` text,
	`bf16_class` text,
	`memory_class` text,
	`rated_version` integer NOT NULL
);

CREATE INDEX `task_figures_by_machine` ON `task_figures` (`user_id`,`customer_id`,`machine_uuid`,`model`,`at`,`task_id`) WHERE coalesce(bf16_tflops, memory_bandwidth_gbs, parts) is not null;
CREATE INDEX `task_figures_by_version` ON `task_figures` (`model`,`rated_version`);
CREATE TABLE `job_shares` (
	`id` integer PRIMARY KEY NOT NULL,
	`uuid` text NOT NULL,
	`job_id` integer NOT NULL,
	`token_hash` text NOT NULL,
	`user_id` integer NOT NULL,
	`created_at` integer NOT NULL,
	`expires_at` integer NOT NULL
);

CREATE UNIQUE INDEX `job_shares_uuid_unique` ON `job_shares` (`uuid`);
CREATE UNIQUE INDEX `job_shares_token_hash_unique` ON `job_shares` (`token_hash`);
CREATE INDEX `job_shares_by_job` ON `job_shares` (`job_id`);
CREATE TABLE `spec_counts` (
	`name` text PRIMARY KEY NOT NULL,
	`live` integer NOT NULL,
	`total` integer NOT NULL
);

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

CREATE UNIQUE INDEX `specs_uuid_unique` ON `specs` (`uuid`);
CREATE UNIQUE INDEX `specs_slug_unique` ON `specs` (`slug`);
CREATE INDEX `specs_by_name` ON `specs` (`name`,`slug`);
CREATE INDEX `specs_by_name_time` ON `specs` (`name`,`created_at`,`uuid`);
CREATE INDEX `specs_by_time` ON `specs` (`created_at`,`uuid`);
CREATE INDEX `specs_live_by_name` ON `specs` (`name`,`slug`) WHERE archived_at is null;
CREATE INDEX `specs_live_by_name_time` ON `specs` (`name`,`created_at`,`uuid`) WHERE archived_at is null;
CREATE INDEX `specs_live_by_time` ON `specs` (`created_at`,`uuid`) WHERE archived_at is null;
CREATE TABLE `task_counts` (
	`scope` text NOT NULL,
	`state` text NOT NULL,
	`tasks` integer NOT NULL,
	PRIMARY KEY(`scope`, `state`)
);

CREATE TABLE `tasks` (
	`id` integer PRIMARY KEY NOT NULL,
	`job_id` integer NOT NULL,
	`rank` integer NOT NULL,
	`version` integer NOT NULL,
	`machine_uuid` text NOT NULL,
	`host_name` text,
	`machine_ip` text,
	`cluster_address` text,
	`gpu_model` text,
	`gpu_count` integer,
	`gpu_models` text,
	`models` text,
	`bodies` text DEFAULT '[]' NOT NULL,
	`body_offset` integer,
	`figures` text,
	`implausible` text,
	`spec_check` text,
	`spec_status` text GENERATED ALWAYS AS (spec_check ->> '$.status') VIRTUAL,
	`state` text NOT NULL,
	`failed_message` text,
	`steps` text NOT NULL,
	`progress` real DEFAULT 0 NOT NULL,
	`message` text,
	`clock_skew_ms` integer,
	`created_at` integer NOT NULL,
	`started_at` integer,
	`ended_at` integer,
	`customer_id` integer DEFAULT 0 NOT NULL,
	`user_id` integer DEFAULT 0 NOT NULL,
	`owner` text GENERATED ALWAYS AS ('user:' || user_id || ':' || customer_id) VIRTUAL,
	`deleted_at` integer,
	`report_hash` blob,
	`report_error` text,
	`performance_status` text,
	`verdict` text,
	`finding_count` integer,
	`is_replayed` integer GENERATED ALWAYS AS (iif(performance_status is null, null, verdict ->> '$[7]' is not null)) VIRTUAL,
	FOREIGN KEY (`job_id`) REFERENCES `jobs`(`id`) ON UPDATE no action ON DELETE no action
);

CREATE INDEX `tasks_by_job` ON `tasks` (`job_id`,`created_at`,`rank`);
CREATE INDEX `tasks_by_time` ON `tasks` (`created_at`,`job_id`,`rank`) WHERE deleted_at is null;
CREATE INDEX `tasks_by_customer` ON `tasks` (`customer_id`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;
CREATE INDEX `tasks_by_owner` ON `tasks` (`owner`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;
CREATE INDEX `tasks_by_state` ON `tasks` (`state`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;
CREATE INDEX `tasks_by_customer_state` ON `tasks` (`customer_id`,`state`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;
CREATE INDEX `tasks_by_owner_state` ON `tasks` (`owner`,`state`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;
CREATE INDEX `tasks_by_machine` ON `tasks` (`machine_uuid`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;
CREATE INDEX `tasks_by_customer_machine` ON `tasks` (`customer_id`,`machine_uuid`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;
CREATE INDEX `tasks_by_owner_machine` ON `tasks` (`owner`,`machine_uuid`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null;
CREATE INDEX `tasks_by_ip` ON `tasks` (`machine_ip`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and machine_ip is not null;
CREATE INDEX `tasks_by_customer_ip` ON `tasks` (`customer_id`,`machine_ip`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and machine_ip is not null;
CREATE INDEX `tasks_by_owner_ip` ON `tasks` (`owner`,`machine_ip`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and machine_ip is not null;
CREATE INDEX `tasks_by_performance` ON `tasks` (`performance_status`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and performance_status is not null;
CREATE INDEX `tasks_by_customer_performance` ON `tasks` (`customer_id`,`performance_status`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and performance_status is not null;
CREATE INDEX `tasks_by_owner_performance` ON `tasks` (`owner`,`performance_status`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and performance_status is not null;
CREATE INDEX `tasks_by_spec_check` ON `tasks` (`spec_status`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and spec_status is not null;
CREATE INDEX `tasks_by_customer_spec_check` ON `tasks` (`customer_id`,`spec_status`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and spec_status is not null;
CREATE INDEX `tasks_by_owner_spec_check` ON `tasks` (`owner`,`spec_status`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and spec_status is not null;
CREATE INDEX `tasks_with_findings` ON `tasks` (`created_at`,`job_id`,`rank`) WHERE deleted_at is null and finding_count > 0;
CREATE INDEX `tasks_with_findings_by_customer` ON `tasks` (`customer_id`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and finding_count > 0;
CREATE INDEX `tasks_with_findings_by_owner` ON `tasks` (`owner`,`created_at`,`job_id`,`rank`) WHERE deleted_at is null and finding_count > 0;
