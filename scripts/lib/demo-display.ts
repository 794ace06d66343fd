import type { WriteStream } from "node:tty";
import type { JobDetail, NodeVerdict, TaskDetail } from "./api.ts";

const BAR_CELLS = 24;
/** Where the output is no terminal, lines are as long as they are. */
const WIDE = Number.POSITIVE_INFINITY;
/** The widest row of results: usual terminals have 80 characters. */
const TABLE_WIDTH = 106;

/**
 * Live progress: one line per node. On a terminal the lines are drawn over; elsewhere a line is
 * printed when a node gets to another step.
 */
export function createDisplay(out: WriteStream) {
  let drawn = 0;
  const printed = new Map<number, string>();
  /** By rank; a bar never runs backwards. */
  const reached: number[] = [];
  return {
    show(job: JobDetail): void {
      const lines = Array.from({ length: job.node_count }, (_, rank) => {
        const task = job.tasks[rank];
        const progress = task === undefined ? 0 : overallProgress(task, job.benchmarks.length);
        reached[rank] = Math.max(reached[rank] ?? 0, progress);
        return nodeLine(rank, task, reached[rank]);
      });
      if (out.isTTY) {
        const head = `Job ${job.id}: ${job.state}`;
        if (drawn > 0) out.write(`\x1b[${drawn}A`);
        out.write(
          [head, ...lines].map((line) => `\x1b[2K${line.slice(0, out.columns || 120)}\n`).join(""),
        );
        drawn = lines.length + 1;
        return;
      }
      for (const [rank, task] of job.tasks.entries()) {
        // The step alone: its message changes all the time.
        const stage = stepOf(task).split(":")[0] ?? "";
        if (printed.get(rank) === stage) continue;
        printed.set(rank, stage);
        out.write(`${lines[rank]}\n`);
      }
    },
    end(): void {
      out.write("\n");
    },
  };
}

function nodeLine(rank: number, task: TaskDetail | undefined, progress: number): string {
  if (task === undefined) return `  node ${rank}  has not joined yet`;
  const bar = progressBar(progress, BAR_CELLS);
  const name = gpusOf(task).padEnd(26);
  return `  node ${rank}  ${name}  ${bar}  ${stepOf(task)}`;
}

/** Of all steps of the job, 0 to 1. */
export function overallProgress(task: TaskDetail, steps: number): number {
  if (task.state === "completed") return 1;
  const results = Object.values(task.benchmark_results);
  const done = results.filter(({ state }) => state === "completed").length;
  const isRunning = results.some(({ state }) => state === "running");
  return Math.min(1, (done + (isRunning ? task.progress : 0)) / Math.max(1, steps));
}

/** Such as `2 × NVIDIA H100 NVL, 2 × NVIDIA L40S`. */
export function gpusOf({ gpu_models, gpu_count }: TaskDetail): string {
  const groups = gpu_models.map(({ model, count }) => `${count ?? "?"} × ${model}`);
  return groups.length > 0 ? groups.join(", ") : `${gpu_count ?? "?"} × unknown GPU`;
}

export function progressBar(progress: number, cells: number): string {
  const filled = Math.round(progress * cells);
  const percent = `${Math.round(progress * 100)} %`.padStart(5);
  return `${"█".repeat(filled)}${"░".repeat(cells - filled)} ${percent}`;
}

/** The step a node is in, in words. */
export function stepOf(task: TaskDetail): string {
  if (task.failed_message !== null) return `${task.state}: ${task.failed_message}`;
  const running = Object.entries(task.benchmark_results).find(
    ([, step]) => step.state === "running",
  );
  if (running !== undefined) return `${running[0]}${task.message ? `: ${task.message}` : ""}`;
  return task.state === "running" ? "waiting for the other nodes" : task.state;
}

const STATUS: Readonly<Record<string, string>> = {
  outperforming: "better than expected",
  expected: "as expected",
  underperforming: "UNDERPERFORMING",
  unrated: "not rated",
};
const RATED = [
  ["bf16_tflops", "BF16", "TFLOPS"],
  ["memory_bandwidth_gbs", "memory", "GB/s"],
] as const;

/**
 * The rated job: a row per node with its figures per GPU, then the network, the host, and the slow nodes.
 *
 * @param host line about the machine that all of it ran on
 * @param width of the terminal; at least 78 characters are used
 */
export function resultTable(job: JobDetail, host: string, width = WIDE): string {
  const isWide = width >= TABLE_WIDTH;
  const verdicts = new Map(job.scoreboard_summary?.nodes.map((node) => [node.rank, node]));
  const rows = job.tasks.map((task) => {
    const verdict = verdicts.get(task.rank);
    const figures = RATED.flatMap(([name]) => {
      const metric = verdict?.metrics.find(({ metric }) => metric === name);
      return [number(metric?.value), percent(metric?.ratio)];
    });
    const status = STATUS[verdict?.status ?? "unrated"] ?? "not rated";
    const gpus = isWide ? gpusOf(task) : gpusOf(task).replaceAll("NVIDIA ", "");
    return [String(task.rank), gpus, ...figures, status];
  });
  const head = isWide
    ? [["Node", "GPUs", "BF16 TFLOPS", "of baseline", "Memory GB/s", "of baseline", "Verdict"]]
    : [
        ["Node", "GPUs", "BF16", "of", "Memory", "of", "Verdict"],
        ["", "", "TFLOPS", "baseline", "GB/s", "baseline", ""],
      ];
  const sentences = [
    networkLine(job),
    host,
    ...job.tasks.flatMap(({ rank }) => slowLines(verdicts.get(rank))),
    "GPU figures are REPLAYED recordings, completed with medians. The baselines are medians of such runs, so 100 % is expected.",
  ];
  return [
    ...columns([...head, ...rows]),
    ...(Number.isFinite(width) ? sentences.flatMap((text) => wrap(text, width)) : sentences),
  ].join("\n");
}

/** A sentence in lines of whole words. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const longer = lines.length === 0 ? word : `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && longer.length <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

function slowLines(verdict: NodeVerdict | undefined): string[] {
  return RATED.flatMap(([name, label, unit]) => {
    const metric = verdict?.metrics.find(({ metric }) => metric === name);
    if (verdict === undefined || metric?.status !== "underperforming") return [];
    const { value, ratio, baseline } = metric;
    return [
      `Node ${verdict.rank} is slow: ${label} reaches ${percent(ratio)} of its baseline (${number(value)} of ${number(baseline)} ${unit}).`,
    ];
  });
}

function networkLine({ benchmark_results }: JobDetail): string {
  const cluster = benchmark_results.cluster_network?.results;
  if (cluster == null) return "Network: no results";
  const { total_links_tested, avg_bandwidth_gbps, min_bandwidth_gbps, avg_latency } = cluster;
  return `Network between the agents, measured on this machine's loopback: ${total_links_tested} links, ${number(avg_bandwidth_gbps)} Gbit/s on average, ${number(min_bandwidth_gbps)} the slowest, round trip ${number(avg_latency, 3)} ms.`;
}

function number(value: number | null | undefined, digits = 1): string {
  return typeof value === "number" ? value.toFixed(digits) : "–";
}

function percent(ratio: number | null | undefined): string {
  return typeof ratio === "number" ? `${(ratio * 100).toFixed(1)} %` : "–";
}

/** Pads each column to its widest cell; numbers to the right. */
export function columns(rows: string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => row[at]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, at) => {
        const width = widths[at] ?? 0;
        return /^[\d.–]+( %)?$/.test(cell) && at > 0 ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
}
