/** `npm run migrations`: writes `migrations/` from `src/db`. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tablesSql, triggersSql } from "./lib/generated-sql.ts";
import { ROOT } from "./lib/project.ts";

writeFileSync(join(ROOT, "migrations/0000_tables.sql"), tablesSql());
writeFileSync(join(ROOT, "migrations/0001_triggers.sql"), await triggersSql());
