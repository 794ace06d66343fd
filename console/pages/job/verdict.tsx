/** The verdict first, then the figures it stands on, beside their baselines. */

import { figure, percent } from "../../lib/format.ts";
import { addressOf } from "../../lib/router.ts";
import type { Schemas } from "../../lib/schemas.ts";
import { VerdictBadge } from "../../parts/badge.tsx";
import { Skeleton } from "../../parts/notices.tsx";
import { Section } from "../../parts/section.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { words } from "../../words.ts";
import type { Fields } from "../jobs/catalogue.ts";
import { median } from "./links.ts";
import type { JobView } from "./view.ts";

type Summary = Schemas["ScoreboardSummary"];
type Metric = Schemas["MetricVerdict"];

const text = words.verdict;
const MAX_FINDINGS = 40;

interface VerdictProps {
  job: JobView;
  fields: Fields;
  isPending: boolean;
  /** Address of a node's page; null for a shared job, whose nodes have no pages. */
  nodeAddress: ((rank: number) => string) | null;
}

export function VerdictSection({ job, fields, isPending, nodeAddress }: VerdictProps) {
  const { scoreboard_summary: summary } = job;
  if (summary === null) {
    return (
      <Section id="verdict" title={text.title}>
        {isPending ? <Skeleton rows={2} label={text.pending} /> : <p class="soft">{text.none}</p>}
      </Section>
    );
  }
  return (
    <Section id="verdict" title={text.title}>
      <Banner summary={summary} />
      <h3>{text.figures}</h3>
      <MetricTable summary={summary} fields={fields} />
      <Reasons metrics={summary.metrics} fields={fields} />
      <h3>{text.findings}</h3>
      <Findings summary={summary} nodeAddress={nodeAddress} />
    </Section>
  );
}

function Banner({ summary }: { summary: Summary }) {
  const { status, rated_nodes: rated, underperforming_nodes: bad, replayed } = summary;
  return (
    <div class={`verdict-banner ${status}`}>
      <VerdictBadge verdict={status} replayed={replayed} />
      <p>{rated === 0 ? text.unrated : text.some(bad, rated)}</p>
      {replayed && <p class="soft">{text.replayed}</p>}
    </div>
  );
}

function MetricTable({ summary, fields }: { summary: Summary; fields: Fields }) {
  const rated = summary.metrics.filter(({ value }) => value !== null);
  const unit = ({ metric }: Metric) => fields[metric]?.unit ?? "";
  const columns: Column<Metric>[] = [
    {
      title: text.columns.metric,
      isName: true,
      isBare: true,
      cell: ({ metric, status }) => (
        <span class="marks">
          {fields[metric]?.display_name ?? metric}{" "}
          <VerdictBadge verdict={status} replayed={summary.replayed} />
        </span>
      ),
    },
    { title: text.columns.model, cell: ({ gpu_model: model }) => model ?? "–" },
    {
      title: text.columns.lowest,
      isNumber: true,
      cell: (metric) => `${figure(metric.value)} ${unit(metric)}`,
    },
    {
      title: text.columns.baseline,
      isNumber: true,
      cell: (metric) =>
        metric.baseline === null ? "–" : `${figure(metric.baseline)} ${unit(metric)}`,
    },
    {
      title: text.columns.ratio,
      isNumber: true,
      cell: ({ ratio, reference }) => (
        <>
          <b>{percent(ratio)}</b>
          {reference !== null && (
            <div class="soft small">{text.reference(percent(reference.ratio))}</div>
          )}
        </>
      ),
    },
    { title: text.columns.spread, cell: (metric) => <Strip metric={metric} summary={summary} /> },
    {
      title: text.columns.source,
      cell: ({ source, sample_size: size }) =>
        source === null
          ? "–"
          : `${text.sources[source] ?? source}${size === null ? "" : `, ${text.samples(size)}`}`,
    },
  ];
  if (rated.length === 0) return <p class="soft">{text.none}</p>;
  return (
    <Table
      label={text.figures}
      columns={columns}
      rows={rated}
      keyOf={({ metric, gpu_model: model, class: name }) => `${metric} ${model} ${name}`}
    />
  );
}

/** Ratios that a strip shows: what is below or above stands at its end. */
const [LOW, HIGH] = [0.5, 1.25];
const WIDTH = 160;

/** Each node's figure as a mark on a line, with the baseline across it. */
function Strip({ metric, summary }: { metric: Metric; summary: Summary }) {
  const own = summary.nodes.flatMap(({ metrics }) =>
    metrics.filter((each) => each.metric === metric.metric && each.gpu_model === metric.gpu_model),
  );
  const ratios = own.flatMap(({ ratio }) => ratio ?? []);
  const values = own.flatMap(({ value }) => value ?? []);
  const range = text.range(
    figure(Math.min(...values)),
    figure(median(values)),
    figure(Math.max(...values)),
  );
  const x = (ratio: number) =>
    ((Math.max(LOW, Math.min(HIGH, ratio)) - LOW) / (HIGH - LOW)) * (WIDTH - 8) + 4;
  if (ratios.length === 0) return <>{values.length > 1 ? range : "–"}</>;
  const label = text.strip(
    ratios.length,
    percent(Math.min(...ratios)),
    percent(Math.max(...ratios)),
  );
  return (
    <div class="strip">
      <svg viewBox={`0 0 ${WIDTH} 20`} role="img" aria-label={label}>
        <line class="axis" x1="4" x2={WIDTH - 4} y1="10" y2="10" />
        <line class="baseline" x1={x(1)} x2={x(1)} y1="1" y2="19" />
        {ratios.map((ratio, at) => (
          <line
            key={at}
            class={ratio < 0.9 ? "mark-bad" : "mark"}
            x1={x(ratio)}
            x2={x(ratio)}
            y1={ratio < 0.9 ? 3 : 5}
            y2={ratio < 0.9 ? 17 : 15}
          />
        ))}
      </svg>
      {values.length > 1 && <span class="soft small">{range}</span>}
    </div>
  );
}

function Reasons({ metrics, fields }: { metrics: readonly Metric[]; fields: Fields }) {
  const told = metrics.filter(({ reason }) => reason !== null);
  if (told.length === 0) return null;
  return (
    <details>
      <summary>{text.reasons}</summary>
      <ul class="plain">
        {told.map(({ metric, gpu_model: model, reason }) => (
          <li key={`${metric} ${model}`}>
            <b>{fields[metric]?.display_name ?? metric}:</b> {reason}
          </li>
        ))}
      </ul>
    </details>
  );
}

function Findings({
  summary,
  nodeAddress,
}: Pick<VerdictProps, "nodeAddress"> & { summary: Summary }) {
  const { findings, finding_count: total } = summary;
  if (total === 0) return <p class="soft">{text.noFindings}</p>;
  const shown = findings.slice(0, MAX_FINDINGS);
  return (
    <>
      <ul class="findings">
        {shown.map((finding) => (
          <li key={`${finding.kind} ${finding.rank} ${finding.gpu} ${finding.metric}`}>
            <span class="finding-kind">{text.kinds[finding.kind]}</span>
            {nodeAddress === null ? (
              <span>{words.nodes.name(finding.rank)}</span>
            ) : (
              <a href={nodeAddress(finding.rank)}>{words.nodes.name(finding.rank)}</a>
            )}
            <span>{finding.message}</span>
          </li>
        ))}
      </ul>
      {total > shown.length && <p class="soft">{text.moreFindings(total - shown.length)}</p>}
    </>
  );
}

export const nodePage = (id: string) => (rank: number) => addressOf(`/jobs/${id}/nodes/${rank}`);
