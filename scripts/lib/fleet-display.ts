import type { WriteStream } from "node:tty";
import type { JobDetail, RunnerDetail, TaskDetail } from "./api.ts";
import { columns, gpusOf, progressBar, stepOf } from "./demo-display.ts";

const BAR_CELLS = 12;

/** A runner, and the task that it works on. */
export interface FleetRow {
  name: string;
  spec: string;
  state: RunnerDetail["state"];
  job: string | null;
  task: TaskDetail | null;
  /** Of all steps of the job, 0 to 1. */
  progress: number;
}

interface NamedJob {
  name: string;
  detail: JobDetail;
}

/**
 * A live table: a line per runner and one for the jobs. On a terminal it is drawn over; elsewhere a line
 * is printed when a runner gets to something else.
 */
export function createFleetDisplay(out: WriteStream) {
  let drawn = 0;
  const printed = new Map<string, string>();
  return {
    show(rows: readonly FleetRow[], jobs: readonly NamedJob[]): void {
      const summary = jobs.map(({ name, detail }) => `${name}: ${detail.state}`).join("   ");
      if (out.isTTY) {
        const lines = [HEAD, ...rows.map(rowLine), "", summary];
        if (drawn > 0) out.write(`\x1b[${drawn}A`);
        const width = out.columns || 120;
        out.write(lines.map((line) => `\x1b[2K${line.slice(0, width)}\n`).join(""));
        drawn = lines.length;
        return;
      }
      if (printed.size === 0) out.write(`${HEAD}\n`);
      for (const row of rows) {
        const { task } = row;
        const stage = `${row.job} ${task === null ? "" : `${stepOf(task).split(":")[0]} ${Math.floor(row.progress * 2)}`}`;
        if (printed.get(row.name) === stage) continue;
        printed.set(row.name, stage);
        out.write(`${rowLine(row)}\n`);
      }
      if (printed.get("") === summary) return;
      printed.set("", summary);
      out.write(`${summary}\n`);
    },
    end(): void {
      out.write("\n");
    },
  };
}

const HEAD = line("Runner", "Offers", "State", "Job", "");

function line(name: string, spec: string, state: string, job: string, rest: string): string {
  const cells = [name.padEnd(8), spec.padEnd(10), state.padEnd(8), job.padEnd(10), rest];
  return `  ${cells.join("  ")}`.trimEnd();
}

function rowLine({ name, spec, state, job, task, progress }: FleetRow): string {
  const rest = task === null ? "" : `${progressBar(progress, BAR_CELLS)}  ${stepOf(task)}`;
  return line(name, spec, state, job ?? "–", rest);
}

/** The settled jobs: a row per task. */
export function fleetTable(
  jobs: readonly NamedJob[],
  nameOf: (machineUuid: string) => string,
): string {
  const rows = jobs.flatMap(({ name, detail }) =>
    detail.tasks.map((task) => {
      const figures = task.benchmark_results.quick_mark?.results?.aggregate_results;
      return [
        name,
        String(task.rank),
        nameOf(task.machine_uuid),
        gpusOf(task),
        figures?.bf16_tflops?.toFixed(1) ?? "–",
        task.state,
      ];
    }),
  );
  const table = columns([["Job", "Node", "Runner", "GPUs", "BF16 TFLOPS", "State"], ...rows]);
  const note = "REPLAYED: QuickMark figures are recordings, not measured here.";
  return [...table, "", note, ""].join("\n");
}
