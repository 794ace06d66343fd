/** Reports of `npm run check` about imports that break the order of the floors, and about long files and functions. */
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { floorFaults, readHouse } from "../../scripts/lib/floors.ts";
import { ROOT } from "../../scripts/lib/project.ts";

/** A small source tree without faults. */
const SOUND = {
  "index.ts": 'export { app } from "./app.ts";\n',
  "app.ts": 'import { list } from "./jobs/service.ts";\nexport const app = list;\n',
  "jobs/service.ts":
    'import { read } from "./store.ts";\nimport type { State } from "../coordinator/life/model.ts";\n' +
    "export const list = (): State => read();\n",
  "jobs/store.ts": 'import { open } from "../db/client.ts";\nexport const read = open;\n',
  "jobs/tasks/store.ts": 'export { read } from "../store.ts";\n',
  "coordinator/life/model.ts": 'export type State = "created";\n',
  "coordinator/life/lifecycle.ts":
    'import type { Database } from "../../db/client.ts";\nimport { benchmark } from "../../benchmarks/quick.ts";\n' +
    "export const decide = (): [typeof benchmark, Database?] => [benchmark];\n",
  "benchmarks/quick.ts": 'import { z } from "@hono/zod-openapi";\nexport const benchmark = z;\n',
  "db/client.ts":
    'import { sql } from "drizzle-orm";\nexport type Database = typeof sql;\nexport const open = () => "created" as const;\n',
  "lib/clock.ts": 'export const clock = () => import("node:crypto");\n',
};

function faultsOf(files: Readonly<Record<string, string>>): string[] {
  const src = mkdtempSync(join(tmpdir(), "assay-floors-"));
  try {
    for (const [path, text] of Object.entries({ ...SOUND, ...files })) {
      mkdirSync(join(src, dirname(path)), { recursive: true });
      writeFileSync(join(src, path), text);
    }
    return floorFaults(readHouse(src));
  } finally {
    rmSync(src, { recursive: true });
  }
}

