import { InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { ARCHITECTURES, OPERATING_SYSTEMS } from "../../../src/lib/enums.ts";
import { body, onlyOnce, whole } from "../api/client.ts";
import type { Spec } from "../api/types.ts";
import { fields } from "../output/table.ts";
import { parseSize, SIZE_FORMS, showSize } from "../values/size.ts";
import { showTime } from "../values/time.ts";
import { type Filters, listVerb, pageOf, queryFor } from "./list.ts";
import {
  type AnyCommand,
  defined,
  idempotencyOption,
  integer,
  noun,
  type Open,
  requireChange,
  verb,
} from "./open.ts";

export const NAMED_ORDER = {
  keys: ["name", "created"],
  by: "sort",
  direction: "direction",
} as const;
export const NAMED_FILTERS = { name: "text", search: "text", archived: "flag" } as const;
export const MOST_NAMED = 255;

export const SPEC_COLUMNS = [
  { title: "Slug", of: (spec: Spec) => spec.slug },
  { title: "Name", of: (spec: Spec) => spec.name },
  { title: "OS", of: (spec: Spec) => spec.os },
  { title: "Architecture", of: (spec: Spec) => spec.architecture },
  { title: "CPUs", of: (spec: Spec) => spec.cpu },
  { title: "Memory", of: (spec: Spec) => showSize(spec.memory) },
  { title: "Disk", of: (spec: Spec) => showSize(spec.disk) },
  { title: "Network", of: (spec: Spec) => (spec.network ? "yes" : "no") },
  { title: "Archived", of: (spec: Spec) => showTime(spec.archived) },
];

export function specCommand(open: Open): AnyCommand {
  const command = noun("spec", "Hardware specs: types of machines (root administrators)");
  command.addCommand(
    listVerb(open, {
      summary: "List specs",
      examples: ["assay spec list", "assay spec list --search h100 --sort created"],
      filters: NAMED_FILTERS satisfies Filters<"listSpecs">,
      order: NAMED_ORDER,
      mostPerPage: MOST_NAMED,
      columns: SPEC_COLUMNS,
      read: async (api, query) =>
        pageOf(
          await whole(api.GET("/v0/specs", { params: { query: queryFor<"listSpecs">(query) } })),
        ),
    }),
  );
  command.addCommand(createCommand(open));
  command.addCommand(
    verb("view", "View a spec", ["assay spec view h100-node"])
      .alias("get")
      .argument("<spec>", "UUID or slug")
      .action(async (spec, _options, self) => {
        const { api, output } = open(self);
        const found = await body(api().GET("/v0/specs/{spec}", { params: { path: { spec } } }));
        await output.result(found, () => showSpec(found));
      }),
  );
  command.addCommand(updateCommand(open));
  command.addCommand(
    verb("delete", "Delete a spec that no runner offers and no job was created for", [
      "assay spec delete h100-node",
    ])
      .alias("rm")
      .argument("<spec>", "UUID or slug")
      .action(async (spec, _options, self) => {
        const { api, output } = open(self);
        await body(api().DELETE("/v0/specs/{spec}", { params: { path: { spec } } }));
        await output.result({ deleted: spec }, () => [`spec ${spec} deleted`]);
      }),
  );
  return command;
}

function createCommand(open: Open): AnyCommand {
  return verb("create", "Create a spec", [
    'assay spec create --name "H100 node" --architecture x86_64 --cpu 26 --memory 224GiB --disk 1TiB',
  ])
    .alias("add")
    .requiredOption("--name <name>", "name, at most 64 bytes")
    .addOption(new Option("--slug <slug>", "slug; made from the name by default"))
    .addOption(new Option("--os <os>", "operating system").choices(OPERATING_SYSTEMS))
    .addOption(
      new Option("--architecture <architecture>", "CPU architecture")
        .choices(ARCHITECTURES)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option("--cpu <count>", "CPUs").argParser(integer(1, 2 ** 31 - 1)).makeOptionMandatory(),
    )
    .addOption(
      new Option("--memory <size>", `memory: ${SIZE_FORMS}`)
        .argParser(sizeOption)
        .makeOptionMandatory(),
    )
    .addOption(
      new Option("--disk <size>", `disk: ${SIZE_FORMS}`)
        .argParser(sizeOption)
        .makeOptionMandatory(),
    )
    .option("--network", "the machine has network access")
    .option("--sandbox <sandbox>", "accepted for the published client of /v0; not supported")
    .option("--fallback", "as --sandbox")
    .addOption(idempotencyOption())
    .action(async ({ idempotencyKey, ...options }, self) => {
      const { api, output } = open(self);
      const made = await body(
        api().POST("/v0/specs", {
          params: { header: onlyOnce(idempotencyKey) },
          body: { ...options, network: options.network ?? false },
        }),
      );
      await output.result(made, () => showSpec(made));
    });
}

function updateCommand(open: Open): AnyCommand {
  return verb("update", "Update a spec's name or slug, archive it or restore it", [
    "assay spec update h100-node --archive",
  ])
    .alias("edit")
    .argument("<spec>", "UUID or slug")
    .option("--name <name>", "new name")
    .option("--slug <slug>", "new slug")
    .addOption(archiveOption())
    .addOption(unarchiveOption())
    .addOption(
      new Option(
        "--fallback <yes>",
        "accepted for the published client of /v0; not supported",
      ).choices(["true", "false"] as const),
    )
    .action(async (spec, options, self) => {
      const { api, output } = open(self);
      const { name, slug } = options;
      const fallback = options.fallback === undefined ? undefined : options.fallback === "true";
      const changes = { name, slug, archived: archivedOf(options), fallback };
      requireChange(changes, "--name, --slug, --archive, --unarchive");
      const changed = await body(
        api().PATCH("/v0/specs/{spec}", { params: { path: { spec } }, body: defined(changes) }),
      );
      await output.result(changed, () => showSpec(changed));
    });
}

export const archiveOption = () => new Option("--archive", "archive it").conflicts("unarchive");
export const unarchiveOption = () => new Option("--unarchive", "restore it");

export function archivedOf(options: { archive?: true; unarchive?: true }): boolean | undefined {
  if (options.archive) return true;
  return options.unarchive ? false : undefined;
}

function sizeOption(text: string): number {
  const bytes = parseSize(text);
  if (bytes === null || bytes < 1) throw new InvalidArgumentError(`It must be ${SIZE_FORMS}.`);
  return bytes;
}

export function showSpec(spec: Spec): string[] {
  return fields([
    ["UUID", spec.uuid],
    ["Slug", spec.slug],
    ["Name", spec.name],
    ["OS", spec.os],
    ["Architecture", spec.architecture],
    ["CPUs", spec.cpu],
    ["Memory", showSize(spec.memory)],
    ["Disk", showSize(spec.disk)],
    ["Network", spec.network ? "yes" : "no"],
    ["Created", showTime(spec.created)],
    ["Modified", showTime(spec.modified)],
    ["Archived", showTime(spec.archived)],
  ]);
}
