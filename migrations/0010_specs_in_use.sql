-- A spec that something refers to is refused here, at the first reference: the foreign keys, which would
-- refuse it too, look through all of them first.
CREATE TRIGGER `specs_in_use` BEFORE DELETE ON `specs`
WHEN EXISTS (SELECT 1 FROM jobs WHERE spec_uuid = old.uuid)
  OR EXISTS (SELECT 1 FROM runner_specs WHERE spec_uuid = old.uuid)
BEGIN
  SELECT RAISE(ABORT, 'FOREIGN KEY constraint failed');
END;
