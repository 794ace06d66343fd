/** What the machines are, beside what was promised: each field that differs. */
import { SpecBadge, type SpecStatus } from "../../parts/badge.tsx";
import { Section } from "../../parts/section.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { words } from "../../words.ts";
import type { JobView } from "./view.ts";

const text = words.spec;
const SHOWN = 100;

interface Row {
  rank: number;
  field: string;
  promised: string;
  found: string;
  status: SpecStatus;
}

const COLUMNS: readonly Column<Row>[] = [
  {
    title: text.columns.node,
    isName: true,
    isBare: true,
    cell: ({ rank }) => words.nodes.name(rank),
  },
  { title: text.columns.field, cell: ({ field }) => field },
  { title: text.columns.status, cell: ({ status }) => <SpecBadge status={status} /> },
  { title: text.columns.promised, cell: ({ promised }) => promised },
  { title: text.columns.found, cell: ({ found }) => found },
];

export function SpecSection({ job }: { job: JobView }) {
  const checked = job.tasks.filter(({ spec_check: check }) => check !== null);
  if (checked.length === 0) return null;
  const rows = checked.flatMap(({ rank, spec_check: check }) =>
    (check?.fields ?? [])
      .filter(({ status }) => status !== "matches")
      .map(({ field, promised, found, reason, status }): Row => {
        const told = reason ?? found ?? "–";
        return { rank, field, promised: promised ?? "–", found: told, status };
      }),
  );
  const differing = checked.filter(({ spec_check: check }) => check?.status === "differs").length;
  return (
    <Section
      id="spec"
      title={text.title}
      beside={job.spec_check !== null && <SpecBadge status={job.spec_check} />}
    >
      {differing > 0 && <p>{text.counts(differing, checked.length)}</p>}
      {rows.length === 0 ? (
        <p class="soft">{text.allMatch}</p>
      ) : (
        <Table
          label={text.title}
          columns={COLUMNS}
          rows={rows.slice(0, SHOWN)}
          keyOf={({ rank, field }) => `${rank} ${field}`}
        />
      )}
    </Section>
  );
}
