/** The list of jobs: what runs, what has ended, and with which verdict. */
import { useState } from "preact/hooks";
import { api, call, type Schemas } from "../../lib/api.ts";
import { moveAlong, useShortcuts } from "../../lib/keys.ts";
import { type Loaded, useLoaded } from "../../lib/load.ts";
import { addressOf } from "../../lib/router.ts";
import { LIVE_STATES } from "../../parts/badge.tsx";
import { Icon } from "../../parts/icon.tsx";
import { Empty, FaultNotice, Freshness, Skeleton } from "../../parts/notices.tsx";
import { PageHead } from "../../parts/page.tsx";
import { Pages } from "../../parts/pages.tsx";
import { words } from "../../words.ts";
import { Bulk } from "./bulk.tsx";
import { useCatalogue } from "./catalogue.ts";
import { Filters } from "./filters.tsx";
import { JobTable } from "./job-table.tsx";
import { activeFilters, listQuery } from "./query.ts";

type JobPage = Schemas["JobPage"];

const text = words.jobs;
/** States in the list may be some seconds old at the server, too. */
const LIVE_MS = 5_000;
const QUIET_MS = 30_000;

export function JobsPage({ query }: { query: URLSearchParams }) {
  const loaded = useLoaded<JobPage>(
    `jobs?${query}`,
    (signal) =>
      call(
        (both) =>
          api.GET("/api/silicon-mark/v1/jobs", {
            params: { query: listQuery(query) },
            signal: both,
          }),
        signal,
      ),
    {
      every: (page) =>
        page?.results.some(({ state }) => LIVE_STATES.has(state)) ? LIVE_MS : QUIET_MS,
    },
  );
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const catalogue = useCatalogue();
  const rows = loaded.data?.results ?? [];
  const toggle = (ids: readonly string[], isChosen: boolean) => {
    const next = new Set(chosen);
    for (const id of ids) isChosen ? next.add(id) : next.delete(id);
    setChosen(next);
  };
  useShortcuts({
    j: () => moveAlong(".job-link", 1),
    k: () => moveAlong(".job-link", -1),
    x: () => document.activeElement?.closest("tr")?.querySelector<HTMLElement>("input")?.click(),
  });
  return (
    <>
      <PageHead
        title={text.title}
        beside={
          <>
            <span class="total" role="status">
              {loaded.data === null ? "" : text.total(loaded.data.pagination.total)}
            </span>
            {activeFilters(query) === 0 && <Alerts />}
            <a class="button primary" href={addressOf("/jobs/new")}>
              <Icon name="plus" />
              {text.create}
            </a>
          </>
        }
      />
      <Filters query={query} benchmarks={catalogue.data?.benchmarks ?? []} />
      <Freshness loaded={loaded} />
      <Bulk
        chosen={rows.filter(({ id }) => chosen.has(id))}
        clear={() => setChosen(new Set())}
        changed={loaded.reload}
      />
      <List query={query} loaded={loaded} chosen={chosen} toggle={toggle} />
    </>
  );
}

interface ListProps {
  query: URLSearchParams;
  loaded: Loaded<JobPage>;
  chosen: ReadonlySet<string>;
  toggle: (ids: readonly string[], isChosen: boolean) => void;
}

function List({ query, loaded, chosen, toggle }: ListProps) {
  const { data, fault, reload } = loaded;
  if (data === null) {
    return fault === null ? (
      <Skeleton rows={12} label={text.loading} />
    ) : (
      <FaultNotice fault={fault} retry={reload} />
    );
  }
  if (data.results.length === 0) return <NoJobs isFiltered={activeFilters(query) > 0} />;
  return (
    <>
      <JobTable jobs={data.results} chosen={chosen} toggle={toggle} />
      <Pages
        path="/jobs"
        query={query}
        rows={data.results.length}
        total={data.pagination.total}
        cursor={data.pagination.next_cursor}
      />
    </>
  );
}

function NoJobs({ isFiltered }: { isFiltered: boolean }) {
  return isFiltered ? (
    <Empty title={text.noneTitle}>
      <p>{text.noneHint}</p>
      <a class="button" href={addressOf("/jobs")}>
        {text.clearFilters}
      </a>
    </Empty>
  ) : (
    <Empty title={text.emptyTitle}>
      <p>{text.emptyHint}</p>
      <a class="button primary" href={addressOf("/jobs/new")}>
        {text.create}
      </a>
    </Empty>
  );
}

/** Jobs whose nodes are slow, of all jobs: the reason why many people come here. */
function Alerts() {
  const { data } = useLoaded<Schemas["JobStats"]>("stats", (signal) =>
    call((both) => api.GET("/api/silicon-mark/v1/jobs/stats", { signal: both }), signal),
  );
  const count = data?.alert_job_count ?? 0;
  if (count === 0) return null;
  return (
    <span class="alerts">
      <Icon name="warning" />
      {text.alerts(count)}
    </span>
  );
}
