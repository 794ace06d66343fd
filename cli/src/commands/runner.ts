import { Option } from "@commander-js/extra-typings";
import type { Api } from "../api/client.ts";
import { body, onlyOnce, whole } from "../api/client.ts";
import type { Runner } from "../api/types.ts";
import { Failure } from "../failure.ts";
import type { Output } from "../output/output.ts";
import { fields } from "../output/table.ts";
import { showTime } from "../values/time.ts";
import { type Filters, listVerb, pageOf, queryFor } from "./list.ts";
import {
  type AnyCommand,
  defined,
  idempotencyOption,
  noun,
  type Open,
  requireChange,
  verb,
} from "./open.ts";
import {
  archivedOf,
  archiveOption,
  MOST_NAMED,
  NAMED_FILTERS,
  NAMED_ORDER,
  SPEC_COLUMNS,
  showSpec,
  unarchiveOption,
} from "./spec.ts";

export function runnerCommand(open: Open): AnyCommand {
  const command = noun(
    "runner",
    "Runners: standing machines that claim jobs (root administrators)",
  );
  command.addCommand(
    listVerb(open, {
      summary: "List runners",
      examples: ["assay runner list", "assay runner list --search rack --archived"],
      filters: NAMED_FILTERS satisfies Filters<"listRunners">,
      order: NAMED_ORDER,
      mostPerPage: MOST_NAMED,
      columns: [
        { title: "Slug", of: (runner: Runner) => runner.slug },
        { title: "Name", of: (runner) => runner.name },
        { title: "State", of: (runner) => runner.state },
        { title: "Specs", of: (runner) => runner.specs.length },
        { title: "Last heartbeat", of: (runner) => showTime(runner.last_heartbeat) },
        { title: "Archived", of: (runner) => showTime(runner.archived) },
      ],
      read: async (api, query) =>
        pageOf(
          await whole(
            api.GET("/v0/runners", { params: { query: queryFor<"listRunners">(query) } }),
          ),
        ),
    }),
  );
  command.addCommand(createCommand(open));
  command.addCommand(
    verb("view", "View a runner", ["assay runner view rack-7"])
      .alias("get")
      .argument("<runner>", "UUID or slug")
      .action(async (runner, _options, self) => {
        const { api, output } = open(self);
        const found = await body(
          api().GET("/v0/runners/{runner}", { params: { path: { runner } } }),
        );
        await output.result(found, () => showRunner(found));
      }),
  );
  command.addCommand(updateCommand(open));
  command.addCommand(
    verb("key", "Replace a runner's key: the old one stops working", ["assay runner key rack-7"])
      .argument("<runner>", "UUID or slug")
      .addOption(idempotencyOption())
      .action(async (runner, { idempotencyKey }, self) => {
        const { api, output } = open(self);
        const made = await body(
          api().POST("/v0/runners/{runner}/key", {
            params: { path: { runner }, header: onlyOnce(idempotencyKey) },
          }),
        );
        await showKey(output, made, runner);
      }),
  );
  command.addCommand(offersCommand(open));
  return command;
}

function createCommand(open: Open): AnyCommand {
  return verb("create", "Create a runner, and show its key once", [
    'assay runner create --name "Rack 7"',
  ])
    .alias("add")
    .requiredOption("--name <name>", "name, at most 64 bytes")
    .addOption(new Option("--slug <slug>", "slug; made from the name by default"))
    .addOption(idempotencyOption())
    .action(async ({ idempotencyKey, ...options }, self) => {
      const { api, output } = open(self);
      const made = await body(
        api().POST("/v0/runners", { params: { header: onlyOnce(idempotencyKey) }, body: options }),
      );
      await showKey(output, made, made.uuid);
    });
}

