import { JOB_STATES, PERFORMANCE_STATUSES, SPEC_CHECK_STATUSES } from "../../../src/lib/enums.ts";
import { body } from "../api/client.ts";
import type { ListedTask, TaskPage, TaskWithResults } from "../api/types.ts";
import { describeMetric, showVerdict } from "../job/outcome.ts";
import { gpusOf } from "../job/report-lines.ts";
import { fields, table } from "../output/table.ts";
import { plain } from "../output/text.ts";
import { showTime } from "../values/time.ts";
import { type Filters, listVerb, queryFor } from "./list.ts";
import { type AnyCommand, idArgument, noun, type Open, verb } from "./open.ts";

export const TASK_FILTERS = {
  job_id: "text",
  state: JOB_STATES,
  machine_ip: "text",
  machine_uuid: "text",
  performance_status: PERFORMANCE_STATUSES,
  spec_check: SPEC_CHECK_STATUSES,
  has_findings: "flag",
  include_results: "flag",
} as const satisfies Filters<"listTasks">;

export function taskCommand(open: Open): AnyCommand {
  const command = noun("task", "Tasks: the nodes of jobs");
  command.addCommand(
    listVerb(open, {
      summary: "List the nodes of all jobs, newest first",
      examples: [
        "assay task list --job-id 7554621440",
        "assay task list --performance-status underperforming --all",
      ],
      filters: TASK_FILTERS,
      order: { keys: ["created_at"], by: "sort_by", direction: "sort_order" },
      mostPerPage: 300,
      columns: [
        { title: "Id", of: (task: ListedTask) => task.id },
        { title: "Job", of: (task) => task.job_id },
        { title: "Node", of: (task) => task.rank },
        { title: "Machine", of: (task) => task.machine_uuid },
        { title: "GPUs", of: gpusOf },
        { title: "State", of: (task) => task.state },
        {
          title: "Verdict",
          of: ({ performance_status: status, replayed }) => showVerdict({ status, replayed }),
        },
        { title: "Findings", of: (task) => task.findings?.length },
        { title: "Joined", of: (task) => showTime(task.created_at) },
      ],
      read: async (api, query) => {
        const params = { query: queryFor<"listTasks">(query) };
        // `as`: JSON is what is asked for; the list has other forms, too.
        const page = (await body(api.GET("/api/silicon-mark/v1/tasks", { params }))) as TaskPage;
        const { total, next_cursor } = page.pagination;
        return { rows: page.data, total, nextCursor: next_cursor };
      },
    }),
  );
  command.addCommand(
    verb("view", "View a node of a job, with all its figures", ["assay task view 7554621441"])
      .alias("get")
      .addArgument(idArgument("<task>", "id of the task"))
      .action(async (task_id, _options, self) => {
        const { api, output } = open(self);
        const task = await body(
          api().GET("/api/silicon-mark/v1/tasks/{task_id}/results", {
            params: { path: { task_id }, query: { include_display_name: true } },
          }),
        );
        await output.result(task, () => showTask(task));
      }),
  );
  return command;
}

function showTask(task: TaskWithResults): string[] {
  const verdict = task.performance;
  return [
    ...fields([
      ["Id", task.id],
      ["Job", task.job_id],
      ["Node", task.rank],
      ["Machine", task.machine_uuid],
      ["Address", task.machine_ip],
      ["GPUs", gpusOf(task)],
      ["State", task.state],
      ["Failure", task.failed_message],
      ["Verdict", showVerdict(verdict)],
      ["Spec check", task.spec_check?.status],
      ["Joined", showTime(task.created_at)],
      ["Started", showTime(task.started_at)],
      ["Ended", showTime(task.ended_at)],
    ]),
    ...(verdict?.findings ?? []).map(({ message }) => `Finding: ${plain(message)}`),
    ...(verdict?.metrics ?? [])
      .filter(({ value }) => value !== null)
      .map((metric) => plain(describeMetric(metric))),
    ...Object.values(task.benchmark_results).flatMap(showResult),
  ];
}

type Result = TaskWithResults["benchmark_results"][string];

/** The figures of one benchmark that have a name for people. */
function showResult({
  benchmark_name,
  state,
  error_message,
  results,
  display_names,
}: Result): string[] {
  const figures = (results as { aggregate_results?: unknown } | null)?.aggregate_results ?? results;
  const rows = Object.entries(display_names ?? {}).flatMap(([field, { display_name, unit }]) => {
    const value = (figures as Record<string, unknown> | null)?.[field];
    return typeof value === "number" ? [{ display_name, value, unit }] : [];
  });
  return [
    "",
    plain(`${benchmark_name}: ${state}${error_message === null ? "" : `, ${error_message}`}`),
    ...(rows.length === 0
      ? []
      : table(
          [
            { title: "Figure", of: (row: (typeof rows)[number]) => row.display_name },
            { title: "Value", of: (row) => row.value },
            { title: "Unit", of: (row) => row.unit },
          ],
          rows,
        )),
  ];
}
