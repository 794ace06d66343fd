import { join } from "node:path";
import { startAgent } from "./agents.ts";
import { type Stage, showUntilEnded, waitForAgents } from "./demo-stage.ts";
import { ROOT } from "./project.ts";
import { findFreePort } from "./server.ts";

const REPLAY = "h100-nvl-x1.json";
/** The measurement takes 20 seconds, and waits up to two minutes for another one; on a slow machine longer. */
const TIMEOUT_MS = 10 * 60_000;

/** Runs HostMark on one agent, really measured, after a replayed QuickMark. Returns its figures as a line; throws unless it has completed. */
export async function measureHost(stage: Stage): Promise<string> {
  const { api, program, url } = stage;
  const job = await api.createJob({
    name: "Demo: this machine",
    description: "One node, replayed QuickMark, measured HostMark",
    benchmarks: ["host_mark"],
    node_count: 1,
    tags: ["demo"],
  });
  console.log("HostMark now measures this machine, for about 20 seconds.\n");
  const clusterAddress = `127.0.0.1:${await findFreePort()}`;
  const replayFile = join(ROOT, "agent/replays", REPLAY);
  const index = stage.agents.length;
  stage.add(
    startAgent({ program, index, host: url, token: job.token, clusterAddress, replayFile }),
  );
  const late = "The measurement of this machine did not end in time.";
  await showUntilEnded(stage, job.id, { timeoutMs: TIMEOUT_MS, late });
  const { state, tasks } = await api.job(job.id);
  if (state !== "completed") throw new Error(`The job of this machine ended as ${state}.`);
  await waitForAgents(stage);
  return hostLine(tasks[0]?.benchmark_results.host_mark?.results ?? {});
}

/** The figures of a host in words. */
function hostLine(results: Readonly<Record<string, unknown>>): string {
  const figure = (name: string, digits = 1) => {
    const value = results[name];
    return typeof value === "number" ? value.toFixed(digits) : "–";
  };
  const disk =
    typeof results.disk_reason === "string"
      ? `not measured (${results.disk_reason})`
      : `${figure("disk_sequential_write_mbs", 0)} MB/s write, ${figure("disk_sequential_read_mbs", 0)} MB/s read, ${figure("disk_random_read_p50_us", 0)} µs random read`;
  const { measurement } = results as { measurement?: { settled?: boolean } };
  const unsettled = measurement?.settled === false ? " (not settled)" : "";
  return `This machine, measured by HostMark${unsettled}: ${figure("effective_cores")} effective cores; memory ${figure("memory_triad_gbs")} GB/s; disk ${disk}.`;
}
