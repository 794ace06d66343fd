/**
 * Part of `npm run check`: imports in `src` run down the floors of scripts/lib/floors.ts, without a circle, those in
 * `console` down the floors of scripts/lib/console-floors.ts, and no file or function of either is too long. `--table` also prints the floors.
 */
import { join } from "node:path";
import { consoleFaults } from "./lib/console-floors.ts";
import { describeFloors, floorFaults, readHouse } from "./lib/floors.ts";
import { ROOT } from "./lib/project.ts";

const house = readHouse(join(ROOT, "src"));
const faults = [...floorFaults(house), ...consoleFaults(join(ROOT, "console"))];
if (process.argv.includes("--table")) console.log(`${describeFloors(house)}\n`);
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
else {
  console.log(
    `${house.files.length} files, ${house.imports.length} imports: all run down a floor.`,
  );
}
