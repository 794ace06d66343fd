CREATE TABLE `list_counts` (
	`list` text PRIMARY KEY NOT NULL,
	`items` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `audit_events_by_subject` ON `audit_events` (`subject`,`id`);--> statement-breakpoint
CREATE INDEX `audit_events_by_action` ON `audit_events` (`action`,`id`);--> statement-breakpoint
CREATE INDEX `users_root_admins` ON `users` (`id`) WHERE role = 'root_admin' and locked = 0 and deleted_at is null;--> statement-breakpoint
-- Counter rows of lists (design §3.7): first what there is already, then what keeps them right.
INSERT INTO list_counts (list, items) SELECT 'customers', count(*) FROM customers;
--> statement-breakpoint
INSERT INTO list_counts (list, items) SELECT 'users', count(*) FROM users WHERE deleted_at IS NULL;
--> statement-breakpoint
INSERT INTO list_counts (list, items)
SELECT 'users:' || customer_id, count(*) FROM users WHERE deleted_at IS NULL GROUP BY customer_id;
--> statement-breakpoint
INSERT INTO list_counts (list, items)
SELECT 'audit_events:' || customer_id, count(*) FROM audit_events WHERE customer_id IS NOT NULL GROUP BY customer_id;
--> statement-breakpoint
CREATE TRIGGER `customer_counts_insert` AFTER INSERT ON `customers`
BEGIN
  INSERT INTO list_counts (list, items) VALUES ('customers', 1)
  ON CONFLICT (list) DO UPDATE SET items = items + 1;
END;
--> statement-breakpoint
CREATE TRIGGER `customer_counts_delete` AFTER DELETE ON `customers`
BEGIN
  UPDATE list_counts SET items = items - 1 WHERE list = 'customers';
END;
--> statement-breakpoint
CREATE TRIGGER `user_counts_insert` AFTER INSERT ON `users` WHEN new.deleted_at IS NULL
BEGIN
  INSERT INTO list_counts (list, items) VALUES ('users', 1), ('users:' || new.customer_id, 1)
  ON CONFLICT (list) DO UPDATE SET items = items + 1;
END;
--> statement-breakpoint
CREATE TRIGGER `user_counts_delete` AFTER DELETE ON `users` WHEN old.deleted_at IS NULL
BEGIN
  UPDATE list_counts SET items = items - 1 WHERE list IN ('users', 'users:' || old.customer_id);
END;
--> statement-breakpoint
CREATE TRIGGER `user_counts_update` AFTER UPDATE OF customer_id, deleted_at ON `users`
WHEN new.customer_id <> old.customer_id OR (new.deleted_at IS NULL) <> (old.deleted_at IS NULL)
BEGIN
  UPDATE list_counts SET items = items - (old.deleted_at IS NULL)
  WHERE list IN ('users', 'users:' || old.customer_id);
  INSERT INTO list_counts (list, items)
  VALUES ('users', new.deleted_at IS NULL), ('users:' || new.customer_id, new.deleted_at IS NULL)
  ON CONFLICT (list) DO UPDATE SET items = items + excluded.items;
END;
--> statement-breakpoint
CREATE TRIGGER `audit_counts_insert` AFTER INSERT ON `audit_events` WHEN new.customer_id IS NOT NULL
BEGIN
  INSERT INTO list_counts (list, items) VALUES ('audit_events:' || new.customer_id, 1)
  ON CONFLICT (list) DO UPDATE SET items = items + 1;
END;
