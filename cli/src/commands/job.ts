import { JOB_STATES, SPEC_CHECK_STATUSES } from "../../../src/lib/enums.ts";
import { type Api, body } from "../api/client.ts";
import type { Job, JobDetail } from "../api/types.ts";
import { usage } from "../failure.ts";
import { hasEnded, type NodeOutcome, nodeOutcomes, showVerdict } from "../job/outcome.ts";
import { reportLink, reportPath, saveReport } from "../job/report-file.ts";
import { clusterLines, gpusOf, resultLines } from "../job/report-lines.ts";
import { fields, table } from "../output/table.ts";
import { confirm } from "../session/prompt.ts";
import { showTime } from "../values/time.ts";
import { exportVerb } from "./export.ts";
import { followJob } from "./follow.ts";
import { addJobOptions, createJob, type JobOptions, joinLine } from "./job-options.ts";
import { type Filters, listVerb, queryFor } from "./list.ts";
import { type AnyCommand, idArgument, noun, type Open, verb, yesOption } from "./open.ts";

const SORTS = [
  "created_at",
  "started_at",
  "ended_at",
  "expires_at",
  "name",
  "state",
  "node_count",
  "current_nodes",
] as const;

export const JOB_FILTERS = {
  name: "text",
  state: JOB_STATES,
  tags: "texts",
  benchmark_id: "text",
  provider: "text",
  region: "text",
  order: "text",
  spec_check: SPEC_CHECK_STATUSES,
  created_after: "date",
  created_before: "date",
  node_count_min: "number",
  node_count_max: "number",
  has_performance_data: "flag",
  has_findings: "flag",
} as const satisfies Filters<"listJobs">;

export function jobCommand(open: Open): AnyCommand {
  const command = noun("job", "Jobs: benchmarks on one or more machines");
  command.addCommand(
    listVerb(open, {
      summary: "List jobs, newest first",
      examples: [
        "assay job list --state running",
        "assay job list --created-after 2d --tags production --all",
      ],
      filters: JOB_FILTERS,
      order: { keys: SORTS, by: "sort_by", direction: "sort_order" },
      mostPerPage: 300,
      columns: [
        { title: "Id", of: (job: Job) => job.id },
        { title: "Name", of: (job) => job.name },
        { title: "State", of: (job) => job.state },
        { title: "Nodes", of: (job) => `${job.current_nodes}/${job.node_count}` },
        { title: "Verdict", of: (job) => showVerdict(job.performance) },
        { title: "Spec", of: (job) => job.spec_check },
        { title: "Tags", of: (job) => job.tags.join(", ") },
        { title: "Created", of: (job) => showTime(job.created_at) },
      ],
      read: async (api, query) => {
        const wanted = { ...queryFor<"listJobs">(query), include: ["performance" as const] };
        const page = await body(
          api.GET("/api/silicon-mark/v1/jobs", { params: { query: wanted } }),
        );
        const { total, next_cursor } = page.pagination;
        return { rows: page.results, total, nextCursor: next_cursor };
      },
    }),
  );
  command.addCommand(createVerb(open));
  command.addCommand(viewVerb(open));
  command.addCommand(watchVerb(open));
  command.addCommand(resultsVerb(open));
  command.addCommand(reportVerb(open));
  command.addCommand(abortVerb(open));
  command.addCommand(deleteVerb(open));
  command.addCommand(exportVerb(open));
  return command;
}

const readJob = (api: Api, job_id: string) =>
  body(api.GET("/api/silicon-mark/v1/jobs/{job_id}", { params: { path: { job_id } } }));
const readResults = (api: Api, job_id: string) =>
  body(api.GET("/api/silicon-mark/v1/jobs/{job_id}/results", { params: { path: { job_id } } }));

function createVerb(open: Open): AnyCommand {
  const command = verb("create", "Create a job, and print the line that joins a machine", [
    "assay job create --nodes 4 --benchmark cluster_network --tag production",
  ]).alias("add");
  addJobOptions(command);
  return command.action(async (given, self) => {
    const opened = open(self);
    // `as`: declared above.
    const wanted = given as JobOptions;
    const job = await createJob(opened, wanted);
    const line = joinLine(opened.session().host, job, wanted);
    await opened.output.result(job, () => [
      ...fields([
        ["Id", job.id],
        ["Name", job.name],
        ["Nodes", job.node_count],
        ["Benchmarks", job.benchmarks.join(", ")],
        ["Expires", showTime(job.expires_at)],
      ]),
      ...(line === null ? [] : ["", line]),
    ]);
  });
}

function viewVerb(open: Open): AnyCommand {
  return verb("view", "View a job: its nodes, verdicts and events", ["assay job view 7554621440"])
    .alias("get")
    .addArgument(idArgument("<job>", "id of the job"))
    .action(async (id, _options, self) => {
      const { api, output, session } = open(self);
      const job = await readJob(api(), id);
      const isWaiting = !hasEnded(job) && job.current_nodes < job.node_count;
      const line = isWaiting ? joinLine(session().host, job, job) : null;
      const clusters =
        Object.keys(job.benchmark_results).length > 0 && !output.json
          ? await readResults(api(), id)
          : {};
      const nodes = () =>
        hasEnded(job) ? resultLines(job, clusters).slice(1) : ["", ...nodeLines(job)];
      await output.result(
        job,
        () => [...showJob(job), ...joinLines(job, line), ...nodes(), ...eventLines(job)],
        { isForReading: true },
      );
    });
}

