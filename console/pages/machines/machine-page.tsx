/** One machine: its last verdict, its figures over time, its jobs, and what of its hardware has changed. */
import { useMemo } from "preact/hooks";
import { api, call, type Outcome, type Schemas } from "../../lib/api.ts";
import { figure, moment, percent } from "../../lib/format.ts";
import { useLoaded } from "../../lib/load.ts";
import { addressOf } from "../../lib/router.ts";
import { SpecBadge, StateBadge, VerdictBadge } from "../../parts/badge.tsx";
import { Empty, FaultNotice, Freshness, Skeleton } from "../../parts/notices.tsx";
import { PageHead } from "../../parts/page.tsx";
import { Section } from "../../parts/section.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Time } from "../../parts/time.tsx";
import { words } from "../../words.ts";
import { type Fields, useCatalogue } from "../jobs/catalogue.ts";
import { HistoryChart } from "./history-chart.tsx";
import { gpusOf } from "./machines-page.tsx";
import { type Series, type Step, seriesOf } from "./series.ts";

type Machine = Schemas["Machine"];
type History = Schemas["MachineHistory"];
type ListedTask = Schemas["ListedTask"];

const text = words.machines;
/** The server's own, until its settings are known. */
const DROP_BELOW = 0.9;

export function MachinePage({ uuid }: { uuid: string }) {
  const params = { path: { machine_uuid: uuid } };
  const loaded = useLoaded<Machine>(`machine ${uuid}`, (signal) =>
    call(
      (both) => api.GET("/api/silicon-mark/v1/machines/{machine_uuid}", { params, signal: both }),
      signal,
    ),
  );
  const history = useLoaded<History>(`history ${uuid}`, (signal) =>
    call(
      (both) =>
        api.GET("/api/silicon-mark/v1/machines/{machine_uuid}/history", { params, signal: both }),
      signal,
    ),
  );
  const up = <a href={addressOf("/machines")}>{text.up}</a>;
  const { data, fault, reload } = loaded;
  if (data === null) {
    return (
      <>
        <PageHead title={words.nodes.columns.machine} above={up} />
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
      <PageHead
        title={data.host_name ?? data.machine_uuid}
        above={up}
        beside={
          <>
            {data.status !== null && (
              <VerdictBadge verdict={data.status} replayed={data.replayed} />
            )}
            {data.spec_check !== null && <SpecBadge status={data.spec_check} />}
          </>
        }
      >
        <Facts machine={data} />
      </PageHead>
      <Freshness loaded={loaded} />
      {history.data === null ? (
        history.fault === null ? (
          <Skeleton rows={8} label={text.history} />
        ) : (
          <FaultNotice fault={history.fault} retry={history.reload} />
        )
      ) : (
        <HistorySections history={history.data} />
      )}
      <Jobs uuid={uuid} />
    </div>
  );
}

function Facts({ machine }: { machine: Machine }) {
  const { provider, region, last_job_id: lastJob, findings } = machine;
  const facts = [
    [text.uuid, <code key="uuid">{machine.machine_uuid}</code>],
    [text.columns.gpus, gpusOf(machine)],
    ...(provider === null ? [] : [[text.columns.provider, provider] as const]),
    ...(region === null ? [] : [[text.columns.region, region] as const]),
    [text.columns.jobs, machine.jobs],
    ...(findings === null ? [] : [[text.columns.findings, findings] as const]),
    [text.columns.seen, <Time key="seen" at={machine.last_seen_at} />],
    [
      text.lastJob,
      <a key="last" href={addressOf(`/jobs/${lastJob}`)}>
        {lastJob}
      </a>,
    ],
  ] as const;
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function HistorySections({ history }: { history: History }) {
  const catalogue = useCatalogue();
  const baselines = useLoaded<Schemas["Baselines"]>("baselines", (signal) =>
    call((both) => api.GET("/api/silicon-mark/v1/baselines", { signal: both }), signal),
  );
  const fields =
    catalogue.data?.benchmarks.find(({ id }) => id === "quick_mark")?.fields ?? ({} as Fields); // empty
  const dropBelow = baselines.data?.thresholds.drop_below ?? DROP_BELOW;
  const series = useMemo(() => seriesOf(history.points, dropBelow), [history, dropBelow]);
  const changes = useMemo(() => history.events.map(({ at }) => new Date(at).getTime()), [history]);
  const metrics = useMemo(
    () =>
      // The names in their own order: BF16 before memory.
      [...new Set(series.map(({ metric }) => metric))]
        .toSorted()
        .map((name) => [name, series.filter(({ metric }) => metric === name)] as const),
    [series],
  );
  return (
    <>
      <Section id="history" title={text.history}>
        {series.length === 0 ? (
          <p class="soft">{text.noHistory}</p>
        ) : (
          <>
            <p class="soft small">{text.historyHint}</p>
            <div class="charts">
              {metrics.map(([metric, lines]) => (
                <HistoryChart
                  key={metric}
                  name={fields[metric]?.display_name ?? metric}
                  unit={fields[metric]?.unit ?? ""}
                  series={lines}
                  changes={changes}
                />
              ))}
            </div>
            <details>
              <summary>{text.table}</summary>
              <Points series={series} fields={fields} />
            </details>
          </>
        )}
      </Section>
      <Section id="changes" title={text.changes}>
        {history.events.length === 0 ? (
          <p class="soft">{text.noChanges}</p>
        ) : (
          <ol class="events">
            {history.events.map(({ at, message, job_id: job }) => (
              <li key={at} class="event change">
                <time dateTime={at}>{moment(at)}</time>
                <a href={addressOf(`/jobs/${job}`)}>{text.openTask(job)}</a>
                <span>{message}</span>
              </li>
            ))}
          </ol>
        )}
      </Section>
    </>
  );
}

function Points({ series, fields }: { series: readonly Series[]; fields: Fields }) {
  const rows = series
    .flatMap(({ steps }) => steps)
    .toSorted((a, b) => b.point.at.localeCompare(a.point.at));
  const columns: Column<Step>[] = [
    { title: text.points.at, isName: true, isBare: true, cell: ({ point }) => moment(point.at) },
    {
      title: text.points.metric,
      cell: ({ point }) => fields[point.metric]?.display_name ?? point.metric,
    },
    {
      title: text.points.value,
      isNumber: true,
      cell: ({ point }) => `${figure(point.value)} ${fields[point.metric]?.unit ?? ""}`,
    },
    {
      title: text.points.change,
      isNumber: true,
      cell: ({ change, isDrop }) =>
        isDrop ? <b class="drop-count">▼ {percent(change)}</b> : percent(change),
    },
    { title: text.points.ratio, isNumber: true, cell: ({ point }) => percent(point.ratio) },
    { title: text.points.model, cell: ({ point }) => point.gpu_model ?? "–" },
    { title: text.points.count, isNumber: true, cell: ({ point }) => point.gpu_count ?? "–" },
    { title: text.points.method, cell: ({ point }) => <code>{point.method ?? point.class}</code> },
    {
      title: text.points.job,
      cell: ({ point }) => <a href={addressOf(`/jobs/${point.job_id}`)}>{point.job_id}</a>,
    },
  ];
  return (
    <Table
      label={text.table}
      columns={columns}
      rows={rows}
      keyOf={({ point }) => `${point.task_id} ${point.metric} ${point.gpu_model}`}
    />
  );
}

function Jobs({ uuid }: { uuid: string }) {
  const { data, fault, reload } = useLoaded<Schemas["TaskPage"]>(
    `tasks of ${uuid}`,
    async (signal) => {
      const query = { machine_uuid: uuid, per_page: 50 };
      const outcome = await call(
        (both) => api.GET("/api/silicon-mark/v1/tasks", { params: { query }, signal: both }),
        signal,
      );
      return outcome as Outcome<Schemas["TaskPage"]>; // the other forms come to those who ask for them
    },
  );
  const columns: Column<ListedTask>[] = [
    {
      title: text.points.job,
      isName: true,
      isBare: true,
      cell: ({ job_id: job }) => (
        <a class="row-link" href={addressOf(`/jobs/${job}`)}>
          {text.openTask(job)}
        </a>
      ),
    },
    {
      title: text.task,
      cell: ({ job_id: job, rank }) => (
        <a href={addressOf(`/jobs/${job}/nodes/${rank}`)}>{words.nodes.name(rank)}</a>
      ),
    },
    { title: words.nodes.columns.state, cell: ({ state }) => <StateBadge state={state} /> },
    {
      title: words.nodes.columns.verdict,
      cell: ({ performance_status: status, replayed }) =>
        status === null ? "–" : <VerdictBadge verdict={status} replayed={replayed} />,
    },
    {
      title: words.nodes.columns.message,
      cell: ({ failed_message: message }) => <span class="message">{message ?? "–"}</span>,
    },
    { title: words.jobs.columns.created, cell: ({ created_at: at }) => <Time at={at} /> },
  ];
  return (
    <Section id="jobs" title={text.jobs}>
      {data === null ? (
        fault === null ? (
          <Skeleton rows={4} label={words.loading} />
        ) : (
          <FaultNotice fault={fault} retry={reload} />
        )
      ) : data.data.length === 0 ? (
        <Empty title={words.nodes.missing} />
      ) : (
        <Table label={text.jobs} columns={columns} rows={data.data} keyOf={({ id }) => id} />
      )}
    </Section>
  );
}
