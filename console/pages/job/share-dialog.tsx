/** Links to a job for people without an account. */
import { useState } from "preact/hooks";
import { api, call, type Fault } from "../../lib/api.ts";
import { moment } from "../../lib/format.ts";
import { useLoaded } from "../../lib/load.ts";
import type { Schemas } from "../../lib/schemas.ts";
import { Copy } from "../../parts/copy.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { FaultNotice, Skeleton } from "../../parts/notices.tsx";
import { words } from "../../words.ts";

const text = words.shares;
const DAYS = [1, 7, 30, 90];
const DEFAULT_DAYS = "7";
const DAY_SECONDS = 86_400;

interface ShareDialogProps {
  jobId: string;
  close: () => void;
}

export function ShareDialog({ jobId, close }: ShareDialogProps) {
  const [days, setDays] = useState(DEFAULT_DAYS);
  const { list, made, fault, isBusy, create, revoke } = useShares(jobId);
  return (
    <Dialog title={text.title} close={close}>
      <p class="soft">{text.hint}</p>
      <div class="share-form">
        <label class="field">
          <span>{text.ttl}</span>
          <select value={days} onChange={(event) => setDays(event.currentTarget.value)}>
            {DAYS.map((each) => (
              <option key={each} value={each}>
                {text.days(each)}
              </option>
            ))}
          </select>
        </label>
        <button type="button" class="primary" disabled={isBusy} onClick={() => void create(days)}>
          {isBusy ? words.actions.busy : text.create}
        </button>
      </div>
      {fault !== null && <FaultNotice fault={fault} />}
      {made !== null && (
        <div class="notice good" role="status">
          <p>{text.once}</p>
          <Copy text={made} label={text.link} />
        </div>
      )}
      <h3>{text.list}</h3>
      {list.data === null ? (
        list.fault === null ? (
          <Skeleton rows={2} label={words.loading} />
        ) : (
          <FaultNotice fault={list.fault} retry={list.reload} />
        )
      ) : (
        <Shares shares={list.data.shares} isBusy={isBusy} revoke={revoke} />
      )}
      <div class="actions">
        <button type="button" onClick={close}>
          {words.actions.close}
        </button>
      </div>
    </Dialog>
  );
}

/** The links of a job, and what can be done with them. */
function useShares(jobId: string) {
  const [isBusy, setIsBusy] = useState(false);
  const [made, setMade] = useState<string | null>(null);
  const [fault, setFault] = useState<Fault | null>(null);
  const params = { path: { job_id: jobId } };
  const list = useLoaded<Schemas["Shares"]>(`shares ${jobId}`, (signal) =>
    call(
      (both) => api.GET("/api/silicon-mark/v1/jobs/{job_id}/shares", { params, signal: both }),
      signal,
    ),
  );
  const create = async (days: string) => {
    setIsBusy(true);
    const body = { ttl: Number(days) * DAY_SECONDS };
    const outcome = await call((signal) =>
      api.POST("/api/silicon-mark/v1/jobs/{job_id}/shares", { params, body, signal }),
    );
    setIsBusy(false);
    setFault(outcome.ok ? null : outcome.fault);
    // A server that does not know its own address answers a path.
    if (outcome.ok && outcome.data.url !== null) {
      setMade(new URL(outcome.data.url, location.origin).href);
    }
    list.reload();
  };
  const revoke = async (uuid: string) => {
    setIsBusy(true);
    const outcome = await call((signal) =>
      api.DELETE("/api/silicon-mark/v1/jobs/{job_id}/shares/{uuid}", {
        params: { path: { job_id: jobId, uuid } },
        signal,
      }),
    );
    setIsBusy(false);
    setFault(outcome.ok ? null : outcome.fault);
    list.reload();
  };
  return { list, made, fault, isBusy, create, revoke };
}

interface SharesProps {
  shares: readonly Schemas["Share"][];
  isBusy: boolean;
  revoke: (uuid: string) => Promise<void>;
}

function Shares({ shares, isBusy, revoke }: SharesProps) {
  if (shares.length === 0) return <p class="soft">{text.none}</p>;
  return (
    <ul class="shares">
      {shares.map(({ uuid, created_at: made, expires_at: until }) => (
        <li key={uuid}>
          <span>
            {text.made} {moment(made)}
            <br />
            <span class="soft">
              {text.until} {moment(until)}
            </span>
          </span>
          <button type="button" disabled={isBusy} onClick={() => void revoke(uuid)}>
            {text.revoke}
          </button>
        </li>
      ))}
    </ul>
  );
}
