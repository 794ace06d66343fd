import { useEffect, useRef } from "preact/hooks";
import { addressOf } from "../../lib/router.ts";
import type { Schemas } from "../../lib/schemas.ts";
import { StateBadge, VerdictBadge } from "../../parts/badge.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Elapsed, Time } from "../../parts/time.tsx";
import { words } from "../../words.ts";

type Job = Schemas["Job"];

const text = words.jobs;

interface JobTableProps {
  jobs: readonly Job[];
  chosen: ReadonlySet<string>;
  toggle: (ids: readonly string[], isChosen: boolean) => void;
}

export function JobTable({ jobs, chosen, toggle }: JobTableProps) {
  const select: Column<Job> = {
    title: text.columns.select,
    head: <SelectAll jobs={jobs} chosen={chosen} toggle={toggle} />,
    isBare: true,
    cell: ({ id, name }) => (
      <input
        type="checkbox"
        aria-label={text.select(name)}
        checked={chosen.has(id)}
        onChange={(event) => toggle([id], event.currentTarget.checked)}
      />
    ),
  };
  return (
    <Table
      label={text.title}
      columns={[select, ...COLUMNS]}
      rows={jobs}
      keyOf={({ id }) => id}
      rowClass={({ id }) => (chosen.has(id) ? "chosen" : "")}
    />
  );
}

function SelectAll({ jobs, chosen, toggle }: JobTableProps) {
  const box = useRef<HTMLInputElement>(null);
  const count = jobs.filter(({ id }) => chosen.has(id)).length;
  useEffect(() => {
    if (box.current !== null) box.current.indeterminate = count > 0 && count < jobs.length;
  }, [count, jobs.length]);
  return (
    <input
      ref={box}
      type="checkbox"
      aria-label={text.selectAll}
      checked={count === jobs.length}
      onChange={(event) =>
        toggle(
          jobs.map(({ id }) => id),
          event.currentTarget.checked,
        )
      }
    />
  );
}

const COLUMNS: readonly Column<Job>[] = [
  {
    title: text.columns.name,
    isName: true,
    isBare: true,
    cell: ({ id, name, tags }) => (
      <>
        <a class="job-link" href={addressOf(`/jobs/${id}`)}>
          {name}
        </a>
        <Tags tags={tags} />
      </>
    ),
  },
  { title: text.columns.state, cell: ({ state }) => <StateBadge state={state} /> },
  {
    title: text.columns.verdict,
    cell: ({ performance }) => <VerdictMark performance={performance} />,
  },
  {
    title: text.columns.nodes,
    isNumber: true,
    cell: ({ current_nodes: joined, node_count: wanted }) => `${joined} / ${wanted}`,
  },
  {
    title: text.columns.hardware,
    cell: ({ gpu_models: models }) => (models ?? []).join(", ") || "–",
  },
  {
    title: text.columns.benchmarks,
    cell: ({ benchmarks }) => (
      <span class="ids">
        {benchmarks.map((id) => (
          <code key={id}>{id}</code>
        ))}
      </span>
    ),
  },
  { title: text.columns.created, cell: ({ created_at: at }) => <Time at={at} /> },
  {
    title: text.columns.took,
    isNumber: true,
    cell: ({ started_at: from, ended_at: to }) =>
      from === null ? "–" : <Elapsed from={from} to={to} />,
  },
];

export function Tags({ tags }: { tags: readonly string[] }) {
  if (tags.length === 0) return null;
  return (
    <span class="tags">
      {tags.map((tag) => (
        <a key={tag} class="tag" href={addressOf("/jobs", new URLSearchParams({ tags: tag }))}>
          {tag}
        </a>
      ))}
    </span>
  );
}

function VerdictMark({ performance }: { performance: Job["performance"] }) {
  if (performance === null) return <>–</>;
  const { status, finding_count: findings, replayed } = performance;
  return (
    <span class="marks">
      <VerdictBadge verdict={status} replayed={replayed} />
      {findings > 0 && <span class="soft">{text.findings(findings)}</span>}
    </span>
  );
}
