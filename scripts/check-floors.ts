/**
 * Part of `npm run check`: imports in `src` run down the floors of scripts/lib/floors.ts, without a circle, those in
 * `cli/src` and `console` down those of scripts/lib/cli-floors.ts and console-floors.ts, and no file or function is too long.
 * `--table` also prints the floors.
 */
import { join } from "node:path";
import { cliFloorFaults } from "./lib/cli-floors.ts";
import { consoleFaults } from "./lib/console-floors.ts";
import { describeFloors, floorFaults, readHouse } from "./lib/floors.ts";
import { ROOT } from "./lib/project.ts";

const house = readHouse(join(ROOT, "src"));
const cli = readHouse(join(ROOT, "cli/src"));
const faults = [
  ...floorFaults(house),
  ...cliFloorFaults(cli),
  ...consoleFaults(join(ROOT, "console")),
];
if (process.argv.includes("--table")) console.log(`${describeFloors(house)}\n`);
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
else {
  const files = house.files.length + cli.files.length;
  const imports = house.imports.length + cli.imports.length;
  console.log(`${files} files, ${imports} imports: all run down a floor.`);
}
