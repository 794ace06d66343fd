/** One job for whoever has a link to it, without a session. The token follows the `#`, which browsers send to no server. */
import { useEffect, useState } from "preact/hooks";
import { call, openApi } from "../../lib/api.ts";
import { moment } from "../../lib/format.ts";
import { useLoaded } from "../../lib/load.ts";
import { addressOf } from "../../lib/router.ts";
import type { Schemas } from "../../lib/schemas.ts";
import { FaultNotice, Freshness, Skeleton } from "../../parts/notices.tsx";
import { PageHead } from "../../parts/page.tsx";
import { words } from "../../words.ts";
import type { Fields } from "../jobs/catalogue.ts";
import { EventsSection } from "./events-log.tsx";
import { JobHead } from "./job-head.tsx";
import { LinksSection, type LoadResults } from "./links-section.tsx";
import { isBeingRated, type Progress } from "./live.ts";
import { NodesSection } from "./nodes-table.tsx";
import { ProgressSection } from "./progress.tsx";
import { RefusedSection } from "./refused.tsx";
import { SpecSection } from "./spec-section.tsx";
import { TelemetrySection } from "./telemetry.tsx";
import { VerdictSection } from "./verdict.tsx";

type SharedJob = Schemas["SharedJob"];

const text = words.shares;
const LIVE_MS = 5_000;
const NO_NEWS: ReadonlyMap<number, Progress> = new Map();

/** The catalogue is for people who have signed in. */
const FIELDS: Fields = {
  bf16_tflops: { display_name: words.shares.bf16, unit: "TFLOPS" },
  memory_bandwidth_gbs: { display_name: words.shares.memory, unit: "GB/s" },
};

export function SharedPage() {
  const [token, setToken] = useState(() => location.hash.slice(1));
  useEffect(() => {
    // A second link opened in the same tab.
    const look = () => setToken(location.hash.slice(1));
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  const params = { path: { share: token } };
  const loaded = useLoaded<SharedJob>(
    `shared ${token}`,
    (signal) =>
      call(
        (both) => openApi.GET("/api/silicon-mark/v1/shared/{share}", { params, signal: both }),
        signal,
      ),
    {
      every: (job) => (job === null || job.ended_at === null || isBeingRated(job) ? LIVE_MS : null),
    },
  );
  const { data, fault, reload } = loaded;
  if (data === null && fault === null) return <Skeleton rows={10} label={words.job.loading} />;
  if (data === null) {
    const isGone = fault?.kind === "missing" || fault?.kind === "refused";
    return (
      <div class="narrow">
        <PageHead title={text.page} />
        {isGone && <p class="notice warn">{text.missing}</p>}
        {!isGone && fault !== null && <FaultNotice fault={fault} retry={reload} />}
        <p>
          <a href={addressOf("/jobs")}>{text.signIn}</a>
        </p>
      </div>
    );
  }
  return (
    <div class="job">
      <p class="notice quiet">
        {text.shared}. {text.until} {moment(data.shared_until)}.
      </p>
      <Freshness loaded={loaded} />
      <Parts job={data} token={token} />
    </div>
  );
}

function Parts({ job, token }: { job: SharedJob; token: string }) {
  const isLive = job.ended_at === null;
  return (
    <>
      <JobHead job={job} mode={isLive ? "polling" : "done"} hasList={false} />
      {isLive ? (
        <ProgressSection job={job} joinCommand={null} hasPages={false} />
      ) : (
        <VerdictSection
          job={job}
          fields={FIELDS}
          isPending={isBeingRated(job)}
          nodeAddress={null}
        />
      )}
      <NodesSection job={job} fields={FIELDS} progress={NO_NEWS} hasPages={false} />
      <LinksSection job={job} load={loadResults(token)} />
      <TelemetrySection job={job} />
      <SpecSection job={job} />
      <RefusedSection job={job} />
      <EventsSection job={job} />
    </>
  );
}

const loadResults =
  (token: string): LoadResults =>
  (signal) => {
    const params = { path: { share: token } };
    return call(
      (both) =>
        openApi.GET("/api/silicon-mark/v1/shared/{share}/results", { params, signal: both }),
      signal,
    );
  };
