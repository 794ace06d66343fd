/** What happens now: who has joined, who is missing, and how far each node and step is. */
import { go } from "../../lib/router.ts";
import { Copy } from "../../parts/copy.tsx";
import { Section } from "../../parts/section.tsx";
import { words } from "../../words.ts";
import { nodePage } from "./verdict.tsx";
import type { JobView, Task } from "./view.ts";

const text = words.progress;

interface ProgressProps {
  job: JobView;
  /** False: cells lead nowhere. */
  hasPages: boolean;
  /** Null where machines cannot join by it. */
  joinCommand: string | null;
}

export function ProgressSection({ job, joinCommand, hasPages }: ProgressProps) {
  const { current_nodes: joined, node_count: wanted } = job;
  const isMissing = joined < wanted && job.ended_at === null;
  return (
    <Section id="progress" title={text.title}>
      <div class="barrier">
        <p id="barrier">{text.joined(joined, wanted)}</p>
        <progress class="bar-track" value={joined} max={wanted} aria-labelledby="barrier" />
      </div>
      {isMissing && joinCommand !== null && (
        <div class="join">
          <p class="label">{text.join}</p>
          <Copy text={joinCommand} label={text.joinLabel} />
        </div>
      )}
      {isMissing && job.spec !== null && <p class="soft">{text.bySpec}</p>}
      <Steps job={job} />
      {wanted > 1 && <NodeGrid job={job} hasPages={hasPages} />}
    </Section>
  );
}

function Steps({ job }: { job: JobView }) {
  const seen = new Map<string, number>();
  return (
    <ol class="steps" aria-label={text.steps}>
      {job.benchmark_sequence.map(({ benchmark_id: id }, at) => {
        const repeat = (seen.get(id) ?? 0) + 1;
        seen.set(id, repeat);
        const key = repeat === 1 ? id : `${id}:${repeat}`;
        const { done, failed, running } = countStep(job, key, at);
        const count = text.step({ done, failed, running, all: job.node_count });
        const label = `${key}: ${count}`;
        return (
          <li key={key}>
            <span>
              <code>{key}</code>
            </span>
            <progress
              class="bar-track"
              value={done + failed}
              max={job.node_count}
              aria-label={label}
            />
            <span class="soft small">
              {count}
              {id === "cluster_network" && done + failed + running === 0 && `; ${text.waits}`}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

const stateOf = (task: Task, key: string) => task.benchmark_results[key]?.state;
const hasEnded = (task: Task, key: string) =>
  stateOf(task, key) === "completed" || stateOf(task, key) === "failed";

/** A node works at the first step that it has not ended. */
function countStep(job: JobView, key: string, at: number) {
  const done = job.tasks.filter((task) => stateOf(task, key) === "completed").length;
  const failed = job.tasks.filter((task) => stateOf(task, key) === "failed").length;
  const started = job.benchmark_results[key]?.started_at ?? null;
  const isCluster = key.startsWith("cluster_network");
  const running = job.tasks.filter(
    (task) =>
      task.ended_at === null &&
      !hasEnded(task, key) &&
      Object.keys(task.benchmark_results).filter((each) => hasEnded(task, each)).length === at &&
      (!isCluster || started !== null),
  ).length;
  return { done, failed, running: job.ended_at === null ? running : 0 };
}

/** A cell for each node, also for those that are missing. The table of nodes says the same in words. */
function NodeGrid({ job, hasPages }: { job: JobView; hasPages: boolean }) {
  const byRank = new Map(job.tasks.map((task) => [task.rank, task]));
  const address = nodePage(job.id);
  return (
    <div
      class="node-grid"
      aria-hidden="true"
      onClick={({ target }) => {
        const rank = target instanceof HTMLElement ? target.dataset.rank : undefined;
        if (rank !== undefined) go(address(Number(rank)));
      }}
    >
      {Array.from({ length: job.node_count }, (_, rank) => {
        const task = byRank.get(rank);
        const state = task === undefined ? words.nodes.missing : words.states[task.state];
        return (
          <span
            key={rank}
            class={`cell ${task?.state ?? "missing"}`}
            title={text.cell(rank, state)}
            data-rank={task === undefined || !hasPages ? undefined : rank}
          >
            {task?.state === "failed" ? "×" : task?.state === "completed" ? "✓" : ""}
          </span>
        );
      })}
    </div>
  );
}
