import { join } from "node:path";
import { startAgent } from "./agents.ts";
import { type Stage, showUntilEnded, waitForAgents } from "./demo-stage.ts";
import { ROOT } from "./project.ts";
import { findFreePort } from "./server.ts";

const REPLAY = "h100-nvl-x1.json";
/** The measurement takes 20 seconds, and waits up to two minutes for another one; on a slow machine longer. */
const TIMEOUT_MS = 10 * 60_000;

/** HostMark on one agent, measured on this machine beside a replayed QuickMark. Throws unless it has completed. */
export async function runHost(stage: Stage): Promise<void> {
  const { api, program, url } = stage;
  const job = await api.createJob({
    name: "Demo: this machine",
    description: "One node, replayed QuickMark, measured HostMark",
    benchmarks: ["host_mark"],
    node_count: 1,
    tags: ["demo"],
  });
  console.log(`\nCreated job ${job.id}: HostMark measures this machine\n`);
  const clusterAddress = `127.0.0.1:${await findFreePort()}`;
  const replayFile = join(ROOT, "agent/replays", REPLAY);
  const index = stage.agents.length;
  stage.add(
    startAgent({ program, index, host: url, token: job.token, clusterAddress, replayFile }),
  );
  const late = "The measurement did not end in time.";
  await showUntilEnded(stage, job.id, { timeoutMs: TIMEOUT_MS, late });
  const { state, tasks } = await api.job(job.id);
  if (state !== "completed") throw new Error(`The job ended as ${state}.`);
  console.log(describeHost(tasks[0]?.benchmark_results.host_mark?.results ?? {}));
  await waitForAgents(stage);
  console.log("This machine is measured.");
}

/** The figures of a host in words. */
export function describeHost(results: Readonly<Record<string, unknown>>): string {
  const figure = (name: string, digits = 1) => {
    const value = results[name];
    return typeof value === "number" ? value.toFixed(digits) : "–";
  };
  const memory = `${figure("memory_triad_gbs")} GB/s triad, ${figure("memory_copy_gbs")} GB/s copy`;
  const disk =
    typeof results.disk_reason === "string"
      ? `not measured: ${results.disk_reason}`
      : `${figure("disk_sequential_write_mbs", 0)} MB/s write, ${figure("disk_sequential_read_mbs", 0)} MB/s read, ${figure("disk_random_read_p50_us", 0)} µs random read`;
  const { measurement } = results as { measurement?: { settled?: boolean } };
  return [
    `HostMark, measured on this machine${measurement?.settled === false ? ", which was not quiet" : ""}`,
    `  Effective cores    ${figure("effective_cores")}`,
    `  Memory             ${memory}`,
    `  Disk               ${disk}`,
    "",
  ].join("\n");
}
