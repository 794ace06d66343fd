/** Part of `npm run check`: `openapi.json` has no shape that client generators misread. Works without a network. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { documentFaults } from "./lib/document-faults.ts";
import { ROOT } from "./lib/project.ts";

const faults = documentFaults(JSON.parse(readFileSync(join(ROOT, "openapi.json"), "utf8")));
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
else console.log("No shape of openapi.json is known to mislead client generators.");
