import type { ComponentType } from "preact";
import { useCallback, useEffect, useState } from "preact/hooks";
import type { Fault } from "../lib/api.ts";
import { renewPage } from "../lib/version.ts";
import { words } from "../words.ts";
import { FaultNotice, ReloadNotice, Skeleton } from "./notices.tsx";

const UNREACHABLE: Fault = {
  kind: "unreachable",
  message: words.faults.unreachable,
  details: [],
  requestId: null,
};

type Failure = { kind: "outdated" | "unreachable" } | { kind: "broken"; error: unknown };

/** A page whose code loads on its first visit. A page that is older than the server is reloaded. */
export function later<Props extends object>(load: () => Promise<ComponentType<Props>>) {
  let loaded: ComponentType<Props> | null = null;
  return function Later(props: Props) {
    const [, setIsLoaded] = useState(false);
    const [failure, setFailure] = useState<Failure | null>(null);
    const attempt = useCallback(async () => {
      setFailure(null);
      try {
        loaded = await load();
        setIsLoaded(true);
      } catch (error) {
        const version = await renewPage();
        if (version === "current") setFailure({ kind: "broken", error });
        else if (version !== "reloading") setFailure({ kind: version });
      }
    }, []);
    useEffect(() => {
      if (loaded !== null) return;
      void attempt();
      const again = () => void attempt();
      addEventListener("online", again);
      return () => removeEventListener("online", again);
    }, []);
    if (failure?.kind === "broken") throw failure.error;
    if (failure?.kind === "unreachable") {
      return <FaultNotice fault={UNREACHABLE} retry={() => void attempt()} />;
    }
    if (failure?.kind === "outdated") {
      return <ReloadNotice tone="warn" text={words.faults.outdated} />;
    }
    const Page = loaded;
    return Page === null ? <Skeleton rows={8} label={words.loading} /> : <Page {...props} />;
  };
}
