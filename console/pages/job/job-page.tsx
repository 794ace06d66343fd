/** One job: while it runs, how far it is; afterwards the verdict first, and all that it stands on. */

import { api, call, type Schemas } from "../../lib/api.ts";
import { joinCommand } from "../../lib/join.ts";
import { moveAlong, useShortcuts } from "../../lib/keys.ts";
import { useLoaded } from "../../lib/load.ts";
import { FaultNotice, Freshness, Skeleton } from "../../parts/notices.tsx";
import { PageHead } from "../../parts/page.tsx";
import { words } from "../../words.ts";
import { type Benchmark, type Fields, useCatalogue } from "../jobs/catalogue.ts";
import { Actions } from "./actions.tsx";
import { EventsSection } from "./events-log.tsx";
import { JobHead } from "./job-head.tsx";
import { LinksSection, type LoadResults } from "./links-section.tsx";
import { isSettling, type JobDetail, type LiveJob, useLiveJob } from "./live.ts";
import { NodeDetail } from "./node-detail.tsx";
import { NodesSection } from "./nodes-table.tsx";
import { ProgressSection } from "./progress.tsx";
import { RefusedSection } from "./refused.tsx";
import { SpecSection } from "./spec-section.tsx";
import { TelemetrySection } from "./telemetry.tsx";
import { nodePage, VerdictSection } from "./verdict.tsx";

export function JobPage({ id }: { id: string }) {
  const live = useLiveJob(id);
  const { job, fault } = live;
  const catalogue = useCatalogue();
  useShortcuts({
    j: () => moveAlong(".row-link", 1),
    k: () => moveAlong(".row-link", -1),
  });
  if (job === null) {
    return fault === null ? (
      <Skeleton rows={10} label={words.job.loading} />
    ) : (
      <>
        <PageHead title={`${words.job.id} ${id}`} />
        <FaultNotice fault={fault} retry={live.reload} />
      </>
    );
  }
  return <Page live={live} job={job} benchmarks={catalogue.data?.benchmarks ?? []} />;
}

/** Names and units of QuickMark's figures. */
export function quickMarkFields(benchmarks: readonly Benchmark[]): Fields {
  return benchmarks.find(({ id }) => id === "quick_mark")?.fields ?? {};
}

interface PageProps {
  live: LiveJob;
  job: JobDetail;
  benchmarks: readonly Benchmark[];
}

function Page({ live, job, benchmarks }: PageProps) {
  const fields = quickMarkFields(benchmarks);
  const isLive = job.ended_at === null;
  const [only] = job.node_count === 1 ? job.tasks : [];
  const canJoin = isLive && job.spec === null;
  return (
    <div class="job">
      <JobHead job={job} mode={live.mode} hasList={true}>
        <Actions job={job} changed={live.reload} />
      </JobHead>
      <Freshness loaded={{ ...live, data: job }} />
      {isLive ? (
        <ProgressSection
          job={job}
          joinCommand={canJoin ? (job.join_command ?? joinCommand(job.token)) : null}
          hasPages={true}
        />
      ) : (
        <VerdictSection
          job={job}
          fields={fields}
          isPending={isSettling(job) && job.state.startsWith("completed")}
          nodeAddress={nodePage(job.id)}
        />
      )}
      <NodesSection job={job} fields={fields} progress={live.progress} hasPages={true} />
      <LinksSection job={job} load={loadResults(job.id)} />
      {only === undefined ? (
        <>
          <TelemetrySection job={job} />
          <SpecSection job={job} />
        </>
      ) : (
        <OnlyNode job={job} taskId={only.id} benchmarks={benchmarks} />
      )}
      <RefusedSection job={job} />
      <EventsSection job={job} />
    </div>
  );
}

const loadResults =
  (id: string): LoadResults =>
  (signal) => {
    const params = { path: { job_id: id } };
    return call(
      (both) => api.GET("/api/silicon-mark/v1/jobs/{job_id}/results", { params, signal: both }),
      signal,
    );
  };

/** A job of one machine shows all of it. */
function OnlyNode({
  job,
  taskId,
  benchmarks,
}: {
  job: JobDetail;
  taskId: string;
  benchmarks: readonly Benchmark[];
}) {
  const { data, fault, reload } = useTask(taskId, job.ended_at ?? String(job.events.length));
  if (data === null) {
    return fault === null ? (
      <Skeleton rows={6} label={words.loading} />
    ) : (
      <FaultNotice fault={fault} retry={reload} />
    );
  }
  return <NodeDetail node={nodeOf(data)} benchmarks={benchmarks} />;
}

/** @param version changes when the task may have something new */
export function useTask(taskId: string, version: string) {
  const params = { path: { task_id: taskId } };
  return useLoaded<Schemas["TaskWithResults"]>(`task ${taskId} ${version}`, (signal) =>
    call(
      (both) => api.GET("/api/silicon-mark/v1/tasks/{task_id}/results", { params, signal: both }),
      signal,
    ),
  );
}

export function nodeOf(task: Schemas["TaskWithResults"]) {
  const { performance, inventory, manufacturer_gpu_spec: dataSheet } = task;
  return { task, performance, inventory, dataSheet };
}
