/** Reports of `npm run check` about the rooms of the command line. */
import { expect, test } from "vitest";
import { cliFloorFaults } from "../../scripts/lib/cli-floors.ts";
import type { House, Import } from "../../scripts/lib/floors.ts";

const house = (imports: Partial<Import>[], lengths: [string, number][] = []): House => ({
  files: [],
  otherFiles: [],
  imports: imports.map((one) => ({
    from: "",
    to: "",
    line: 1,
    typeOnly: false,
    isPackage: false,
    ...one,
  })),
  lengths: new Map(lengths),
  functions: new Map([["api/client.ts", [{ name: "call", line: 3, lines: 71 }]]]),
});

test("imports go down, to packages, and to the published types alone", () => {
  const types = "../../public/client.d.ts";
  const faults = cliFloorFaults(
    house([
      { from: "commands/job.ts", to: "api/client.ts" },
      { from: "api/client.ts", to: "api/errors.ts" },
      { from: "api/client.ts", to: "openapi-fetch", isPackage: true },
      { from: "api/types.ts", to: types, typeOnly: true },
      { from: "api/client.ts", to: "commands/job.ts" },
      { from: "session/session.ts", to: "job/watch.ts" },
      { from: "api/types.ts", to: types },
      { from: "job/watch.ts", to: "../../src/lib/clock.ts", typeOnly: true },
    ]),
  );
  expect(faults.filter((fault) => fault.includes("import"))).toEqual([
    "cli/src/api/client.ts:1: imports cli/src/commands/job.ts, which is not on a floor below.",
    "cli/src/session/session.ts:1: imports cli/src/job/watch.ts, which is not on a floor below.",
    `cli/src/api/types.ts:1: imports ${types}, which is outside the program.`,
    "cli/src/job/watch.ts:1: imports ../../src/lib/clock.ts, which is outside the program.",
  ]);
});

test("long files, long functions and new rooms are faults", () => {
  const faults = cliFloorFaults(
    house(
      [],
      [
        ["output/table.ts", 301],
        ["attic/box.ts", 1],
      ],
    ),
  );
  expect(faults).toEqual([
    "cli/src/attic/box.ts has no floor. Add it to CLI_FLOORS in scripts/lib/cli-floors.ts.",
    "cli/src/output/table.ts has 301 lines; 300 are allowed. It holds two ideas: split it.",
    "cli/src/api/client.ts:3: the function call has 71 lines; 70 are allowed.",
  ]);
});
