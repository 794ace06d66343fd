/** The network between the nodes: a map, a table behind it, and single links when somebody asks for them. */
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Outcome, Schemas } from "../../lib/api.ts";
import { figure as format } from "../../lib/format.ts";
import { useLoaded } from "../../lib/load.ts";
import { FaultNotice, Skeleton } from "../../parts/notices.tsx";
import { Section } from "../../parts/section.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { words } from "../../words.ts";
import { LinkMap, MAX_CELL } from "./link-map.tsx";
import { type Link, type LinkFigure, type LinkTable, type NodeLinks, readLinks } from "./links.ts";
import type { JobView } from "./view.ts";

type Results = Schemas["BenchmarkResult"];
/** Reads the results of a job's cluster steps, with all measurements. */
export type LoadResults = (
  signal: AbortSignal,
) => Promise<Outcome<Schemas["JobDetail"]["benchmark_results"]>>;

const text = words.links;
const SHOWN = 32;

/** The cluster step's key in the maps of results, of its first run. */
export const CLUSTER = "cluster_network";

interface LinksProps {
  job: JobView;
  load: LoadResults;
}

export function LinksSection(props: LinksProps) {
  const { job } = props;
  const step = job.benchmark_results[CLUSTER];
  if (step === undefined || step.results === null) return null;
  return (
    <Section id="links" title={text.title}>
      <Summary step={step} />
      {/* The place that the map will take, so that nothing below it moves. */}
      <div class="map-place" style={{ "--map": `${job.node_count * MAX_CELL}px` }}>
        <WhenSeen>{() => <Links {...props} />}</WhenSeen>
      </div>
    </Section>
  );
}

function Summary({ step }: { step: Results }) {
  const results = step.results ?? {};
  const show = (name: string, unit: string) => {
    const value = results[name];
    return typeof value === "number" ? `${format(value)} ${unit}` : "–";
  };
  return (
    <dl class="facts">
      <Fact name={text.average} value={show("avg_bandwidth_gbps", text.units.bandwidth)} />
      <Fact name={text.minimum} value={show("min_bandwidth_gbps", text.units.bandwidth)} />
      <Fact name={text.latency} value={show("avg_latency", text.units.latency)} />
      <Fact name={text.tested} value={show("total_links_tested", "")} />
    </dl>
  );
}

export function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** Large data is loaded once its place is on the screen. */
function WhenSeen({ children }: { children: () => preact.JSX.Element }) {
  const place = useRef<HTMLDivElement>(null);
  const [isSeen, setIsSeen] = useState(false);
  useEffect(() => {
    if (place.current === null) return;
    const observer = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting === true) setIsSeen(true);
      },
      { rootMargin: "200px" },
    );
    observer.observe(place.current);
    return () => observer.disconnect();
  }, []);
  return isSeen ? children() : <div ref={place} />;
}

function Links({ job, load }: LinksProps) {
  const version = job.ended_at ?? job.benchmark_results[CLUSTER]?.ended_at ?? "";
  const { data, fault, reload } = useLoaded(`links ${job.id} ${version}`, load);
  const results = data?.[CLUSTER]?.results ?? null;
  const table = useMemo(
    () => (results === null ? null : readLinks(results, job.node_count)),
    [results, job.node_count],
  );
  if (fault !== null) return <FaultNotice fault={fault} retry={reload} />;
  if (data === null) return <Skeleton rows={8} label={text.loading} />;
  if (table === null || table.links.length === 0) return <p class="soft">{text.none}</p>;
  return <LinkTableView table={table} />;
}

function LinkTableView({ table }: { table: LinkTable }) {
  const [figure, setFigure] = useState<LinkFigure>("bandwidth");
  return (
    <>
      <p>{text.summary(table.links.length, table.failed)}</p>
      <fieldset class="choice">
        <legend>{text.figure}</legend>
        {(["bandwidth", "latency"] as const).map((name) => (
          <label key={name} class="check">
            <input
              type="radio"
              name="link-figure"
              checked={figure === name}
              onChange={() => setFigure(name)}
            />
            {text.figures[name]}
          </label>
        ))}
      </fieldset>
      <div class="links-grid">
        <LinkMap table={table} figure={figure} />
        <div>
          <PerNode table={table} />
          <SingleLinks table={table} />
        </div>
      </div>
    </>
  );
}

const NODE_COLUMNS: readonly Column<NodeLinks>[] = [
  {
    title: text.columns.node,
    isName: true,
    isBare: true,
    cell: ({ rank }) => words.nodes.name(rank),
  },
  {
    title: text.columns.bandwidth,
    isNumber: true,
    cell: ({ bandwidth }) => `${format(bandwidth)} ${text.units.bandwidth}`,
  },
  {
    title: text.columns.latency,
    isNumber: true,
    cell: ({ latency }) => `${format(latency)} ${text.units.latency}`,
  },
  {
    title: text.columns.slowest,
    isNumber: true,
    cell: ({ slowest }) =>
      slowest === null
        ? "–"
        : `${text.link(slowest.source, slowest.target)}: ${format(slowest.bandwidth)}`,
  },
  { title: text.columns.failed, isNumber: true, cell: ({ failed }) => failed },
];

function PerNode({ table }: { table: LinkTable }) {
  const [isWhole, setIsWhole] = useState(false);
  // Those that look worst come first.
  const sorted = table.nodes.toSorted(
    (a, b) => b.failed - a.failed || (a.bandwidth ?? 0) - (b.bandwidth ?? 0),
  );
  const shown = isWhole ? sorted : sorted.slice(0, Math.min(SHOWN, 12));
  return (
    <>
      <h3>{text.perNode}</h3>
      <Table label={text.perNode} columns={NODE_COLUMNS} rows={shown} keyOf={({ rank }) => rank} />
      {shown.length < sorted.length && (
        <button type="button" onClick={() => setIsWhole(true)}>
          {words.nodes.all(sorted.length)}
        </button>
      )}
    </>
  );
}

const LINK_COLUMNS: readonly Column<Link>[] = [
  {
    title: text.singleColumns.link,
    isName: true,
    isBare: true,
    cell: ({ source, target }) => text.link(source, target),
  },
  {
    title: text.singleColumns.bandwidth,
    isNumber: true,
    cell: ({ bandwidth }) => `${format(bandwidth)} ${text.units.bandwidth}`,
  },
  {
    title: text.singleColumns.latency,
    isNumber: true,
    cell: ({ latency }) => `${format(latency)} ${text.units.latency}`,
  },
  { title: text.singleColumns.fault, cell: ({ error }) => error ?? "–" },
];

function SingleLinks({ table }: { table: LinkTable }) {
  const [rank, setRank] = useState("");
  const wanted = rank === "" ? null : Number(rank);
  const links = table.links.filter(({ source, target }) => source === wanted || target === wanted);
  return (
    <>
      <label class="field single-links">
        <span>{text.single}</span>
        <select value={rank} onChange={(event) => setRank(event.currentTarget.value)}>
          <option value="">–</option>
          {table.nodes.map((node) => (
            <option key={node.rank} value={node.rank}>
              {words.nodes.name(node.rank)}
            </option>
          ))}
        </select>
      </label>
      {links.length > 0 && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls only what has the focus
        <section class="scrolled" tabIndex={0} aria-label={`${text.single} ${rank}`}>
          <Table
            label={`${text.single} ${rank}`}
            columns={LINK_COLUMNS}
            rows={links}
            keyOf={({ source, target }) => `${source} ${target}`}
          />
        </section>
      )}
    </>
  );
}
