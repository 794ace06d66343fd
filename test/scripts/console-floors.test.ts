/** The console's rules, and that they find what breaks them. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { consoleFaults, fileFaults } from "../../scripts/lib/console-floors.ts";
import { ROOT } from "../../scripts/lib/project.ts";

test("the console breaks none of its rules", () => {
  expect(consoleFaults(join(ROOT, "console"))).toEqual([]);
});

test.each([
  ["lib/x.ts", 'import { Icon } from "../parts/icon.tsx";', "on a floor above"],
  ["parts/x.tsx", 'import { JobPage } from "../pages/job/job-page.tsx";', "on a floor above"],
  ["words.ts", 'import { Icon } from "./parts/icon.tsx";', "on a floor above"],
  ["lib/x.ts", 'const page = import("../pages/x.ts");', "on a floor above"],
  ["lib/x.ts", 'import { z } from "zod";', "not one of the console's packages"],
  ["lib/x.ts", 'import { x } from "../../src/lib/clock.ts";', "outside the console"],
  ["lib/x.ts", "\n".repeat(301), "301 lines"],
  ["lib/x.ts", `function long() {${"\n".repeat(80)}}`, "81 lines"],
])("%s with %j is refused", (file, text, fault) => {
  expect(fileFaults(file, text).join()).toContain(fault);
});

test.each([
  ["pages/job/x.tsx", 'import { Icon } from "../../parts/icon.tsx";'],
  ["parts/x.tsx", 'import { words } from "../words.ts";'],
  ["lib/x.ts", 'import type { paths } from "../../public/client.d.ts";'],
  ["words.ts", "\n".repeat(600)],
])("%s with %j is allowed", (file, text) => {
  expect(fileFaults(file, text)).toEqual([]);
});
