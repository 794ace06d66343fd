import { Argument, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import {
  PERFORMANCE_STATUSES,
  RATED_METRICS,
  SPEC_CHECK_STATUSES,
} from "../../../src/lib/enums.ts";
import { body } from "../api/client.ts";
import type { Machine, MachineHistory } from "../api/types.ts";
import { showNumber, showRatio, showVerdict } from "../job/outcome.ts";
import { gpusOf } from "../job/report-lines.ts";
import { fields, table } from "../output/table.ts";
import { plain } from "../output/text.ts";
import { showTime } from "../values/time.ts";
import { type Filters, listVerb, queryFor } from "./list.ts";
import { type AnyCommand, noun, type Open, verb } from "./open.ts";

export const MACHINE_FILTERS = {
  name: "text",
  gpu_model: "text",
  provider: "text",
  region: "text",
  status: PERFORMANCE_STATUSES,
  spec_check: SPEC_CHECK_STATUSES,
  has_findings: "flag",
} as const satisfies Filters<"listMachines">;

const gpuGroups = (machine: Machine) =>
  gpusOf({ gpu_models: machine.gpu_models, gpu_count: null, gpu_model: null });

export function machineCommand(open: Open): AnyCommand {
  const command = noun("machine", "Machines of your jobs, and their figures");
  command.addCommand(
    listVerb(open, {
      summary: "List machines, last seen first",
      examples: [
        "assay machine list --has-findings",
        "assay machine list --provider Lambda --status underperforming --all",
      ],
      filters: MACHINE_FILTERS,
      mostPerPage: 300,
      columns: [
        { title: "Machine", of: (machine: Machine) => machine.machine_uuid },
        { title: "Name", of: (machine) => machine.host_name },
        { title: "GPUs", of: gpuGroups },
        { title: "Provider", of: (machine) => machine.provider },
        { title: "Region", of: (machine) => machine.region },
        { title: "Jobs", of: (machine) => machine.jobs },
        { title: "Verdict", of: showVerdict },
        { title: "Findings", of: (machine) => machine.findings },
        { title: "Spec", of: (machine) => machine.spec_check },
        { title: "Last seen", of: (machine) => showTime(machine.last_seen_at) },
      ],
      read: async (api, query) => {
        const params = { query: queryFor<"listMachines">(query) };
        const page = await body(api.GET("/api/silicon-mark/v1/machines", { params }));
        const { total, next_cursor } = page.pagination;
        return { rows: page.results, total, nextCursor: next_cursor };
      },
    }),
  );
  command.addCommand(
    verb("view", "View a machine", ["assay machine view 550e8400-e29b-41d4-a716-446655440000"])
      .alias("get")
      .addArgument(machineArgument())
      .action(async (machine_uuid, _options, self) => {
        const { api, output } = open(self);
        const params = { path: { machine_uuid } };
        const found = await body(
          api().GET("/api/silicon-mark/v1/machines/{machine_uuid}", { params }),
        );
        await output.result(found, () => showMachine(found));
      }),
  );
  command.addCommand(
    verb("history", "Show the figures of a machine's jobs, newest first, and changes of its GPUs", [
      "assay machine history 550e8400-e29b-41d4-a716-446655440000 --metric bf16_tflops",
    ])
      .addArgument(machineArgument())
      .addOption(new Option("--metric <metric>", "only this figure").choices(RATED_METRICS))
      .action(async (machine_uuid, query, self) => {
        const { api, output } = open(self);
        const params = { path: { machine_uuid }, query };
        const history = await body(
          api().GET("/api/silicon-mark/v1/machines/{machine_uuid}/history", { params }),
        );
        await output.result(history, () => showHistory(history));
      }),
  );
  return command;
}

function machineArgument() {
  return new Argument("<machine>", "UUID of the machine").argParser((text: string) => {
    if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return text;
    throw new InvalidArgumentError("It must be a UUID: assay machine list shows them.");
  });
}

function showMachine(machine: Machine): string[] {
  return fields([
    ["Machine", machine.machine_uuid],
    ["Name", machine.host_name],
    ["GPUs", gpuGroups(machine)],
    ["Provider", machine.provider],
    ["Region", machine.region],
    ["Jobs", machine.jobs],
    ["Last job", machine.last_job_id],
    ["Last seen", showTime(machine.last_seen_at)],
    ["Verdict", showVerdict(machine)],
    ["Findings", machine.findings],
    ["Spec check", machine.spec_check],
  ]);
}

function showHistory({ points, events }: MachineHistory): string[] {
  const changes = events.map(({ at, message }) => `${showTime(at)}  ${plain(message)}`);
  return [
    ...(points.length === 0
      ? ["No rated figures yet"]
      : table(
          [
            { title: "Time", of: (point: MachineHistory["points"][number]) => showTime(point.at) },
            { title: "Job", of: (point) => point.job_id },
            { title: "Metric", of: (point) => point.metric },
            {
              title: "GPUs",
              of: (point) => `${point.gpu_count ?? "?"} × ${point.gpu_model ?? "unknown"}`,
            },
            { title: "Class", of: (point) => point.class },
            { title: "Per GPU", of: (point) => showNumber(point.value) },
            { title: "% of baseline", of: (point) => point.ratio && showRatio(point.ratio) },
          ],
          points,
        )),
    ...(changes.length === 0 ? [] : ["", "Changes of its GPUs", ...changes]),
  ];
}
