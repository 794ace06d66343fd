import type { WriteStream } from "node:tty";
import type { JobDetail, TaskDetail } from "./api.ts";

const BAR_CELLS = 24;

/**
 * Live progress: one line per node. On a terminal the lines are drawn over; elsewhere a line is
 * printed when a node gets to another step.
 */
export function createDisplay(out: WriteStream) {
  let drawn = 0;
  const printed = new Map<number, string>();
  return {
    show(job: JobDetail): void {
      const lines = Array.from({ length: job.node_count }, (_, rank) =>
        nodeLine(rank, job.tasks[rank]),
      );
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
        const stage = `${task.state} ${stepOf(task)} ${Math.floor(task.progress * 4)}`;
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

function nodeLine(rank: number, task: TaskDetail | undefined): string {
  if (task === undefined) return `  node ${rank}  has not joined yet`;
  const bar = progressBar(task.progress, BAR_CELLS);
  const name = gpusOf(task).padEnd(26);
  return `  node ${rank}  ${name}  ${bar}  ${stepOf(task)}`;
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

/** The settled job: a row per node, then the cluster. */
export function resultTable(job: JobDetail): string {
  const rows = job.tasks.map((task) => {
    const figures = task.benchmark_results.quick_mark?.results?.aggregate_results;
    return [
      String(task.rank),
      task.gpu_models.map(({ model }) => model).join(", ") || "unknown",
      String(task.gpu_count ?? "?"),
      number(figures?.bf16_tflops),
      number(figures?.memory_bandwidth_gbs),
      task.state,
    ];
  });
  const table = columns([
    ["Node", "GPU model", "GPUs", "BF16 TFLOPS", "Memory GB/s", "State"],
    ...rows,
  ]);
  const cluster = job.benchmark_results.cluster_network?.results;
  const network =
    cluster == null
      ? ["Cluster network: no results"]
      : [
          "Cluster network, measured between the agents on this machine",
          `  Average bandwidth  ${number(cluster.avg_bandwidth_gbps)} Gbit/s`,
          `  Minimum bandwidth  ${number(cluster.min_bandwidth_gbps)} Gbit/s`,
          `  Average latency    ${number(cluster.avg_latency, 3)} ms`,
          `  Links tested       ${cluster.total_links_tested}`,
        ];
  return [
    ...table,
    "",
    "REPLAYED: QuickMark figures are recordings, not measured here.",
    "",
    ...network,
    "",
  ].join("\n");
}

function number(value: number | null | undefined, digits = 1): string {
  return typeof value === "number" ? value.toFixed(digits) : "–";
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
        return /^[\d.–]+$/.test(cell) && at > 0 ? cell.padStart(width) : cell.padEnd(width);
      })
      .join("  ")
      .trimEnd(),
  );
}
