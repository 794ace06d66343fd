/** One node of a job, by its rank. */

import { moment, percent } from "../../lib/format.ts";
import { addressOf } from "../../lib/router.ts";
import type { Schemas } from "../../lib/schemas.ts";
import { LIVE_STATES, StateBadge, VerdictBadge } from "../../parts/badge.tsx";
import { Icon } from "../../parts/icon.tsx";
import { FaultNotice, Freshness, Skeleton } from "../../parts/notices.tsx";
import { PageHead } from "../../parts/page.tsx";
import { words } from "../../words.ts";
import { useCatalogue } from "../jobs/catalogue.ts";
import { nodeOf, useTask } from "./job-page.tsx";
import { Fact } from "./links-section.tsx";
import { NodeDetail } from "./node-detail.tsx";
import { gpusOf } from "./nodes-table.tsx";

const text = words.nodes;

export function NodePage({ id, rank }: { id: string; rank: number }) {
  // A task's id is its job's, and one more for each rank.
  const loaded = useTask(String(Number(id) + 1 + rank), "");
  const catalogue = useCatalogue();
  const { data, fault, reload } = loaded;
  const up = <a href={addressOf(`/jobs/${id}`)}>{`${words.job.id} ${id}`}</a>;
  if (data === null) {
    return (
      <>
        <PageHead title={text.name(rank)} above={up} />
        {fault === null ? (
          <Skeleton rows={8} label={words.loading} />
        ) : (
          <FaultNotice fault={fault} retry={reload} />
        )}
      </>
    );
  }
  return (
    <div class="job">
      <PageHead title={text.name(rank)} above={up} beside={<Beside task={data} />}>
        <Facts task={data} />
        {data.failed_message !== null && <p class="notice bad">{data.failed_message}</p>}
      </PageHead>
      <Freshness loaded={loaded} />
      <Findings task={data} />
      <NodeDetail node={nodeOf(data)} benchmarks={catalogue.data?.benchmarks ?? []} />
      <nav class="pages" aria-label={text.title}>
        {rank > 0 && (
          <a rel="prev" href={addressOf(`/jobs/${id}/nodes/${rank - 1}`)}>
            <Icon name="left" />
            {text.previous}
          </a>
        )}
        <a rel="next" href={addressOf(`/jobs/${id}/nodes/${rank + 1}`)}>
          {text.next}
          <Icon name="right" />
        </a>
      </nav>
    </div>
  );
}

type TaskWithResults = Schemas["TaskWithResults"];

function Beside({ task }: { task: TaskWithResults }) {
  const { pdf_report_url: url, performance, state } = task;
  return (
    <>
      <StateBadge state={state} />
      {performance !== null && (
        <VerdictBadge verdict={performance.status} replayed={performance.replayed} />
      )}
      {url !== null && (
        <a class="button end" href={url} target="_blank" rel="noopener">
          {words.job.report}
          <Icon name="out" />
        </a>
      )}
    </>
  );
}

function Facts({ task }: { task: TaskWithResults }) {
  const { clock_skew_ms: skew, machine_ip: ip } = task;
  return (
    <dl class="facts">
      <div>
        <dt>{text.columns.machine}</dt>
        <dd>
          <a href={addressOf(`/machines/${task.machine_uuid}`)}>
            <code>{task.machine_uuid}</code>
          </a>
        </dd>
      </div>
      <Fact name={text.columns.gpus} value={gpusOf(task)} />
      {ip !== null && <Fact name={text.ip} value={ip} />}
      <Fact name={text.joined} value={moment(task.created_at)} />
      {task.ended_at !== null && <Fact name={words.job.ended} value={moment(task.ended_at)} />}
      {LIVE_STATES.has(task.state) && (
        <Fact name={words.progress.title} value={percent(task.progress)} />
      )}
      {skew !== null && Math.abs(skew) >= 1_000 && (
        <Fact name={text.skew} value={text.skewed(skew)} />
      )}
    </dl>
  );
}

function Findings({ task: { performance } }: { task: TaskWithResults }) {
  const findings = performance?.findings ?? [];
  if (findings.length === 0) return null;
  return (
    <ul class="findings">
      {findings.map(({ kind, metric, gpu, message }) => (
        <li key={`${kind} ${metric} ${gpu} ${message}`}>
          <span class="finding-kind">{words.verdict.kinds[kind]}</span>
          <span>{message}</span>
        </li>
      ))}
    </ul>
  );
}
