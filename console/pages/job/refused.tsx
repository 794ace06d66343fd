/** What was not accepted, and what has failed: of the whole job, in one table. */
import { Section } from "../../parts/section.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { words } from "../../words.ts";
import { listOf, numberOf, objectOf, textOf } from "./figures.ts";
import type { JobView } from "./view.ts";

const text = words.refused;
const SHOWN = 100;

export interface Refusal {
  /** Null for the job as a whole. */
  rank: number | null;
  where: string;
  reason: string;
}

/** Of the job and its nodes, in the order of ranks. */
export function refusalsOf(job: JobView): Refusal[] {
  const ofJob: Refusal[] = [
    ...(job.report_error ? [{ rank: null, where: text.report, reason: job.report_error }] : []),
    ...ofSteps(job.benchmark_results, null),
  ];
  const ofNodes = job.tasks.flatMap((task) => {
    const steps = ofSteps(task.benchmark_results, task.rank);
    const isTold = steps.some(({ reason }) => reason === task.failed_message);
    return [
      ...(task.failed_message === null || isTold
        ? []
        : [{ rank: task.rank, where: words.nodes.columns.state, reason: task.failed_message }]),
      ...steps,
      ...(task.report_error
        ? [{ rank: task.rank, where: text.report, reason: task.report_error }]
        : []),
    ];
  });
  return [...ofJob, ...ofNodes];
}

function ofSteps(results: JobView["benchmark_results"], rank: number | null): Refusal[] {
  return Object.entries(results).flatMap(([key, step]) => [
    ...(step.error_message === null ? [] : [{ rank, where: key, reason: step.error_message }]),
    ...step.implausible.map(({ field, reason }) => ({ rank, where: `${key}: ${field}`, reason })),
    ...faultsOf(step.results).map((fault) => ({ rank, ...fault, where: `${key}: ${fault.where}` })),
  ]);
}

/** What the agent itself could not measure. */
function faultsOf(results: unknown): { where: string; reason: string }[] {
  return listOf(objectOf(objectOf(results).measurement).faults).map((sent) => {
    const { metric, gpu, code, message } = objectOf(sent);
    const index = numberOf(gpu);
    return {
      where: `${textOf(metric) ?? "–"}${index === null ? "" : `, GPU ${index}`}`,
      reason: textOf(message) ?? textOf(code) ?? "–",
    };
  });
}

const COLUMNS: readonly Column<Refusal>[] = [
  {
    title: text.columns.node,
    isName: true,
    isBare: true,
    cell: ({ rank }) => (rank === null ? text.job : words.nodes.name(rank)),
  },
  { title: text.columns.where, cell: ({ where }) => <code>{where}</code> },
  { title: text.columns.reason, cell: ({ reason }) => <span class="log">{reason}</span> },
];

export function RefusedSection({ job }: { job: JobView }) {
  const rows = refusalsOf(job);
  const shown = rows.slice(0, SHOWN);
  return (
    <Section id="refused" title={text.title}>
      {rows.length === 0 ? (
        <p class="soft">{text.none}</p>
      ) : (
        <Table
          label={text.title}
          columns={COLUMNS}
          rows={shown}
          keyOf={({ rank, where, reason }) => `${rank} ${where} ${reason}`}
        />
      )}
      {shown.length < rows.length && <p class="soft">{text.more(rows.length - shown.length)}</p>}
    </Section>
  );
}
