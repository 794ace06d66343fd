/** docs/guide/cli.md and the API document say what the program does. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { BENCHMARKS } from "../../cli/src/commands/completion.ts";
import type { AnyCommand } from "../../cli/src/commands/open.ts";
import { EXIT_CODES } from "../../cli/src/exit-codes.ts";
import { createProgram } from "../../cli/src/program.ts";
import { Stop } from "../../cli/src/stop.ts";
import { VERSION } from "../../cli/src/version.ts";
import { ROOT } from "../../scripts/lib/project.ts";

const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const guide = read("docs/guide/cli.md");
const document = JSON.parse(read("openapi.json"));
const program = createProgram({}, new Stop());

/** All verbs by their whole names. */
function leaves(command: AnyCommand, path: string[] = []): [string, AnyCommand][] {
  if (command.commands.length === 0) return [[path.join(" "), command]];
  return command.commands
    .filter((one) => !one.name().startsWith("_"))
    .flatMap((one) => leaves(one, [...path, one.name()]));
}
const verbs = leaves(program);

/** Rows of the table under a heading line. */
function tableOf(head: string): string[] {
  const [, rows = ""] = guide.split(`${head}\n`);
  return (rows.split("\n\n")[0] ?? "").split("\n").slice(1);
}

test("the guide's table of exit codes is the program's, and so is that of --help", () => {
  expect(tableOf("| code | meaning |")).toEqual(
    EXIT_CODES.map(({ code, meaning }) => `| ${code} | ${meaning} |`),
  );
  let help = "";
  program.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
  for (const { code, meaning } of EXIT_CODES) {
    expect(help).toContain(`  ${String(code).padEnd(4)} ${meaning}\n`);
  }
});

test("the guide's table of verbs is the program's", () => {
  expect(tableOf("| verb | |")).toEqual(
    verbs.map(([name, command]) => `| \`${name}\` | ${command.description()} |`),
  );
});

describe.each(verbs)("assay %s --help", (name, command) => {
  let help = "";
  command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();

  test("has examples that the program understands", () => {
    const [, examples = ""] = help.split("\nExamples:\n");
    const lines = examples.trim().split("\n");
    expect(lines[0]).not.toBe("");
    for (const line of lines) {
      expect(line).toContain(`assay ${name}`);
      const options = line.split(" | ")[0]?.match(/ --[a-z-]+/g) ?? [];
      const known = [...command.options, ...program.options].map(({ long }) => long);
      for (const option of options) expect(known).toContain(option.trim());
    }
  });

  test("names the options of the whole program", () => {
    for (const option of ["--host", "--profile", "--token", "--json", "--quiet"]) {
      expect(help).toContain(option);
    }
  });
});

/** Lists of the program, and the operations that they read. */
const LISTS: Readonly<Record<string, string>> = {
  "job list": "listJobs",
  "task list": "listTasks",
  "machine list": "listMachines",
  "spec list": "listSpecs",
  "runner list": "listRunners",
  "runner spec list": "listRunnerSpecs",
  "user list": "listUsers",
  "customer list": "listCustomers",
  "token list": "listApiTokens",
  "key list": "listUserKeys",
  audit: "listAuditEvents",
};
/** Parameters of lists that are no filters, or another spelling of one. */
const OTHERS = [
  "page",
  "per_page",
  "cursor",
  "sort",
  "sort_by",
  "sort_order",
  "direction",
  "tag",
  "include",
  "include_results",
  "user",
  "runner",
];

describe("lists", () => {
  const operations: { operationId: string; parameters?: { name?: string; schema?: unknown }[] }[] =
    Object.values(document.paths).flatMap((path) => Object.values(path as object));

  test.each(Object.entries(LISTS))("%s has each filter of %s", (name, id) => {
    const operation = operations.find(({ operationId }) => operationId === id);
    const wanted = (operation?.parameters ?? [])
      .flatMap(({ name }) => name ?? [])
      .filter((one) => !OTHERS.includes(one));
    const command = verbs.find(([verb]) => verb === name)?.[1];
    const general = command?.options.find(({ long }) => long === "--filter")?.description ?? "";
    const filters = general.slice(general.indexOf(": ") + 2).split(", ");
    expect(filters.filter((one) => one !== "include_results").toSorted()).toEqual(
      wanted.toSorted(),
    );
    for (const one of wanted) {
      expect(command?.options.map(({ long }) => long)).toContain(`--${one.replaceAll("_", "-")}`);
    }
  });

  test("are all of the program's", () => {
    const paged = verbs.filter(([, command]) =>
      command.options.some(({ long }) => long === "--cursor"),
    );
    expect(paged.map(([name]) => name).toSorted()).toEqual(Object.keys(LISTS).toSorted());
  });

  test("choices are those of the API", () => {
    const choicesOf = (verb: string, option: string) =>
      verbs
        .find(([name]) => name === verb)?.[1]
        .options.find(({ long }) => long === option)
        ?.argChoices?.toSorted();
    const enumOf = (schema: string) => document.components.schemas[schema].enum.toSorted();
    expect(choicesOf("job list", "--state")).toEqual(enumOf("JobState"));
    expect(choicesOf("job list", "--spec-check")).toEqual(enumOf("SpecCheckStatus"));
    expect(choicesOf("job list", "--sort")).toEqual(enumOf("JobSortKey"));
    expect(choicesOf("task list", "--performance-status")).toEqual(enumOf("PerformanceStatus"));
    expect(choicesOf("spec create", "--architecture")).toEqual(enumOf("Architecture"));
    expect(choicesOf("spec create", "--os")).toEqual(enumOf("OperatingSystem"));
    expect(choicesOf("user create", "--role")).toEqual(enumOf("Role"));
    expect(choicesOf("token create", "--scope")).toEqual(enumOf("TokenScope"));
    expect(choicesOf("baseline view", "--class")).toEqual(enumOf("BaselineClass"));
    expect(choicesOf("compare", "--metric")).toEqual(enumOf("RatedMetric"));
    expect([...BENCHMARKS].toSorted()).toEqual(enumOf("BenchmarkId"));
  });
});

test("the program has the version of the project", () => {
  expect(VERSION).toBe(JSON.parse(read("package.json")).version);
});
