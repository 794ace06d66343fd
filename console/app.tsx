/** Which page an address is, and what surrounds all of them. */
import type { VNode } from "preact";
import { useEffect, useErrorBoundary, useState } from "preact/hooks";
import { forget } from "./lib/load.ts";
import { type Place, usePlace } from "./lib/router.ts";
import { type Ending, session } from "./lib/session.ts";
import { JobsPage } from "./pages/jobs/jobs-page.tsx";
import { NotFoundPage } from "./pages/not-found.tsx";
import { SignInPage } from "./pages/sign-in.tsx";
import { later } from "./parts/later.tsx";
import { ReloadNotice } from "./parts/notices.tsx";
import { Shell } from "./parts/shell.tsx";
import { words } from "./words.ts";

export function App() {
  const place = usePlace();
  const { isOpen, ending } = useSession();
  const shared = place.path === "/shared";
  const page = shared ? <Shared /> : isOpen ? pageOf(place) : <SignInPage ending={ending} />;
  return (
    <Shell isSignedIn={isOpen && !shared}>
      {/* Another page begins anew; another query of the same page does not. */}
      <Guarded key={`${isOpen} ${place.path}`}>{page}</Guarded>
    </Shell>
  );
}

function useSession(): { isOpen: boolean; ending: Ending | null } {
  const [state, setState] = useState({ isOpen: session.isOpen, ending: null as Ending | null });
  useEffect(
    () =>
      session.listen((ending) => {
        // The next person at this tab sees nothing of this one.
        if (ending !== null) forget();
        setState({ isOpen: session.isOpen, ending });
      }),
    [],
  );
  return state;
}

const NewJob = later(async () => (await import("./pages/new-job/new-job-page.tsx")).NewJobPage);
const Job = later(async () => (await import("./pages/job/job-page.tsx")).JobPage);
const Node = later(async () => (await import("./pages/job/node-page.tsx")).NodePage);
const Machines = later(
  async () => (await import("./pages/machines/machines-page.tsx")).MachinesPage,
);
const Machine = later(async () => (await import("./pages/machines/machine-page.tsx")).MachinePage);
const Shared = later(async () => (await import("./pages/job/shared-page.tsx")).SharedPage);

function pageOf({ path, query }: Place): VNode {
  const [, room = "", id = "", part = "", last = ""] = path.split("/").map(decode);
  const isJob = room === "jobs" && /^[0-9]{1,16}$/.test(id);
  if (path === "/" || path === "/jobs") return <JobsPage query={query} />;
  if (path === "/jobs/new") return <NewJob query={query} />;
  if (isJob && part === "") return <Job id={id} />;
  if (isJob && part === "nodes" && /^[0-9]{1,3}$/.test(last)) {
    return <Node id={id} rank={Number(last)} />;
  }
  if (path === "/machines") return <Machines query={query} />;
  if (room === "machines" && part === "") return <Machine uuid={id} />;
  return <NotFoundPage />;
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** A page that fails says so, and leaves the way to the others. */
function Guarded({ children }: { children: VNode }) {
  const [error] = useErrorBoundary((thrown) => console.error(thrown));
  return error === undefined ? children : <ReloadNotice tone="bad" text={words.faults.crashed} />;
}
