/** The figures of one step of one node, with their spread, beside baseline and data sheet. */
import { figure, percent } from "../../lib/format.ts";
import type { Schemas } from "../../lib/schemas.ts";
import { VerdictBadge } from "../../parts/badge.tsx";
import { Section } from "../../parts/section.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { words } from "../../words.ts";
import type { Benchmark, Fields } from "../jobs/catalogue.ts";
import { type Figure, nodeFigures, numberOf } from "./figures.ts";
import type { NodeVerdict, Task } from "./view.ts";

const text = words.results;

export interface NodeFacts {
  task: Task;
  performance: NodeVerdict | null;
  inventory: unknown;
  dataSheet: Schemas["ManufacturerGpuSpec"] | null;
}

interface FiguresProps {
  id: string;
  step: Schemas["BenchmarkResult"];
  node: NodeFacts;
  benchmark: Benchmark | undefined;
}

export function FiguresSection({ id, step, node, benchmark }: FiguresProps) {
  const fields = benchmark?.fields ?? {};
  const rows = nodeFigures(step, Object.keys(fields));
  const isQuick = step.benchmark_id === "quick_mark";
  const gpus = isQuick ? node.task.gpu_count : null;
  const name = benchmark?.name ?? id;
  return (
    <Section id={id} title={gpus === null ? name : text.ofGpus(name, gpus)}>
      {step.error_message !== null && <p class="notice bad">{step.error_message}</p>}
      {rows.length === 0 ? (
        <p class="soft">{text.none}</p>
      ) : (
        <Table
          label={name}
          columns={[
            ...measuredColumns(fields, isQuick ? node.performance : null),
            ...(isQuick ? comparedColumns(fields, node) : []),
            { title: text.columns.method, cell: ({ method }) => <code>{method ?? "–"}</code> },
          ]}
          rows={rows}
          keyOf={(row) => row.name}
        />
      )}
    </Section>
  );
}

const verdictOf = (performance: NodeVerdict | null, { name }: Figure) =>
  performance?.metrics.find(({ metric }) => metric === name);

function measuredColumns(fields: Fields, performance: NodeVerdict | null): Column<Figure>[] {
  return [
    {
      title: text.columns.figure,
      isName: true,
      isBare: true,
      cell: (row) => {
        const status = verdictOf(performance, row)?.status;
        return (
          <span class="marks">
            {fields[row.name]?.display_name ?? row.name}
            {status !== undefined && status !== "unrated" && (
              <VerdictBadge verdict={status} replayed={performance?.replayed ?? null} />
            )}
          </span>
        );
      },
    },
    {
      title: text.columns.value,
      isNumber: true,
      cell: (row) => (
        <>
          {figure(row.value)} {fields[row.name]?.unit}
          {row.implausible !== null && (
            <div class="implausible small">! {text.implausible(row.implausible)}</div>
          )}
        </>
      ),
    },
    {
      title: text.columns.spread,
      isNumber: true,
      cell: ({ spread, isSettled }) => (
        <>
          {spread === null ? "–" : `± ${percent(spread / 2, 1)}`}
          {isSettled === false && <div class="soft small">{text.unsettled}</div>}
        </>
      ),
    },
  ];
}

function comparedColumns(fields: Fields, node: NodeFacts): Column<Figure>[] {
  const show = (row: Figure, value: number | null | undefined) =>
    value === null || value === undefined
      ? "–"
      : `${figure(value)} ${fields[row.name]?.unit ?? ""}`;
  const of = (row: Figure) => verdictOf(node.performance, row);
  return [
    { title: text.columns.perGpu, isNumber: true, cell: (row) => show(row, of(row)?.value) },
    { title: text.columns.baseline, isNumber: true, cell: (row) => show(row, of(row)?.baseline) },
    { title: text.columns.share, isNumber: true, cell: (row) => percent(of(row)?.ratio) },
    {
      title: text.dataSheet,
      isNumber: true,
      cell: (row) => figure(sheetFigure(node.dataSheet, row.name)),
    },
  ];
}

/** The data sheet's names differ in one place: QuickMark's `fp32_tflops` runs on tensor cores. */
function sheetFigure(sheet: NodeFacts["dataSheet"], name: string): number | null {
  if (sheet === null) return null;
  const key = name === "fp32_tflops" ? "tf32_tflops" : name;
  return numberOf(Object.entries(sheet).find(([field]) => field === key)?.[1]);
}
