/**
 * Part of `npm run check`: imports in `src` run down the floors of scripts/lib/floors.ts, without a circle, and
 * no file or function is too long. `--table` also prints the floors.
 */
import { join } from "node:path";
import { describeFloors, floorFaults, readHouse } from "./lib/floors.ts";
import { ROOT } from "./lib/project.ts";

const house = readHouse(join(ROOT, "src"));
const faults = floorFaults(house);
if (process.argv.includes("--table")) console.log(`${describeFloors(house)}\n`);
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
else {
  console.log(
    `${house.files.length} files, ${house.imports.length} imports: all run down a floor.`,
  );
}
