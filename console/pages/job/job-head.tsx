import type { ComponentChildren } from "preact";
import { moment } from "../../lib/format.ts";
import { addressOf } from "../../lib/router.ts";
import { StateBadge } from "../../parts/badge.tsx";
import { PageHead } from "../../parts/page.tsx";
import { Elapsed, Time } from "../../parts/time.tsx";
import { words } from "../../words.ts";
import { Tags } from "../jobs/job-table.tsx";
import type { Mode } from "./live.ts";
import type { JobView } from "./view.ts";

const text = words.job;

interface JobHeadProps {
  job: JobView;
  mode: Mode;
  /** The way to the list; absent for whoever has only a link to the job. */
  hasList: boolean;
  children?: ComponentChildren;
}

export function JobHead({ job, mode, hasList, children }: JobHeadProps) {
  const facts: [string, ComponentChildren][] = [
    [text.id, <code key="id">{job.id}</code>],
    [text.created, <Moment key="created" at={job.created_at} />],
    ...(job.started_at === null
      ? []
      : ([
          [text.started, <Moment key="started" at={job.started_at} />],
          [text.took, <Elapsed key="took" from={job.started_at} to={job.ended_at} />],
        ] satisfies [string, ComponentChildren][])),
    ...(job.ended_at === null
      ? ([[text.expires, <Moment key="expires" at={job.expires_at} />]] satisfies [
          string,
          ComponentChildren,
        ][])
      : []),
    ...(["provider", "region"] as const).flatMap((name): [string, ComponentChildren][] => {
      const value = job[name];
      return value === null ? [] : [[words.filters[name], value]];
    }),
  ];
  return (
    <PageHead
      title={job.name}
      above={hasList && <a href={addressOf("/jobs")}>{text.up}</a>}
      beside={
        <>
          <StateBadge state={job.state} />
          <ModeMark mode={mode} />
          {children}
        </>
      }
    >
      {job.description !== null && <p class="description">{job.description}</p>}
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
        {hasList && job.tags.length > 0 && (
          <div>
            <dt>{text.tags}</dt>
            <dd>
              <Tags tags={job.tags} />
            </dd>
          </div>
        )}
      </dl>
    </PageHead>
  );
}

function Moment({ at }: { at: string }) {
  return (
    <>
      {moment(at)}{" "}
      <span class="soft">
        (<Time at={at} />)
      </span>
    </>
  );
}

function ModeMark({ mode }: { mode: Mode }) {
  return (
    <span class={`mode ${mode}`} role="status">
      {text.modes[mode]}
    </span>
  );
}
