/** Times: relative on the page, absolute for whoever points at them or listens. */
import { useEffect, useState } from "preact/hooks";
import { ago, duration, moment } from "../lib/format.ts";

const TICK_MS = 10_000;
const listeners = new Set<(now: number) => void>();
let timer = 0;

/** The current time, a few times a minute. */
export function useNow(): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    listeners.add(setNow);
    if (listeners.size === 1) {
      timer = setInterval(() => {
        for (const listener of listeners) listener(Date.now());
      }, TICK_MS);
    }
    return () => {
      listeners.delete(setNow);
      if (listeners.size === 0) clearInterval(timer);
    };
  }, []);
  return now;
}

export function Time({ at }: { at: string }) {
  const now = useNow();
  return (
    <time dateTime={at} title={moment(at)}>
      {ago(at, now)}
    </time>
  );
}

/** Relative, and absolute beside it. */
export function FullTime({ at }: { at: string }) {
  const now = useNow();
  return (
    <time dateTime={at}>
      {moment(at)} <span class="soft">({ago(at, now)})</span>
    </time>
  );
}

/** From one moment to another, or until now. */
export function Elapsed({ from, to }: { from: string; to: string | null }) {
  const now = useNow();
  const end = to === null ? now : new Date(to).getTime();
  return <>{duration(end - new Date(from).getTime())}</>;
}
