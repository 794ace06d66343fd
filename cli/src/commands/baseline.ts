import { Argument, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { RATED_METRICS } from "../../../src/lib/enums.ts";
import { body } from "../api/client.ts";
import type { Baseline } from "../api/types.ts";
import { fields, table } from "../output/table.ts";
import { showTime } from "../values/time.ts";
import { type AnyCommand, noun, type Open, verb } from "./open.ts";

const CLASSES = [
  "quickmark",
  "library-gemm",
  "mma-gemm",
  "torch-gemm",
  "copy",
  "copy-1gib",
  "copy-256mib",
] as const;

const metricArgument = () => new Argument("<metric>", "the figure").choices(RATED_METRICS);
const classOption = () =>
  new Option("--class <class>", "class of methods; quickmark by default").choices(CLASSES);

export function baselineCommand(open: Open): AnyCommand {
  const command = noun("baseline", "Baselines: the figures that a GPU model is compared with");
  command.addCommand(
    verb("list", "List all baselines", ["assay baseline list"])
      .alias("ls")
      .action(async (_options, self) => {
        const { api, output } = open(self);
        const found = await body(api().GET("/api/silicon-mark/v1/baselines"));
        const { baselines, ...rest } = found;
        await output.result(
          { results: baselines, total: baselines.length, next_cursor: null, ...rest },
          () =>
            table(
              [
                { title: "Model", of: (one: Baseline) => one.model },
                { title: "Metric", of: (one) => one.metric },
                { title: "Class", of: (one) => one.class },
                { title: "Value", of: (one) => one.value },
                { title: "Source", of: (one) => one.source },
                { title: "Machines", of: (one) => one.fleet?.machines },
              ],
              baselines,
            ),
        );
      }),
  );
  command.addCommand(
    verb("view", "View a baseline", ["assay baseline view h100-nvl bf16_tflops"])
      .alias("get")
      .argument("<model>", "GPU model, as listed")
      .addArgument(metricArgument())
      .addOption(classOption())
      .action(async (model, metric, options, self) => {
        const { api, output } = open(self);
        const params = { path: { model, metric }, query: options };
        const found = await body(
          api().GET("/api/silicon-mark/v1/baselines/{model}/{metric}", { params }),
        );
        await output.result(found, () => show(found));
      }),
  );
  command.addCommand(pinVerb(open));
  command.addCommand(unpinVerb(open));
  return command;
}

function pinVerb(open: Open): AnyCommand {
  return verb("pin", "Pin a value for rating all nodes of a model (root administrators)", [
    "assay baseline pin h100-nvl bf16_tflops 460",
  ])
    .argument("<model>", "GPU model, as listed")
    .addArgument(metricArgument())
    .addArgument(new Argument("<value>", "per GPU").argParser(positive))
    .addOption(classOption())
    .action(async (model, metric, value, options, self) => {
      const { api, output } = open(self);
      const params = { path: { model, metric }, query: options };
      const pinned = await body(
        api().PUT("/api/silicon-mark/v1/baselines/{model}/{metric}", { params, body: { value } }),
      );
      await output.result(pinned, () => show(pinned));
    });
}

function unpinVerb(open: Open): AnyCommand {
  return verb("unpin", "Remove a pinned value", ["assay baseline unpin h100-nvl bf16_tflops"])
    .argument("<model>", "GPU model, as listed")
    .addArgument(metricArgument())
    .addOption(classOption())
    .action(async (model, metric, options, self) => {
      const { api, output } = open(self);
      const params = { path: { model, metric }, query: options };
      await body(api().DELETE("/api/silicon-mark/v1/baselines/{model}/{metric}", { params }));
      await output.result({ unpinned: { model, metric } }, () => [`${model} ${metric} unpinned`]);
    });
}

function positive(text: string): number {
  const value = /^\d{1,12}(\.\d{1,12})?$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  throw new InvalidArgumentError("It must be a number above 0.");
}

function show(one: Baseline): string[] {
  return fields([
    ["Model", one.model],
    ["Metric", one.metric],
    ["Class", one.class],
    ["Value", one.value],
    ["Source", one.source],
    ["Pinned", one.pinned && `${one.pinned.value}, ${showTime(one.pinned.at)}`],
    ["Fleet", one.fleet && `${one.fleet.median}, ${one.fleet.machines} machines`],
    ["Shipped", one.shipped && `${one.shipped.median}, ${one.shipped.runs} runs`],
    ["Data sheet", one.data_sheet],
  ]);
}
