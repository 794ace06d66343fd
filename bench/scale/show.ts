/** `npm run bench -- --scale`: measures how costs grow, prints it, and writes docs/performance. */
import { buildBundle } from "../../scripts/lib/bundle.ts";
import { capacityTables } from "./capacity.ts";
import { measureLiveJobs } from "./live-jobs.ts";
import { measureManyJobs } from "./many-jobs.ts";
import { countLife, measureNodes } from "./nodes.ts";
import { PARTS, type PartName, type Results, writeResults } from "./page.ts";
import { measurePart, type Part, partHolds, partTable } from "./report.ts";
import { countRequests } from "./requests.ts";
import { measureRoutes } from "./routes.ts";

export interface ScaleOptions {
  /** In the largest database. */
  jobs?: number;
  /** The parts to run, separated by commas; all by default. */
  part?: string;
}

/**
 * Prints each part as a table and writes all results into docs/performance.
 *
 * @param folder for what is built
 * @returns false if anything grows faster than its work
 */
export async function showScale(folder: string, options: ScaleOptions = {}): Promise<boolean> {
  const { jobs = 1_000_000, part = PARTS.join() } = options;
  const wanted = new Set(part.split(","));
  const unknown = [...wanted].find((name) => !PARTS.includes(name as PartName)); // is it one?
  if (unknown !== undefined) {
    console.error(`--part ${unknown}: must be one of ${PARTS.join(", ")}`);
    return false;
  }
  const bundle = await buildBundle(folder);
  const measures: Record<PartName, () => Promise<Results>> = {
    requests: async () => {
      const requests = await countRequests(folder, bundle);
      console.table(requests);
      const life = await countLife(folder);
      console.log(capacityTables(life).join("\n"));
      return { requests, life };
    },
    nodes: async () => ({ nodes: await run("nodes", () => measureNodes(folder, bundle)) }),
    live: async () => ({ live: await run("live jobs", () => measureLiveJobs(folder, bundle)) }),
    jobs: async () => ({ jobs: await run("jobs", () => measureManyJobs(folder, bundle, jobs)) }),
    routes: async () => ({ routes: await run("routes", () => measureRoutes(folder)) }),
  };
  let holds = true;
  for (const name of PARTS.filter((each) => wanted.has(each))) {
    console.log(`\nscale: ${name}`);
    const results = await measures[name]();
    writeResults(results);
    const parts: (Part | undefined)[] = [results.nodes, results.live, results.jobs, results.routes];
    holds = parts.every((each) => each === undefined || partHolds(each)) && holds;
  }
  return holds;
}

async function run(size: string, measure: Parameters<typeof measurePart>[1]): Promise<Part> {
  const part = await measurePart(size, measure);
  console.log(partTable(part).join("\n"));
  return part;
}