describe("floors", () => {
  test("a house in order has no fault", () => {
    expect(faultsOf({})).toEqual([]);
  });

  const faults: Record<string, { files: Record<string, string>; says: string[] }> = {
    "an import up a floor": {
      files: {
        "lib/ids.ts": '\nimport { open } from "../db/client.ts";\nexport const id = open;\n',
      },
      says: [
        "src/lib/ids.ts:2: imports src/db/client.ts, which is up a floor. src/lib may import from no other folder.",
      ],
    },
    "a type import up a floor": {
      files: {
        "db/rows.ts":
          'import type { list } from "../jobs/service.ts";\nexport type L = typeof list;\n',
      },
      says: [
        "src/db/rows.ts:1: imports src/jobs/service.ts, which is up a floor. src/db may import from lib.",
      ],
    },
    "a type import within braces, up a floor": {
      files: {
        "db/rows.ts":
          'import { type list } from "../jobs/service.ts";\nexport type L = typeof list;\n',
      },
      says: ["src/db/rows.ts:1: imports src/jobs/service.ts, which is up a floor"],
    },
    "import() of a type up a floor": {
      files: { "db/rows.ts": 'export type List = typeof import("../jobs/service.ts").list;\n' },
      says: ["src/db/rows.ts:1: imports src/jobs/service.ts, which is up a floor"],
    },
    "a dynamic import up a floor": {
      files: { "db/rows.ts": 'export const late = () => import("../jobs/service.ts");\n' },
      says: ["src/db/rows.ts:1: imports src/jobs/service.ts, which is up a floor"],
    },
    "a re-export up a floor": {
      files: { "db/rows.ts": 'export { list } from "../jobs/service.ts";\n' },
      says: ["src/db/rows.ts:1: imports src/jobs/service.ts, which is up a floor"],
    },
    "an import of a folder on the same floor": {
      files: {
        "runners/service.ts":
          'import { list } from "../jobs/service.ts";\nexport const l = list;\n',
      },
      says: ["src/runners/service.ts:1: imports src/jobs/service.ts, which is on the same floor"],
    },
    "a circle between files": {
      files: {
        "lib/left.ts": 'import { right } from "./right.ts";\nexport const left = () => right;\n',
        "lib/right.ts": 'import { left } from "./left.ts";\nexport const right = () => left;\n',
      },
      says: ["Circle in lib: src/lib/left.ts → src/lib/right.ts → src/lib/left.ts"],
    },
    "a circle of types, through three folders": {
      files: {
        "coordinator/life/a.ts": 'import type { B } from "../storage/b.ts";\nexport type A = B;\n',
        "coordinator/storage/b.ts": 'import type { C } from "../wire/c.ts";\nexport type B = C;\n',
        "coordinator/wire/c.ts": 'import type { A } from "../life/a.ts";\nexport type C = A | 1;\n',
      },
      says: [
        "Circle in coordinator/life, coordinator/storage, coordinator/wire: src/coordinator/life/a.ts → src/coordinator/storage/b.ts → src/coordinator/wire/c.ts → src/coordinator/life/a.ts",
      ],
    },
    "another folder's store.ts": {
      files: {
        "nodes/service.ts": 'import { read } from "../jobs/store.ts";\nexport const r = read;\n',
      },
      says: [
        "src/nodes/service.ts:1: imports src/jobs/store.ts, the store of another folder. Only src/jobs may use it: ask its service",
      ],
    },
    "another folder's list-store.ts": {
      files: {
        "jobs/list-store.ts": "export const page = 1;\n",
        "nodes/service.ts":
          'import { page } from "../jobs/list-store.ts";\nexport const p = page;\n',
      },
      says: ["src/nodes/service.ts:1: imports src/jobs/list-store.ts, the store of another folder"],
    },
    "the store of a neighbour in the same room": {
      files: {
        "jobs/anonymous/reading.ts":
          'import { read } from "../tasks/store.ts";\nexport const r = read;\n',
      },
      says: [
        "src/jobs/anonymous/reading.ts:1: imports src/jobs/tasks/store.ts, the store of another folder",
      ],
    },
    "an unknown folder": {
      files: { "helpers/text.ts": "export const text = 1;\n" },
      says: ["src/helpers has no floor. Add it to FLOORS in scripts/lib/floors.ts"],
    },
    "an unknown file at the top": {
      files: { "worker.ts": "export const worker = 1;\n" },
      says: ["src/worker.ts has no floor."],
    },
    "a pure file that imports values": {
      files: {
        "coordinator/life/model.ts":
          'import { clock } from "../../lib/clock.ts";\nexport const State = clock;\nexport type State = "created";\n',
      },
      says: [
        "src/coordinator/life/model.ts:1: imports values of src/lib/clock.ts, but the file is pure",
      ],
    },
    "a pure file that imports a package": {
      files: {
        "scoreboard/verdict.ts":
          'import { createHash } from "node:crypto";\nexport const h = createHash;\n',
        "benchmarks/slow.ts": 'import { sql } from "drizzle-orm";\nexport const s = sql;\n',
      },
      says: [
        "src/benchmarks/slow.ts:1: imports drizzle-orm, but the file is pure",
        "src/scoreboard/verdict.ts:1: imports node:crypto, but the file is pure",
      ],
    },
    "a file of 301 lines": {
      files: {
        "lib/long.ts": "export {};\n".repeat(301),
        "lib/fits.ts": "export {};\n".repeat(300),
      },
      says: ["src/lib/long.ts has 301 lines; 300 are allowed"],
    },
    "an import out of src": {
      files: {
        "lib/tool.ts":
          'import { ROOT } from "../../scripts/lib/project.ts";\nexport const r = ROOT;\n',
        "nodes/fake.ts": 'export type { World } from "../../test/fuzz/world.ts";\n',
        "lib/version.ts": 'import about from "../../package.json";\nexport const v = about;\n',
      },
      says: [
        "src/lib/tool.ts:1: imports ../scripts/lib/project.ts, seen from src, which is outside",
        "src/lib/version.ts:1: imports ../package.json, seen from src, which is outside",
        "src/nodes/fake.ts:1: imports ../test/fuzz/world.ts, seen from src, which is outside",
      ],
    },
    "files that are not .ts": {
      files: {
        "lib/old.js": "export {};\n",
        "lib/page.tsx": "export {};\n",
        "lib/tool.mjs": "export {};\n",
      },
      says: [
        "src/lib/old.js is not a .ts file",
        "src/lib/page.tsx is not a .ts file",
        "src/lib/tool.mjs is not a .ts file",
      ],
    },
    "a dynamic import of a computed name": {
      files: { "db/rows.ts": 'export const load = (name: string) => import("../" + name);\n' },
      says: ["src/db/rows.ts:1: imports a computed name, which cannot be checked"],
    },
    "an import of a missing file": {
      files: {
        "nodes/late.ts": 'export { read } from "../jobs/store.js";\n',
        "nodes/none.ts": 'import "../jobs/none.ts";\n',
      },
      says: [
        "src/nodes/late.ts:1: imports src/jobs/store.js, which is not a file of src",
        "src/nodes/none.ts:1: imports src/jobs/none.ts, which is not a file of src",
      ],
    },
    "an unknown folder within a known one": {
      files: { "jobs/helpers/text.ts": "export const text = 1;\n" },
      says: ["src/jobs/helpers is a new folder within src/jobs. Add it to NESTED"],
    },
    "functions of 71 lines, comments and blank lines included": {
      files: {
        "lib/arrow.ts": `export const arrow = () => {\n${"// Why.\n".repeat(69)}};\n`,
        "lib/plain.ts": `\nexport function plain() {\n${"\n".repeat(69)}}\n`,
        "lib/method.ts": `export class C {\n  m() {\n${"\n".repeat(69)}  }\n}\n`,
        "lib/fits.ts": `export function fits() {\n${"\n".repeat(68)}}\n`,
        "lib/list.ts": `export const list = () => {\n  return [\n${"1,\n".repeat(100)}  ] as const;\n};\n`,
        "lib/columns.ts": `export const columns = () => ({\n${"\n".repeat(100)}});\n`,
      },
      says: [
        "src/lib/arrow.ts:1: the function arrow has 71 lines; 70 are allowed",
        "src/lib/method.ts:2: the function m has 71 lines; 70 are allowed",
        "src/lib/plain.ts:2: the function plain has 71 lines; 70 are allowed",
      ],
    },
    "tables that know HTTP": {
      files: {
        "db/rows.ts":
          'import type { Context } from "hono";\nimport { z } from "@hono/zod-openapi";\nimport { getPath } from "hono/utils/url";\nexport const x = (c: Context) => [z, getPath, c];\n',
      },
      says: [
        "src/db/rows.ts:1: imports hono, which src/db must not know",
        "src/db/rows.ts:2: imports @hono/zod-openapi, which",
        "src/db/rows.ts:3: imports hono/utils/url, which",
      ],
    },
  };
  test.for(Object.entries(faults))("%s", ([, { files, says }]) => {
    expect(faultsOf(files)).toEqual(says.map((text) => expect.stringContaining(text)));
  });
});

test("a function with 71 lines in its braces fails, one with 70 does not", () => {
  const folder = mkdtempSync(join(tmpdir(), "assay-lines-"));
  try {
    copyFileSync(join(ROOT, "biome.json"), join(folder, "biome.json"));
    mkdirSync(join(folder, "src"));
    const lint = (lines: number) => {
      const body = Array.from({ length: lines - 2 }, (_, line) => `  x += ${line};`).join("\n");
      const text = `export function add(start: number) {\n  let x = start;\n${body}\n  return x;\n}\n`;
      writeFileSync(join(folder, "src/sums.ts"), text);
      const biome = [join(ROOT, "node_modules/.bin/biome"), "lint", "--vcs-enabled=false", "src"];
      const { status, stdout, stderr } = spawnSync(process.execPath, biome, {
        cwd: folder,
        encoding: "utf8",
      });
      return { status, output: stdout + stderr };
    };
    const long = lint(71);
    expect(long.output).toContain("src/sums.ts:1:8 lint/complexity/noExcessiveLinesPerFunction");
    expect(long.output).toContain("Maximum allowed is 70");
    expect(long.status).toBe(1);
    expect(lint(70).output).not.toContain("noExcessive");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
