/**
 * `npm run bench`: the hot routes, in exact counts and beside a plain Worker and the least that workerd can do, in minutes.
 * `--all` runs every part, `--only PART` one of them (`--help` lists them). Exits 1 when a part is out of its bounds.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type BenchOptions, PARTS } from "../bench/parts.ts";
import { buildBundle } from "./lib/bundle.ts";

const { values } = parseArgs({
  options: {
    all: { type: "boolean", default: false },
    only: { type: "string" },
    scale: { type: "boolean", default: false },
    peers: { type: "boolean", default: false },
    rounds: { type: "string", default: "40" },
    jobs: { type: "string", default: "1000000" },
    row: { type: "string", default: "" },
    part: { type: "string" },
    help: { type: "boolean", default: false },
  },
});

const HELP = `npm run bench -- [options]

  --all          every part
  --only PART    one part, as named below
  --scale        as --only scale
  --peers        as --only peers
  --rounds N     rounds of contenders, at least 30 (default 40)
  --jobs N       jobs of the largest database (default 1000000)
  --row TEXT     only the rows with this in their names: of hot, memory
  --part NAMES   only these parts of scale: requests,nodes,live,jobs,routes

Parts:
${Object.entries(PARTS)
  .map(([name, { about }]) => `  ${name.padEnd(14)} ${about}`)
  .join("\n")}`;

const rounds = Number(values.rounds);
const jobs = Number(values.jobs);
const only = values.scale ? "scale" : values.peers ? "peers" : values.only;
if (values.help) {
  console.log(HELP);
  process.exit(0);
}
if (!Number.isInteger(rounds) || rounds < 30)
  fail("--rounds must be a whole number of at least 30");
if (!Number.isInteger(jobs) || jobs < 1_000) fail("--jobs must be a whole number of at least 1000");
if (only !== undefined && !(only in PARTS)) {
  fail(`--only must be one of ${Object.keys(PARTS).join(", ")}`);
}

const folder = mkdtempSync(join(tmpdir(), "assay-bench-"));
try {
  const bundle = await buildBundle(folder);
  const options: BenchOptions = {
    ...{ folder, bundle, rounds, jobs, row: values.row },
    ...(values.part !== undefined && { part: values.part }),
  };
  for (const [name, { run, isQuick }] of Object.entries(PARTS)) {
    const isWanted = only === undefined ? values.all || isQuick : name === only;
    if (isWanted && !(await run(options))) process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function fail(message: string): never {
  console.error(`${message}; --help lists all options`);
  process.exit(2);
}
