/** Every machine that has joined a job, the one seen last first. */
import { api, call, type Schemas } from "../../lib/api.ts";
import { moveAlong, useShortcuts } from "../../lib/keys.ts";
import { given, withFilter } from "../../lib/list-query.ts";
import { type Loaded, useLoaded } from "../../lib/load.ts";
import { addressOf, go } from "../../lib/router.ts";
import { SpecBadge, VerdictBadge } from "../../parts/badge.tsx";
import {
  ANY,
  FilterCheck,
  FilterSearch,
  FilterSelect,
  FilterText,
} from "../../parts/filter-fields.tsx";
import { Empty, FaultNotice, Freshness, Skeleton } from "../../parts/notices.tsx";
import { PageHead } from "../../parts/page.tsx";
import { Pages } from "../../parts/pages.tsx";
import { type Column, Table } from "../../parts/table.tsx";
import { Time } from "../../parts/time.tsx";
import { words } from "../../words.ts";

type MachinePage = Schemas["MachinePage"];
type Machine = Schemas["Machine"];

const text = words.machines;
const FILTERS = [
  "name",
  "gpu_model",
  "provider",
  "region",
  "status",
  "spec_check",
  "has_findings",
] as const;
type Filter = (typeof FILTERS)[number];
const REFRESH_MS = 30_000;

export function MachinesPage({ query }: { query: URLSearchParams }) {
  const sent = given(query, [...FILTERS, "cursor", "per_page"]);
  const loaded = useLoaded<MachinePage>(
    `machines?${query}`,
    (signal) =>
      call(
        (both) =>
          api.GET("/api/silicon-mark/v1/machines", { params: { query: sent }, signal: both }),
        signal,
      ),
    { every: () => REFRESH_MS },
  );
  useShortcuts({
    j: () => moveAlong(".row-link", 1),
    k: () => moveAlong(".row-link", -1),
  });
  return (
    <>
      <PageHead
        title={text.title}
        beside={
          <span class="total" role="status">
            {loaded.data === null ? "" : text.total(loaded.data.pagination.total)}
          </span>
        }
      />
      <Filters query={query} />
      <Freshness loaded={loaded} />
      <List query={query} loaded={loaded} />
    </>
  );
}

function Filters({ query }: { query: URLSearchParams }) {
  const props = (name: Filter, label: string) => ({
    label,
    value: query.get(name) ?? "",
    set: (value: string) => go(addressOf("/machines", withFilter(query, { [name]: value }))),
  });
  return (
    <search>
      <form
        class="filters filter-row"
        aria-label={words.filters.label}
        onSubmit={(event) => event.preventDefault()}
      >
        <FilterSearch {...props("name", text.search)} />
        <FilterText {...props("gpu_model", text.gpu_model)} />
        <FilterText {...props("provider", text.columns.provider)} />
        <FilterText {...props("region", text.columns.region)} />
        <FilterSelect
          {...props("status", text.status)}
          options={[ANY, ...Object.entries(words.verdicts)]}
        />
        <FilterSelect
          {...props("spec_check", words.filters.spec_check)}
          options={[ANY, ...Object.entries(words.specChecks)]}
        />
        <FilterCheck {...props("has_findings", words.filters.has_findings)} />
      </form>
    </search>
  );
}

function List({ query, loaded }: { query: URLSearchParams; loaded: Loaded<MachinePage> }) {
  const { data, fault, reload } = loaded;
  if (data === null) {
    return fault === null ? (
      <Skeleton rows={12} label={text.loading} />
    ) : (
      <FaultNotice fault={fault} retry={reload} />
    );
  }
  if (data.results.length === 0) {
    return FILTERS.some((name) => query.has(name)) ? (
      <Empty title={text.noneTitle}>
        <p>{text.noneHint}</p>
        <a class="button" href={addressOf("/machines")}>
          {words.jobs.clearFilters}
        </a>
      </Empty>
    ) : (
      <Empty title={text.emptyTitle}>
        <p>{text.emptyHint}</p>
        <a class="button primary" href={addressOf("/jobs/new")}>
          {words.jobs.create}
        </a>
      </Empty>
    );
  }
  return (
    <>
      <Table
        label={text.title}
        columns={COLUMNS}
        rows={data.results}
        keyOf={({ machine_uuid: uuid }) => uuid}
      />
      <Pages
        path="/machines"
        query={query}
        rows={data.results.length}
        total={data.pagination.total}
        cursor={data.pagination.next_cursor}
      />
    </>
  );
}

const COLUMNS: readonly Column<Machine>[] = [
  {
    title: text.columns.name,
    isName: true,
    isBare: true,
    cell: ({ machine_uuid: uuid, host_name: name }) => (
      <>
        <a class="row-link" href={addressOf(`/machines/${uuid}`)}>
          {name ?? <code>{uuid.slice(0, 8)}</code>}
        </a>
        {name !== null && <code class="soft small uuid"> {uuid.slice(0, 8)}</code>}
      </>
    ),
  },
  { title: text.columns.gpus, cell: gpusOf },
  { title: text.columns.provider, cell: ({ provider }) => provider ?? "–" },
  { title: text.columns.region, cell: ({ region }) => region ?? "–" },
  {
    title: text.columns.verdict,
    cell: ({ status, replayed }) =>
      status === null ? "–" : <VerdictBadge verdict={status} replayed={replayed} />,
  },
  { title: text.columns.findings, isNumber: true, cell: ({ findings }) => findings ?? "–" },
  {
    title: text.columns.spec,
    cell: ({ spec_check: status }) => (status === null ? "–" : <SpecBadge status={status} />),
  },
  { title: text.columns.jobs, isNumber: true, cell: ({ jobs }) => jobs },
  { title: text.columns.seen, cell: ({ last_seen_at: at }) => <Time at={at} /> },
];

export function gpusOf({ gpu_models: models }: Pick<Machine, "gpu_models">): string {
  return models.map(({ model, count }) => `${count ?? "?"} × ${model}`).join(", ") || "–";
}
