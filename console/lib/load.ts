/** Data of a page: loaded, kept fresh while somebody looks, and shown again at once by the back button. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Fault, Outcome } from "./api.ts";

/** Longer, and people wonder whether anything happens. */
const SLOW_MS = 3_000;
/** Pages that the back button shows without waiting. */
const REMEMBERED = 24;

const memory = new Map<string, { data: unknown; at: number }>();

export interface Loaded<Data> {
  /** The newest there is; null before the first. */
  data: Data | null;
  /** Of the last attempt. The data may still be there, from an earlier one. */
  fault: Fault | null;
  /** An attempt has been under way for longer than people wait without wondering. */
  isSlow: boolean;
  /** The time of the data. */
  at: number | null;
  reload(): void;
}

interface Options<Data> {
  /** Time until the next attempt; null for none. Nothing is loaded while the page is hidden. */
  every?: (data: Data | null) => number | null;
}

/** @param key names what is loaded: another key begins anew */
export function useLoaded<Data>(
  key: string,
  load: (signal: AbortSignal) => Promise<Outcome<Data>>,
  { every }: Options<Data> = {},
): Loaded<Data> {
  const [state, setState] = useState<State<Data>>(() => remembered(key));
  const [attempt, setAttempt] = useState(0);
  const latest = useRef({ load, every });
  latest.current = { load, every };
  const current = state.key === key ? state : remembered<Data>(key);

  useEffect(() => {
    const ending = new AbortController();
    let timer = 0;
    const run = async () => {
      const slow = setTimeout(() => {
        setState((old) => ({ ...of(old, key), isSlow: true }));
      }, SLOW_MS);
      try {
        const outcome = await latest.current.load(ending.signal);
        const at = Date.now();
        if (outcome.ok) remember(key, outcome.data, at);
        setState((old) => {
          const before = of(old, key);
          return outcome.ok
            ? { key, data: outcome.data, fault: null, isSlow: false, at }
            : { ...before, fault: outcome.fault, isSlow: false };
        });
        schedule(outcome.ok ? outcome.data : null);
      } catch (error) {
        // The page has gone on to something else.
        if (!ending.signal.aborted) throw error;
      } finally {
        clearTimeout(slow);
      }
    };
    const schedule = (data: Data | null) => {
      const wait = latest.current.every?.(data) ?? null;
      if (wait === null || ending.signal.aborted) return;
      timer = setTimeout(() => {
        if (document.visibilityState === "visible") return void run();
        document.addEventListener("visibilitychange", () => void run(), {
          once: true,
          signal: ending.signal,
        });
      }, wait);
    };
    // A connection that is back is tried at once.
    addEventListener("online", () => setAttempt((count) => count + 1), { signal: ending.signal });
    void run();
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
  }, [key, attempt]);

  const reload = useCallback(() => setAttempt((count) => count + 1), []);
  const { data, fault, isSlow, at } = current;
  return { data, fault, isSlow, at, reload };
}

interface State<Data> {
  key: string;
  data: Data | null;
  fault: Fault | null;
  isSlow: boolean;
  at: number | null;
}

function remembered<Data>(key: string): State<Data> {
  const found = memory.get(key);
  const data = (found?.data ?? null) as Data | null; // stored under the same key by the same load
  return { key, data, fault: null, isSlow: false, at: found?.at ?? null };
}

function of<Data>(state: State<Data>, key: string): State<Data> {
  return state.key === key ? state : remembered(key);
}

function remember(key: string, data: unknown, at: number): void {
  memory.delete(key);
  memory.set(key, { data, at });
  for (const oldest of memory.keys()) {
    if (memory.size <= REMEMBERED) break;
    memory.delete(oldest);
  }
}

/** Forgets everything, so that the next person at this tab sees nothing of it. */
export function forget(): void {
  memory.clear();
}
