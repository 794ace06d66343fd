/** What an owner can do with a job: report, abort, delete. */
import { useEffect, useRef, useState } from "preact/hooks";
import { api, call, type Fault } from "../../lib/api.ts";
import { addressOf, go } from "../../lib/router.ts";
import { IDLE_STATES, LIVE_STATES } from "../../parts/badge.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { Icon } from "../../parts/icon.tsx";
import { FaultNotice } from "../../parts/notices.tsx";
import { words } from "../../words.ts";
import { abortJob, deleteJob } from "../jobs/bulk.tsx";
import type { JobDetail } from "./live.ts";
import { ShareDialog } from "./share-dialog.tsx";

const text = words.job;
type Act = "abort" | "remove";

export function Actions({ job, changed }: { job: JobDetail; changed: () => void }) {
  const [asking, setAsking] = useState<Act | null>(null);
  const [isSharing, setIsSharing] = useState(false);
  const [isBusy, setIsBusy] = useState(false);
  const [fault, setFault] = useState<Fault | null>(null);
  const element = useRef<HTMLDivElement>(null);
  const hasRun = useRef(false);
  // Once the job's state changes, the pressed button disappears and loses the focus, before or after the dialog closes.
  useEffect(() => {
    if (hasRun.current && document.activeElement === document.body) element.current?.focus();
  }, [job.state, asking]);
  const run = async (act: Act) => {
    setIsBusy(true);
    hasRun.current = true;
    const outcome = await (act === "abort" ? abortJob(job.id) : deleteJob(job.id));
    setIsBusy(false);
    setAsking(null);
    setFault(outcome.ok ? null : outcome.fault);
    if (outcome.ok && act === "remove") go(addressOf("/jobs"));
    else changed();
  };
  const button = (act: Act) => (
    <button type="button" onClick={() => setAsking(act)}>
      {text[act]}
    </button>
  );
  return (
    <>
      <div ref={element} tabIndex={-1} class="actions end">
        <ReportButton job={job} changed={changed} setFault={setFault} />
        <button type="button" onClick={() => setIsSharing(true)}>
          {text.share}
        </button>
        {LIVE_STATES.has(job.state) && button("abort")}
        {IDLE_STATES.has(job.state) && button("remove")}
      </div>
      {fault !== null && <FaultNotice fault={fault} />}
      {isSharing && <ShareDialog jobId={job.id} close={() => setIsSharing(false)} />}
      {asking !== null && (
        <Confirm
          title={asking === "abort" ? text.abortTitle : text.removeTitle}
          action={text[asking]}
          isBusy={isBusy}
          confirm={() => void run(asking)}
          close={() => setAsking(null)}
        >
          <p>
            <b>{job.name}</b>
          </p>
          <p>{asking === "abort" ? text.abortHint : text.removeHint}</p>
        </Confirm>
      )}
    </>
  );
}

interface ReportProps {
  job: JobDetail;
  changed: () => void;
  setFault: (fault: Fault | null) => void;
}

function ReportButton({ job, changed, setFault }: ReportProps) {
  const [isAsked, setIsAsked] = useState(false);
  if (job.ended_at === null || job.current_nodes === 0) return null;
  const make = async () => {
    setIsAsked(true);
    const params = { path: { job_id: job.id } };
    const outcome = await call((signal) =>
      api.POST("/api/silicon-mark/v1/jobs/{job_id}/report", { params, signal }),
    );
    setFault(outcome.ok ? null : outcome.fault);
    setIsAsked(false);
    changed();
  };
  const { pdf_report_url: url } = job;
  return (
    <>
      {url !== null && (
        <a class="button primary" href={url} target="_blank" rel="noopener">
          {text.report}
          <Icon name="out" />
        </a>
      )}
      <button type="button" disabled={isAsked} onClick={() => void make()}>
        {isAsked ? words.actions.busy : url === null ? text.makeReport : text.remakeReport}
      </button>
    </>
  );
}
