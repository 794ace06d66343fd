/** Live progress on the standard error: lines that are drawn over on a terminal, else a line for each event. */
import type { WriteStream } from "node:tty";
import type { JobDetail, Task } from "../api/types.ts";
import { cutTo, plain } from "../output/text.ts";
import { gpusOf } from "./report-lines.ts";
import type { Watched } from "./watch.ts";

const BAR_CELLS = 20;
/** Often enough for people. */
const DRAW_MS = 100;

export interface Display extends Watched {
  /** Leaves the last state on the screen. */
  end: () => void;
}

/** @param isQuiet shows nothing but remarks of trouble */
export function createDisplay(out: WriteStream, isQuiet: boolean): Display {
  if (isQuiet) return silent();
  return out.isTTY && out.columns > 0 ? new Drawing(out) : createLog(out);
}

function silent(): Display {
  return { onDetail() {}, onProgress() {}, onEvent() {}, onNote() {}, end() {} };
}

/** For logs: each event once, and the state when it changes. */
function createLog(out: WriteStream): Display {
  let state = "";
  return {
    onDetail(job) {
      if (job.state === state) return;
      state = job.state;
      out.write(`job ${job.id}: ${state}, ${job.current_nodes} of ${job.node_count} nodes\n`);
    },
    onProgress() {},
    onEvent({ at, message }) {
      out.write(`${at} ${plain(message)}\n`);
    },
    onNote(text) {
      out.write(`assay: ${plain(text)}\n`);
    },
    end() {},
  };
}

/** Draws the job's nodes over and over, no more lines than the terminal has, none wider than it is. */
class Drawing implements Display {
  readonly #out: WriteStream;
  #job: JobDetail | undefined;
  #note = "";
  #drawn = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #progress = new Map<number, { progress: number; message: string | null }>();
  readonly #onResize = () => this.#redrawAll();

  constructor(out: WriteStream) {
    this.#out = out;
    out.on("resize", this.#onResize);
  }

  onDetail(job: JobDetail): void {
    this.#job = job;
    for (const task of job.tasks) {
      const known = this.#progress.get(task.rank);
      if (known === undefined || task.progress >= known.progress || task.state !== "running") {
        this.#progress.set(task.rank, { progress: task.progress, message: task.message });
      }
    }
    this.#schedule();
  }

  onProgress({
    rank,
    progress,
    message,
  }: {
    rank: number;
    progress: number;
    message: string | null;
  }): void {
    this.#progress.set(rank, { progress, message });
    this.#schedule();
  }

  onEvent(event: { message: string }): void {
    this.#note = plain(event.message);
    this.#schedule();
  }

  onNote(text: string): void {
    this.#note = plain(text);
    this.#schedule();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#draw();
    this.#drawn = 0;
    this.#out.off("resize", this.#onResize);
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#draw();
    }, DRAW_MS);
  }

  /** After a change of size the lines above are wrapped anew, so that nobody knows how many there are. */
  #redrawAll(): void {
    if (this.#drawn > 0) this.#out.write("\x1b[2J\x1b[H");
    this.#drawn = 0;
    this.#draw();
  }

  #draw(): void {
    if (this.#job === undefined) return;
    const { columns, rows } = this.#out;
    const lines = linesOf(this.#job, this.#progress, this.#note, Math.max(4, rows - 1)).map(
      (line) => cutTo(line, Math.max(10, columns - 1)),
    );
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : "";
    this.#out.write(`${up}${lines.map((line) => `\x1b[2K${line}\n`).join("")}\x1b[J`);
    this.#drawn = lines.length;
  }
}

type Progress = ReadonlyMap<number, { progress: number; message: string | null }>;

/** Head, a line for each node as far as they cutTo, and the latest event. Nodes at work come first where not all cutTo. */
export function linesOf(job: JobDetail, progress: Progress, note: string, most: number): string[] {
  const head = `Job ${job.id}: ${job.state}, ${job.current_nodes} of ${job.node_count} nodes`;
  const foot = note === "" ? [] : [`  ${note}`];
  const room = most - 1 - foot.length;
  const joined = job.tasks;
  const nodes = joined.map((task) => nodeLine(task, progress.get(task.rank) ?? task));
  const waiting = job.node_count - joined.length;
  const last =
    waiting > 0 ? [`  ${waiting} ${waiting === 1 ? "node has" : "nodes have"} not joined yet`] : [];
  if (nodes.length + last.length <= room) return [head, ...nodes, ...last, ...foot];
  const order = joined.map((task, at) => ({ task, at }));
  order.sort((one, other) => Number(isIdle(one.task)) - Number(isIdle(other.task)));
  const shown = order
    .slice(0, Math.max(0, room - 1 - last.length))
    .map(({ at }) => nodes[at] ?? "");
  return [head, ...shown, `  … and ${joined.length - shown.length} more`, ...last, ...foot];
}

const isIdle = ({ state }: Task) => state !== "running" && state !== "starting";

function nodeLine(
  task: Task,
  { progress, message }: { progress: number; message: string | null },
): string {
  const filled = Math.round(Math.min(1, Math.max(0, progress)) * BAR_CELLS);
  const bar = `${"█".repeat(filled)}${"░".repeat(BAR_CELLS - filled)} ${String(Math.round(progress * 100)).padStart(3)} %`;
  return `  node ${String(task.rank).padEnd(3)} ${bar}  ${plain(stepOf(task, message))}  ${plain(gpusOf(task))}`.trimEnd();
}

/** The step that a node is in, in words. */
function stepOf(task: Task, message: string | null): string {
  if (task.failed_message !== null) return `${task.state}: ${task.failed_message}`;
  const running = Object.entries(task.benchmark_results).find(
    ([, { state }]) => state === "running",
  );
  if (running !== undefined) return message ? `${running[0]}: ${message}` : running[0];
  return task.state === "running" ? "waiting for the other nodes" : task.state;
}
