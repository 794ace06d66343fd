import { applyD1Migrations } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { beforeEach } from "vitest";
import { hashCheaply } from "./harness/passwords.ts";
import { catchUp, installClock } from "./harness/time.ts";

await applyD1Migrations(env.DB, env.TEST_MIGRATIONS);
installClock();
beforeEach(catchUp);
hashCheaply();