/** A key is in the first reply alone: one that was lost is told so. */
async function showKey(
  output: Output,
  { uuid, key }: { uuid: string; key: string | null },
  runner: string,
): Promise<void> {
  if (key === null) {
    throw new Failure(
      `the runner ${uuid} has a key, but the reply with it was lost: replace it with assay runner key ${runner}`,
      1,
    );
  }
  await output.result({ uuid, key }, () =>
    fields([
      ["UUID", uuid],
      ["Key", key],
    ]),
  );
  output.note("The key is shown only once.");
}

function updateCommand(open: Open): AnyCommand {
  return verb("update", "Update a runner's name or slug, archive it or restore it", [
    'assay runner update rack-7 --name "Rack 8" --slug rack-8',
  ])
    .alias("edit")
    .argument("<runner>", "UUID or slug")
    .option("--name <name>", "new name")
    .option("--slug <slug>", "new slug")
    .addOption(archiveOption())
    .addOption(unarchiveOption())
    .action(async (runner, options, self) => {
      const { api, output } = open(self);
      const { name, slug } = options;
      const changes = { name, slug, archived: archivedOf(options) };
      requireChange(changes, "--name, --slug, --archive, --unarchive");
      const changed = await body(
        api().PATCH("/v0/runners/{runner}", {
          params: { path: { runner } },
          body: defined(changes),
        }),
      );
      await output.result(changed, () => showRunner(changed));
    });
}

const readOffers = async (api: Api, runner: string, query: Parameters<typeof queryFor>[0]) =>
  pageOf(
    await whole(
      api.GET("/v0/runners/{runner}/specs", {
        params: { path: { runner }, query: queryFor<"listRunnerSpecs">(query) },
      }),
    ),
  );

function offersCommand(open: Open): AnyCommand {
  const command = noun("spec", "Specs that a runner offers");
  command.addCommand(
    listVerb(open, {
      summary: "List the specs that a runner offers",
      examples: ["assay runner spec list rack-7"],
      filters: NAMED_FILTERS satisfies Filters<"listRunnerSpecs">,
      order: NAMED_ORDER,
      mostPerPage: MOST_NAMED,
      columns: SPEC_COLUMNS,
      place: { argument: "<runner>", description: "UUID or slug" },
      read: (api, query, runner) => readOffers(api, runner, query),
    }),
  );
  command.addCommand(
    verb("add", "Add a spec to a runner's offers", [
      "assay runner spec add rack-7 --spec h100-node",
    ])
      .alias("create")
      .argument("<runner>", "UUID or slug")
      .requiredOption("--spec <spec>", "UUID or slug of the spec")
      .addOption(idempotencyOption())
      .action(async (runner, { spec, idempotencyKey }, self) => {
        const { api, output } = open(self);
        const params = { path: { runner }, header: onlyOnce(idempotencyKey) };
        const offered = await body(
          api().POST("/v0/runners/{runner}/specs", { params, body: { spec } }),
        );
        await output.result(offered, () => showSpec(offered));
      }),
  );
  command.addCommand(
    verb("remove", "Remove a spec from a runner's offers", [
      "assay runner spec remove rack-7 h100-node",
    ])
      .alias("rm")
      .argument("<runner>", "UUID or slug")
      .argument("<spec>", "UUID or slug of the spec")
      .action(async (runner, spec, _options, self) => {
        const { api, output } = open(self);
        const params = { path: { runner, spec } };
        await body(api().DELETE("/v0/runners/{runner}/specs/{spec}", { params }));
        await output.result({ runner, removed: spec }, () => [
          `${runner} no longer offers ${spec}`,
        ]);
      }),
  );
  return command;
}

function showRunner(runner: Runner): string[] {
  return fields([
    ["UUID", runner.uuid],
    ["Slug", runner.slug],
    ["Name", runner.name],
    ["State", runner.state],
    ["Specs", runner.specs.join(", ")],
    ["Spec checks", runner.spec_checks.map(({ spec, status }) => `${spec} ${status}`).join(", ")],
    ["Last heartbeat", showTime(runner.last_heartbeat)],
    ["Created", showTime(runner.created)],
    ["Modified", showTime(runner.modified)],
    ["Archived", showTime(runner.archived)],
  ]);
}
