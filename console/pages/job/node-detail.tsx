/** Everything that one node has sent: figures, GPUs, pairs of GPUs, spec check, inventory. */
import { useState } from "preact/hooks";
import { figure } from "../../lib/format.ts";
import type { Schemas } from "../../lib/schemas.ts";
import { SpecBadge } from "../../parts/badge.tsx";
import { Section } from "../../parts/section.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { words } from "../../words.ts";
import type { Benchmark } from "../jobs/catalogue.ts";
import { flatten, type GpuPair, type GpuRow, gpuPairs, gpuRows, numberOf } from "./figures.ts";
import { FiguresSection, type NodeFacts } from "./figures-section.tsx";
import { CLUSTER } from "./links-section.tsx";
import type { Task } from "./view.ts";

export function NodeDetail({
  node,
  benchmarks,
}: {
  node: NodeFacts;
  benchmarks: readonly Benchmark[];
}) {
  const { task } = node;
  const steps = Object.entries(task.benchmark_results).filter(([key]) => !key.startsWith(CLUSTER));
  const quick = task.benchmark_results.quick_mark;
  return (
    <>
      {steps.length === 0 && (
        <Section id="figures" title={words.results.title}>
          <p class="soft">{words.results.none}</p>
        </Section>
      )}
      {steps.map(([key, step]) => (
        <FiguresSection
          key={key}
          id={key}
          step={step}
          node={node}
          benchmark={benchmarks.find(({ id }) => id === step.benchmark_id)}
        />
      ))}
      {quick !== undefined && <Telemetry rows={gpuRows(quick.results)} />}
      {quick !== undefined && <Pairs pairs={gpuPairs(quick.results)} />}
      <SpecCheck task={task} />
      <Inventory inventory={node.inventory} />
    </>
  );
}

function Telemetry({ rows }: { rows: readonly GpuRow[] }) {
  const text = words.telemetry;
  const show = (value: unknown, unit: string) => {
    const number = numberOf(value);
    return number === null ? "–" : `${figure(number)} ${unit}`;
  };
  const columns: Column<GpuRow>[] = [
    {
      title: text.columns.gpu,
      isName: true,
      isBare: true,
      cell: ({ id }) => <code>{id}</code>,
    },
    {
      title: words.nodes.columns.bf16,
      isNumber: true,
      cell: ({ figures }) => show(figures.bf16_tflops, "TFLOPS"),
    },
    {
      title: words.nodes.columns.memory,
      isNumber: true,
      cell: ({ figures }) => show(figures.memory_bandwidth_gbs, "GB/s"),
    },
    {
      title: text.columns.power,
      isNumber: true,
      cell: ({ facts, figures }) => show(facts.peak_watts ?? figures.power_consumption_watts, "W"),
    },
    {
      title: text.columns.temperature,
      isNumber: true,
      cell: ({ facts, figures }) =>
        show(facts.peak_celsius ?? figures.temperature_centigrade, "°C"),
    },
    { title: text.columns.sm, isNumber: true, cell: ({ facts }) => show(facts.sm_mhz, "MHz") },
    {
      title: text.columns.memory,
      isNumber: true,
      cell: ({ facts }) => show(facts.memory_mhz, "MHz"),
    },
    {
      title: text.columns.throttle,
      cell: ({ facts: { throttle } }) =>
        Array.isArray(throttle) ? throttle.join(", ") || text.nothing : "–",
    },
  ];
  return (
    <Section id="telemetry" title={text.title}>
      {rows.length === 0 ? (
        <p class="soft">{text.none}</p>
      ) : (
        <Table label={text.title} columns={columns} rows={rows} keyOf={({ id }) => id} />
      )}
    </Section>
  );
}

function Pairs({ pairs }: { pairs: readonly GpuPair[] }) {
  const text = words.pairs;
  if (pairs.length === 0) return null;
  const gpus = [...new Set(pairs.flatMap(({ from, to }) => [from, to]))].toSorted((a, b) =>
    a.localeCompare(b, "en", { numeric: true }),
  );
  const find = (from: string, to: string) =>
    pairs.find((pair) => pair.from === from && pair.to === to);
  const top = Math.max(...pairs.map(({ simplex }) => simplex ?? 0));
  return (
    <Section id="pairs" title={text.title}>
      <p class="soft small">{text.caption}</p>
      <div class="table-wrap as-table matrix">
        <table aria-label={text.title}>
          <thead>
            <tr>
              <th scope="col">{text.from}</th>
              {gpus.map((gpu) => (
                <th key={gpu} scope="col" class="number">
                  {gpu}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {gpus.map((from) => (
              <tr key={from}>
                <th scope="row">{from}</th>
                {gpus.map((to) => (
                  <PairCell key={to} pair={find(from, to)} top={top} />
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Section>
  );
}

/** Shaded by its share of the best pair; the figure says the same. */
function PairCell({ pair, top }: { pair: GpuPair | undefined; top: number }) {
  const share = Math.round(((pair?.simplex ?? 0) / (top || 1)) * 4);
  return (
    <td class={`number shade-${pair === undefined ? 0 : share}`}>
      {pair === undefined ? "–" : figure(pair.simplex)}
      {pair !== undefined && pair.type !== null && <div class="soft small">{pair.type}</div>}
    </td>
  );
}

function SpecCheck({ task }: { task: Task }) {
  const text = words.spec;
  const check = task.spec_check;
  if (check === null) return null;
  const columns: Column<Schemas["SpecCheckField"]>[] = [
    { title: text.columns.field, isName: true, isBare: true, cell: ({ field }) => field },
    { title: text.columns.status, cell: ({ status }) => <SpecBadge status={status} /> },
    { title: text.columns.promised, cell: ({ promised }) => promised ?? "–" },
    {
      title: text.columns.found,
      cell: ({ found, reason }) => (
        <>
          {found ?? "–"}
          {reason !== null && <div class="soft small">{reason}</div>}
        </>
      ),
    },
  ];
  return (
    <Section id="spec" title={text.title} beside={<SpecBadge status={check.status} />}>
      <Table
        label={text.title}
        columns={columns}
        rows={check.fields}
        keyOf={({ field }) => field}
      />
    </Section>
  );
}

const SHOWN = 24;

function Inventory({ inventory }: { inventory: unknown }) {
  const text = words.inventory;
  const [isWhole, setIsWhole] = useState(false);
  const values = inventory === null || inventory === undefined ? [] : flatten(inventory);
  const shown = isWhole ? values : values.slice(0, SHOWN);
  return (
    <Section id="inventory" title={text.title}>
      {values.length === 0 ? (
        <p class="soft">{text.none}</p>
      ) : (
        <dl class="inventory">
          {shown.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      )}
      {shown.length < values.length && (
        <button type="button" onClick={() => setIsWhole(true)}>
          {text.more(values.length - shown.length)}
        </button>
      )}
    </Section>
  );
}
