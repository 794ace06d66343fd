/** Aborts or deletes the chosen jobs, after a question. */
import { useEffect, useRef, useState } from "preact/hooks";
import { api, call, type Outcome, type Schemas } from "../../lib/api.ts";
import { IDLE_STATES, LIVE_STATES } from "../../parts/badge.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { words } from "../../words.ts";

type Job = Pick<Schemas["Job"], "id" | "name" | "state">;
type Act = "abort" | "remove";

const text = words.jobs;
/** Requests at the same time: a page of jobs stays far below the limit of a person. */
const AT_ONCE = 4;
/** Names in the question; the rest is a number. */
const SHOWN = 8;

interface BulkProps {
  chosen: readonly Job[];
  clear: () => void;
  /** After jobs have changed. */
  changed: () => void;
}

interface Report {
  done: number;
  refused: readonly { name: string; message: string }[];
}

export function Bulk({ chosen, clear, changed }: BulkProps) {
  const [act, setAct] = useState<Act | null>(null);
  const [isBusy, setIsBusy] = useState(false);
  const [report, setReport] = useState<Report | null>(null);
  const able = { abort: chosen.filter(isLive), remove: chosen.filter(isIdle) };
  const run = async (kind: Act) => {
    setIsBusy(true);
    const next = await runAll(able[kind], kind);
    setIsBusy(false);
    setAct(null);
    setReport(next);
    clear();
    changed();
  };
  return (
    <div class="bulk">
      {chosen.length > 0 && (
        <>
          <span>{text.selected(chosen.length)}</span>
          {(["abort", "remove"] as const).map((kind) => (
            <button
              key={kind}
              type="button"
              disabled={able[kind].length === 0}
              title={able[kind].length === 0 ? reasonFor(kind) : undefined}
              onClick={() => setAct(kind)}
            >
              {text[kind](able[kind].length)}
            </button>
          ))}
          <button type="button" class="quiet" onClick={clear}>
            {text.clear}
          </button>
        </>
      )}
      <div role="status">{report !== null && <Told report={report} />}</div>
      {act !== null && (
        <Confirm
          title={`${text[act](able[act].length)}?`}
          action={text[act](able[act].length)}
          isBusy={isBusy}
          confirm={() => void run(act)}
          close={() => setAct(null)}
        >
          <p>{act === "abort" ? text.abortHint : text.removeHint}</p>
          <Names jobs={able[act]} />
          {able[act].length < chosen.length && (
            <p class="soft">
              {text.leftOut(chosen.length - able[act].length)} {reasonFor(act)}
            </p>
          )}
        </Confirm>
      )}
    </div>
  );
}

const isLive = ({ state }: Job) => LIVE_STATES.has(state);
const isIdle = ({ state }: Job) => IDLE_STATES.has(state);
const reasonFor = (act: Act) => (act === "abort" ? text.notAbortable : text.notRemovable);

function Names({ jobs }: { jobs: readonly Job[] }) {
  return (
    <ul class="names">
      {jobs.slice(0, SHOWN).map(({ id, name }) => (
        <li key={id}>{name}</li>
      ))}
      {jobs.length > SHOWN && <li class="soft">+ {jobs.length - SHOWN}</li>}
    </ul>
  );
}

function Told({ report }: { report: Report }) {
  const { done, refused } = report;
  const element = useRef<HTMLDivElement>(null);
  // The pressed button has disappeared, and has lost the focus.
  useEffect(() => element.current?.focus(), [report]);
  return (
    <div ref={element} tabIndex={-1} class={`notice ${refused.length === 0 ? "good" : "warn"}`}>
      <p>{text.done(done, refused.length)}</p>
      {refused.length > 0 && (
        <ul>
          {refused.map(({ name, message }) => (
            <li key={name}>
              <b>{name}</b> {message}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

async function runAll(jobs: readonly Job[], act: Act): Promise<Report> {
  const left = [...jobs];
  const refused: Report["refused"][number][] = [];
  let done = 0;
  const work = async () => {
    for (let job = left.shift(); job !== undefined; job = left.shift()) {
      const outcome = await (act === "abort" ? abortJob(job.id) : deleteJob(job.id));
      if (outcome.ok) done++;
      else refused.push({ name: job.name, message: outcome.fault.message });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return { done, refused };
}

export function abortJob(id: string): Promise<Outcome<Schemas["AbortedJob"]>> {
  const params = { path: { job_id: id } };
  return call((signal) => api.POST("/api/silicon-mark/v1/jobs/{job_id}/abort", { params, signal }));
}

export function deleteJob(id: string): Promise<Outcome<Schemas["DeletedJob"]>> {
  const params = { path: { job_id: id } };
  return call((signal) => api.DELETE("/api/silicon-mark/v1/jobs/{job_id}", { params, signal }));
}
