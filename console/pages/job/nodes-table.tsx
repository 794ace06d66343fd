/** The nodes of a job, one row each: also 256 of them. */
import { useState } from "preact/hooks";
import { figure, percent } from "../../lib/format.ts";
import { addressOf } from "../../lib/router.ts";
import { LIVE_STATES, SpecBadge, StateBadge, VerdictBadge } from "../../parts/badge.tsx";
import { Section } from "../../parts/section.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { words } from "../../words.ts";
import type { Fields } from "../jobs/catalogue.ts";
import type { Progress } from "./live.ts";
import type { JobView, NodeVerdict, Task } from "./view.ts";

const text = words.nodes;
/** More rows come when somebody asks for them. */
const SHOWN = 32;

interface NodesProps {
  job: JobView;
  fields: Fields;
  progress: ReadonlyMap<number, Progress>;
  /** False: rows lead nowhere, as for whoever has only a link to the job. */
  hasPages: boolean;
}

interface Row {
  task: Task;
  verdict: NodeVerdict | null;
  progress: Progress;
}

export function NodesSection({ job, fields, progress, hasPages }: NodesProps) {
  const [isOnlyBad, setIsOnlyBad] = useState(false);
  const [isWhole, setIsWhole] = useState(false);
  const verdicts = new Map(job.scoreboard_summary?.nodes.map((node) => [node.rank, node]));
  const rows = job.tasks.map(
    (task): Row => ({
      task,
      verdict: verdicts.get(task.rank) ?? null,
      progress: progressOf(task, progress.get(task.rank)),
    }),
  );
  // Nodes with problems come first, the worst at the top: nobody finds the slow one among 256.
  const sorted = rows.toSorted((a, b) => severityOf(b) - severityOf(a));
  const wanted = isOnlyBad ? sorted.filter((row) => severityOf(row) > 0) : sorted;
  const shown = isWhole ? wanted : wanted.slice(0, SHOWN);
  return (
    <Section
      id="nodes"
      title={text.title}
      beside={
        rows.length > 1 && (
          <label class="check">
            <input
              type="checkbox"
              checked={isOnlyBad}
              onChange={(event) => setIsOnlyBad(event.currentTarget.checked)}
            />
            {text.only}
          </label>
        )
      }
    >
      {shown.length === 0 ? (
        <p class="soft">{rows.length === 0 ? text.missing : text.noneBad}</p>
      ) : (
        <Table
          label={text.title}
          columns={columnsOf(job, fields, hasPages)}
          rows={shown}
          keyOf={({ task }) => task.id}
        />
      )}
      {shown.length < wanted.length && (
        <button type="button" onClick={() => setIsWhole(true)}>
          {text.all(wanted.length)}
        </button>
      )}
    </Section>
  );
}

/** News of a heartbeat goes before the detail, unless the node has ended since. */
function progressOf(task: Task, news: Progress | undefined): Progress {
  if (news === undefined || task.ended_at !== null) return task;
  return news.progress >= task.progress ? news : task;
}

/** 2: the node has failed or is slow. 1: something else is wrong with it. 0: nothing is. */
function severityOf({ task, verdict }: Row): 0 | 1 | 2 {
  const hasFailed = task.state === "failed" || task.failed_message !== null;
  if (hasFailed || verdict?.status === "underperforming") return 2;
  const hasFindings = (verdict?.finding_count ?? 0) > 0;
  return hasFindings || task.spec_check?.status === "differs" ? 1 : 0;
}

function columnsOf(job: JobView, fields: Fields, hasPages: boolean): Column<Row>[] {
  const hasSpec = job.tasks.some(({ spec_check: check }) => check !== null);
  const hasVerdict = job.scoreboard_summary !== null;
  const isLive = job.ended_at === null;
  return [
    {
      title: text.columns.rank,
      isName: true,
      isBare: true,
      cell: ({ task }) =>
        hasPages ? (
          <a class="row-link" href={addressOf(`/jobs/${job.id}/nodes/${task.rank}`)}>
            {text.name(task.rank)}
          </a>
        ) : (
          text.name(task.rank)
        ),
    },
    {
      title: text.columns.machine,
      cell: ({ task }) => <Machine uuid={task.machine_uuid} hasPage={hasPages} />,
    },
    { title: text.columns.gpus, cell: ({ task }) => gpusOf(task) },
    {
      title: text.columns.state,
      cell: ({ task, progress }) => (
        <span class="node-state">
          <StateBadge state={task.state} />
          {LIVE_STATES.has(task.state) && (
            <progress
              class="bar-track"
              value={progress.progress}
              max={1}
              aria-label={percent(progress.progress)}
            />
          )}
        </span>
      ),
    },
    ...(hasVerdict ? verdictColumns(fields) : []),
    ...(hasSpec
      ? [
          {
            title: text.columns.spec,
            cell: ({ task }: Row) =>
              task.spec_check === null ? "–" : <SpecBadge status={task.spec_check.status} />,
          },
        ]
      : []),
    ...(isLive || job.tasks.some(({ failed_message: message }) => message !== null)
      ? [
          {
            title: text.columns.message,
            cell: ({ task, progress }: Row) => (
              <span class="message">{task.failed_message ?? progress.message ?? "–"}</span>
            ),
          },
        ]
      : []),
  ];
}

function verdictColumns(fields: Fields): Column<Row>[] {
  const ratio = (metric: string, title: string): Column<Row> => ({
    title,
    isNumber: true,
    cell: ({ verdict }) => <Ratio verdict={verdict} metric={metric} fields={fields} />,
  });
  return [
    {
      title: text.columns.verdict,
      cell: ({ verdict }) =>
        verdict === null ? (
          "–"
        ) : (
          <VerdictBadge verdict={verdict.status} replayed={verdict.replayed} />
        ),
    },
    ratio("bf16_tflops", text.columns.bf16),
    ratio("memory_bandwidth_gbs", text.columns.memory),
  ];
}

function Machine({ uuid, hasPage }: { uuid: string; hasPage: boolean }) {
  const short = <code title={uuid}>{uuid.slice(0, 8)}</code>;
  return hasPage ? <a href={addressOf(`/machines/${uuid}`)}>{short}</a> : short;
}

export function gpusOf({ gpu_models: models, gpu_model: model, gpu_count: count }: Task): string {
  if (models.length > 0) {
    return models.map((each) => `${each.count ?? "?"} × ${each.model}`).join(", ");
  }
  return model === null ? "–" : `${count ?? "?"} × ${model}`;
}

function Ratio({
  verdict,
  metric,
  fields,
}: {
  verdict: NodeVerdict | null;
  metric: string;
  fields: Fields;
}) {
  const found = verdict?.metrics.find((each) => each.metric === metric && each.value !== null);
  if (found === undefined) return <>–</>;
  return (
    <>
      {figure(found.value)} {fields[metric]?.unit}
      {found.ratio !== null && <div class="soft small">{percent(found.ratio)}</div>}
    </>
  );
}