function showJob(job: JobDetail): string[] {
  return fields([
    ["Id", job.id],
    ["Name", job.name],
    ["Description", job.description],
    ["State", job.state],
    ["Verdict", showVerdict(job.scoreboard_summary)],
    ["Nodes", `${job.current_nodes} of ${job.node_count}`],
    ["Benchmarks", job.benchmarks.join(", ")],
    ["Spec", job.spec ?? job.expected_spec],
    ["Spec check", job.spec_check],
    ["Tags", job.tags.join(", ")],
    ["Created", showTime(job.created_at)],
    ["Started", showTime(job.started_at)],
    ["Ended", showTime(job.ended_at)],
    ["Expires", showTime(job.expires_at)],
    ["Report", job.pdf_report_url ?? job.report_error],
  ]);
}

/** The line that the missing machines still need. */
function joinLines({ node_count, current_nodes }: JobDetail, line: string | null): string[] {
  if (line === null) return [];
  const missing = node_count - current_nodes;
  return [
    "",
    `Run this on ${missing === 1 ? "one more machine" : `${missing} more machines`}:`,
    line,
  ];
}

function nodeLines(job: JobDetail): string[] {
  return table(
    [
      { title: "Node", of: ({ rank }: NodeOutcome) => rank },
      { title: "Machine", of: ({ task }) => task.machine_uuid },
      { title: "GPUs", of: ({ task }) => gpusOf(task) },
      { title: "State", of: ({ task }) => task.state },
      { title: "Progress", of: ({ task }) => `${Math.round(task.progress * 100)} %` },
      { title: "Message", of: ({ task }) => task.message },
    ],
    nodeOutcomes(job),
  );
}

const LAST_EVENTS = 20;

function eventLines({ events }: JobDetail): string[] {
  if (events.length === 0) return [];
  const shown = events.slice(-LAST_EVENTS);
  const title =
    shown.length < events.length
      ? `Events (the last ${LAST_EVENTS} of ${events.length})`
      : "Events";
  return [
    "",
    title,
    ...table(
      [
        { title: "Time", of: (event: (typeof events)[number]) => showTime(event.at) },
        { title: "Event", of: (event) => event.message },
      ],
      shown,
    ),
  ];
}

function watchVerb(open: Open): AnyCommand {
  return verb("watch", "Follow a job to its end, with the exit code and output of assay run", [
    "assay job watch 7554621440",
    "assay job watch 7554621440 --report report.pdf",
  ])
    .addArgument(idArgument("<job>", "id of the job"))
    .option("--report <file>", "save the PDF report here")
    .option("--abort-on-exit", "abort the job when this program is stopped")
    .action(async (jobId, { report = null, abortOnExit = false }, self) => {
      await followJob(open(self), { jobId, report, abortOnExit, mayAsk: false });
    });
}

function resultsVerb(open: Open): AnyCommand {
  return verb("results", "Show the results of a job's cluster benchmarks", [
    "assay job results 7554621440 --json",
  ])
    .addArgument(idArgument("<job>", "id of the job"))
    .action(async (id, _options, self) => {
      const { api, output } = open(self);
      const results = await readResults(api(), id);
      if (!output.json && Object.keys(results).length === 0) {
        output.note(`No results between nodes; those of each node: assay task list --job-id ${id}`);
      }
      await output.result(results, () => clusterLines(results).slice(1));
    });
}

function reportVerb(open: Open): AnyCommand {
  return verb("report", "Save the PDF report of a job that has ended", [
    "assay job report 7554621440",
    "assay job report 7554621440 --output - > report.pdf",
  ])
    .addArgument(idArgument("<job>", "id of the job"))
    .option(
      "-o, --output <file>",
      "file or folder; - for standard output; assay-job-ID.pdf by default",
    )
    .action(async (id, { output: file }, self) => {
      const { api, session, output, stop } = open(self);
      const link = await reportLink(api(), id, stop.signal);
      const path = file === "-" ? "-" : reportPath(id, file);
      await saveReport(session().host, link, path, stop.signal);
      if (path !== "-")
        await output.result({ job_id: id, report: path }, () => [`Report: ${path}`]);
    });
}

function abortVerb(open: Open): AnyCommand {
  return verb("abort", "Abort a job", ["assay job abort 7554621440"])
    .addArgument(idArgument("<job>", "id of the job"))
    .action(async (job_id, _options, self) => {
      const { api, output } = open(self);
      const aborted = await body(
        api().POST("/api/silicon-mark/v1/jobs/{job_id}/abort", { params: { path: { job_id } } }),
      );
      await output.result(aborted, () => [`job ${job_id} aborted`]);
    });
}

function deleteVerb(open: Open): AnyCommand {
  return verb("delete", "Delete a job; abort a running one first", [
    "assay job delete 7554621440 --yes",
  ])
    .alias("rm")
    .addArgument(idArgument("<job>", "id of the job"))
    .addOption(yesOption())
    .action(async (job_id, { yes }, self) => {
      const { api, output } = open(self);
      if (!yes && !(await confirm(`Delete job ${job_id} and its results?`))) {
        throw usage("not confirmed: give --yes to delete without a question");
      }
      const deleted = await body(
        api().DELETE("/api/silicon-mark/v1/jobs/{job_id}", { params: { path: { job_id } } }),
      );
      await output.result({ deleted: job_id, ...deleted }, () => [`job ${job_id} deleted`]);
    });
}
