-- Counter rows of jobs not deleted, per scope and state: totals of lists without a COUNT (design §3.7).
CREATE TRIGGER `job_counts_insert` AFTER INSERT ON `jobs` WHEN new.deleted_at IS NULL
BEGIN
  INSERT INTO job_counts (scope, state, jobs)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), ('user:' || new.user_id, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET jobs = jobs + 1;
END;
--> statement-breakpoint
CREATE TRIGGER `job_counts_leave` AFTER UPDATE OF state, deleted_at ON `jobs`
WHEN old.deleted_at IS NULL AND (new.deleted_at IS NOT NULL OR new.state <> old.state)
BEGIN
  UPDATE job_counts SET jobs = jobs - 1
  WHERE state = old.state AND scope IN ('all', 'customer:' || old.customer_id, 'user:' || old.user_id);
END;
--> statement-breakpoint
CREATE TRIGGER `job_counts_enter` AFTER UPDATE OF state, deleted_at ON `jobs`
WHEN new.deleted_at IS NULL AND (old.deleted_at IS NOT NULL OR new.state <> old.state)
BEGIN
  INSERT INTO job_counts (scope, state, jobs)
  VALUES ('all', new.state, 1), ('customer:' || new.customer_id, new.state, 1), ('user:' || new.user_id, new.state, 1)
  ON CONFLICT (scope, state) DO UPDATE SET jobs = jobs + 1;
END;
