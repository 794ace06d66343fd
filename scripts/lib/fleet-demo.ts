import { join } from "node:path";
import { type AgentProcess, startAgent } from "./agents.ts";
import { overallProgress } from "./demo-display.ts";
import { type Stage, waitForAgents, watchFor } from "./demo-stage.ts";
import { createFleetDisplay, type FleetRow, fleetTable } from "./fleet-display.ts";
import { ROOT } from "./project.ts";
import { findFreePort } from "./server.ts";

const HARDWARE = { architecture: "x86_64", cpu: 52, memory: 2 ** 39, disk: 2 ** 41, network: true };
const SPECS = [
  { name: "H100 node", slug: "h100-node", replay: "h100-nvl-x1.json", runners: 3 },
  { name: "A100 node", slug: "a100-node", replay: "a100-sxm4-80gb-x2.json", runners: 3 },
];
/** More nodes than there are runners: two of them work twice. */
const JOBS = [
  { name: "H100 pair", spec: "h100-node", benchmarks: ["cluster_network"], node_count: 2 },
  { name: "A100 trio", spec: "a100-node", benchmarks: ["cluster_network"], node_count: 3 },
  { name: "H100 trio", spec: "h100-node", benchmarks: ["quick_mark"], node_count: 3 },
];
/** The jobs take half a minute; on a very slow machine minutes. */
const FLEET_TIMEOUT_MS = 15 * 60_000;

/** Two specs, six runners, three jobs. Throws unless all jobs were claimed and have completed. */
export async function runFleet(stage: Stage): Promise<void> {
  const { api, program, url } = stage;
  const fleet: { uuid: string; name: string; spec: string }[] = [];
  for (const { name, slug, replay, runners } of SPECS) {
    const spec = await api.createSpec({ name, slug, ...HARDWARE });
    for (let n = 1; n <= runners; n++) {
      const runner = { name: `${slug.replace("-node", "")}-${n}`, slug: `rack-${slug}-${n}` };
      const { uuid, key } = await api.createRunner(runner);
      await api.offerSpec(uuid, spec.uuid);
      stage.add(
        startAgent({
          program,
          index: fleet.length,
          host: url,
          token: { runner: uuid, key },
          clusterAddress: `127.0.0.1:${await findFreePort()}`,
          replayFile: join(ROOT, "agent/replays", replay),
        }),
      );
      fleet.push({ uuid, name: runner.name, spec: slug });
    }
  }
  console.log(`Created ${SPECS.length} specs; ${fleet.length} runners wait for jobs`);
  const jobs: { id: string; name: string }[] = [];
  for (const job of JOBS) {
    const { id } = await api.createJob({ ...job, tags: ["fleet"] });
    jobs.push({ id, name: job.name });
    console.log(`Created job ${id}: ${job.name}, ${job.node_count} nodes like ${job.spec}`);
  }
  console.log();

  const display = createFleetDisplay(process.stdout);
  const late = "The jobs did not end in time.";
  // Runners stay until they are asked to leave.
  const hasFailed = ({ exitCode }: AgentProcess) => exitCode !== null;
  await watchFor(stage, { timeoutMs: FLEET_TIMEOUT_MS, late, hasFailed }, async () => {
    const details = await Promise.all(jobs.map(({ id }) => api.job(id)));
    const states = new Map((await api.runners()).map(({ uuid, state }) => [uuid, state]));
    const rows = fleet.map(({ uuid, name, spec }): FleetRow => {
      const at = details.findLastIndex(
        ({ ended_at, tasks }) =>
          ended_at === null &&
          tasks.some((task) => task.machine_uuid === uuid && task.state === "running"),
      );
      const detail = details[at];
      const task = detail?.tasks.find(({ machine_uuid }) => machine_uuid === uuid) ?? null;
      const job = jobs[at]?.name ?? null;
      const progress = task === null ? 0 : overallProgress(task, detail?.benchmarks.length ?? 1);
      return { name, spec, state: states.get(uuid) ?? "offline", job, task, progress };
    });
    display.show(
      rows,
      details.map((detail, at) => ({ name: jobs[at]?.name ?? "", detail })),
    );
    return details.every(({ ended_at }) => ended_at !== null) || null;
  });
  display.end();
  const details = await Promise.all(jobs.map(({ id }) => api.job(id)));
  const nameOf = new Map(fleet.map(({ uuid, name }) => [uuid, name]));
  console.log(
    fleetTable(
      details.map((detail, at) => ({ name: jobs[at]?.name ?? "", detail })),
      (uuid) => nameOf.get(uuid) ?? "an unknown machine",
    ),
  );
  const open = details.find(({ state }) => state !== "completed");
  if (open !== undefined) throw new Error(`Job ${open.id} ended as ${open.state}.`);
  const strangers = details
    .flatMap(({ tasks }) => tasks)
    .some((task) => !nameOf.has(task.machine_uuid));
  if (strangers) throw new Error("A node is not one of the runners.");
  for (const agent of stage.agents) agent.ask();
  await waitForAgents(stage);
  console.log("All jobs are completed, and all runners have stopped.");
}
