/** What a page says when there is nothing to show, nothing yet, or something went wrong. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Fault } from "../lib/api.ts";
import type { Loaded } from "../lib/load.ts";
import { words } from "../words.ts";
import { Time } from "./time.tsx";

/** An empty state: what is missing, and what to do next. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Holds the place of what is being loaded. */
export function Skeleton({ rows, label }: { rows: number; label: string }) {
  return (
    <div class="skeleton" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, row) => (
        <span key={row} />
      ))}
    </div>
  );
}

export function FaultNotice({ fault, retry }: { fault: Fault; retry?: () => void }) {
  return (
    <div class="notice bad" role="alert">
      <p>
        <b>{words.faultTitles[fault.kind]}</b> {fault.message}
      </p>
      {fault.details.length > 0 && (
        <ul>
          {fault.details.map(({ field, message }) => (
            <li key={field}>
              <code>{field}</code> {message}
            </li>
          ))}
        </ul>
      )}
      {fault.kind === "server" && fault.requestId !== null && (
        <p class="soft">{words.faults.request(fault.requestId)}</p>
      )}
      {retry !== undefined && (
        <button type="button" onClick={retry}>
          {words.actions.retry}
        </button>
      )}
    </div>
  );
}

/** Asks for a reload of the whole page. */
export function ReloadNotice({ tone, text }: { tone: "warn" | "bad"; text: string }) {
  return (
    <div class={`notice ${tone}`} role="alert">
      <p>{text}</p>
      <button type="button" onClick={() => location.reload()}>
        {words.actions.reload}
      </button>
    </div>
  );
}

/** Says that what is shown may be old, or that the server takes its time. */
export function Freshness({ loaded }: { loaded: Loaded<unknown> }) {
  const { data, fault, isSlow, at, reload } = loaded;
  if (fault !== null && data !== null) {
    return (
      <div class="notice warn" role="status">
        <p>
          {fault.message} {at !== null && words.faults.stale} {at !== null && <Time at={iso(at)} />}
        </p>
        <button type="button" onClick={reload}>
          {words.actions.retry}
        </button>
      </div>
    );
  }
  return isSlow ? (
    <p class="notice quiet" role="status">
      {words.faults.slow}
    </p>
  ) : null;
}

const iso = (at: number) => new Date(at).toISOString();

/** Above every page while the browser has no network. */
export function OfflineNotice() {
  const [isOffline, setIsOffline] = useState(!navigator.onLine);
  useEffect(() => {
    const look = () => setIsOffline(!navigator.onLine);
    addEventListener("online", look);
    addEventListener("offline", look);
    return () => {
      removeEventListener("online", look);
      removeEventListener("offline", look);
    };
  }, []);
  return (
    <div role="status">
      {isOffline && <p class="notice warn offline">{words.faults.offline}</p>}
    </div>
  );
}
