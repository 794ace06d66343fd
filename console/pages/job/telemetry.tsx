/** Power, temperature and clocks of a job's nodes, a row each; the GPUs are on the pages of the nodes. */
import { useState } from "preact/hooks";
import { figure } from "../../lib/format.ts";
import { Section } from "../../parts/section.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { words } from "../../words.ts";
import { gpuRows, numberOf, objectOf } from "./figures.ts";
import type { JobView } from "./view.ts";

const text = words.telemetry;
const SHOWN = 16;

interface Reading {
  rank: number;
  watts: number | null;
  celsius: number | null;
  mhz: string;
  throttle: string;
}

function readingOf(rank: number, results: unknown): Reading | null {
  const aggregate = objectOf(objectOf(results).aggregate_results);
  const gpus = gpuRows(results);
  const clocks = gpus.flatMap(({ facts }) => numberOf(facts.sm_mhz) ?? []);
  const reasons = gpus.flatMap(({ facts }) =>
    Array.isArray(facts.throttle) ? facts.throttle.map(String) : [],
  );
  const isTold = gpus.some(({ facts }) => Array.isArray(facts.throttle));
  const watts = numberOf(aggregate.power_consumption_watts);
  const celsius = numberOf(aggregate.temperature_centigrade);
  if (watts === null && celsius === null && clocks.length === 0 && !isTold) return null;
  const [low, high] = [Math.min(...clocks), Math.max(...clocks)];
  return {
    rank,
    watts,
    celsius,
    mhz: clocks.length === 0 ? "–" : low === high ? `${low} MHz` : `${low}–${high} MHz`,
    throttle: isTold ? [...new Set(reasons)].join(", ") || text.nothing : "–",
  };
}

const COLUMNS: readonly Column<Reading>[] = [
  {
    title: text.columns.node,
    isName: true,
    isBare: true,
    cell: ({ rank }) => words.nodes.name(rank),
  },
  {
    title: text.columns.power,
    isNumber: true,
    cell: ({ watts }) => (watts === null ? "–" : `${figure(watts)} W`),
  },
  {
    title: text.columns.temperature,
    isNumber: true,
    cell: ({ celsius }) => (celsius === null ? "–" : `${figure(celsius)} °C`),
  },
  { title: text.columns.sm, isNumber: true, cell: ({ mhz }) => mhz },
  { title: text.columns.throttle, cell: ({ throttle }) => throttle },
];

export function TelemetrySection({ job }: { job: JobView }) {
  const [isWhole, setIsWhole] = useState(false);
  const rows = job.tasks
    .flatMap(
      ({ rank, benchmark_results: results }) => readingOf(rank, results.quick_mark?.results) ?? [],
    )
    // The hottest first.
    .toSorted((a, b) => (b.celsius ?? 0) - (a.celsius ?? 0) || a.rank - b.rank);
  const shown = isWhole ? rows : rows.slice(0, SHOWN);
  if (job.tasks.length === 0) return null;
  return (
    <Section id="telemetry" title={text.title}>
      {rows.length === 0 ? (
        <p class="soft">{text.none}</p>
      ) : (
        <Table label={text.title} columns={COLUMNS} rows={shown} keyOf={({ rank }) => rank} />
      )}
      {shown.length < rows.length && (
        <button type="button" onClick={() => setIsWhole(true)}>
          {words.nodes.all(rows.length)}
        </button>
      )}
    </Section>
  );
}
