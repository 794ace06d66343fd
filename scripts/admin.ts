/**
 * `npm run admin -- --local | --remote`: makes the first root_admin from ADMIN_EMAIL and
 * ADMIN_PASSWORD (environment, else .dev.vars). Never changes an existing person.
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { createFirstAdmin } from "./lib/first-admin.ts";
import { ROOT } from "./lib/project.ts";
import { ensureSecrets } from "./lib/secrets.ts";

const { values } = parseArgs({
  options: { local: { type: "boolean" }, remote: { type: "boolean" } },
});
if (values.local === values.remote) {
  console.error("Choose the database: npm run admin -- --local, or npm run admin -- --remote");
  process.exit(2);
}
try {
  const fromEnvironment =
    process.env.ADMIN_EMAIL !== undefined && process.env.ADMIN_PASSWORD !== undefined
      ? { adminEmail: process.env.ADMIN_EMAIL, adminPassword: process.env.ADMIN_PASSWORD }
      : null;
  const secrets =
    fromEnvironment ?? ensureSecrets(resolve(ROOT, process.env.ASSAY_SECRETS ?? ".dev.vars"));
  const state = resolve(ROOT, process.env.ASSAY_STATE ?? ".wrangler/state");
  await createFirstAdmin(values.remote ? { remote: true } : { remote: false, state }, {
    email: secrets.adminEmail,
    password: secrets.adminPassword,
  });
  const place = values.remote ? "remote" : "local";
  console.log(
    `The ${place} database has a root administrator: ${secrets.adminEmail}, unless it had one before.`,
  );
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
