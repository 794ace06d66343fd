/** The line of `--json` with which each job of this agent ends, and the agent itself. */
import { constants } from "node:os";
import type { Conclusion } from "./conclusion.ts";
import { clip } from "./log.ts";
import type { Task } from "./protocol.ts";
import type { AgentEnd } from "./session.ts";
import type { RunStep } from "./step-context.ts";
import { describeConclusion } from "./verdict-text.ts";

export const EXIT = { completed: 0, notCompleted: 1, usage: 2 } as const;

/** Nothing was sent yet; the message is for people. */
export class UsageError extends Error {}

/**
 * How it ended: the state of the task; or, without an end of the task, why the agent ended. `stopped`: a runner as it was
 * told; `interrupted`: by a signal, and the task stays open.
 */
export type Verdict =
  | "completed"
  | "failed"
  | "aborted"
  | "stopped"
  | "interrupted"
  | "error"
  | "usage";

export interface Ending {
  verdict: Verdict;
  exitCode: number;
  /** For people. */
  reason: string;
  task?: Task | null;
  machineUuid?: string | null;
  /** How a node heard of changes last; null for a runner, and before it has joined. */
  transport?: "channel" | "polling" | null;
  /** The steps that this process has run. */
  steps?: readonly StepEnd[];
  /** What the server says of this node; null if it does not, and of a runner's job. */
  conclusion?: Conclusion | null;
  /** The inventory's `gpu`: what came of asking for them, and why they could not be asked. */
  gpu?: unknown;
}

/** A step as it ended here, whether the server has taken its result or not. */
export interface StepEnd {
  position: number;
  benchmark_id: string;
  state: string;
  error_message: string | null;
  results: unknown;
}

const MAX_REASON = 1_000;

/** Whether the arguments ask for JSON, also where they are wrong otherwise. */
export function wantsJson(argv: readonly string[]): boolean {
  return argv.includes("--json");
}

/** One line: the task as the server last had it, its `id` and `state` null without one, and `agent`. */
export function endLine(ending: Ending): string {
  const {
    verdict,
    exitCode,
    reason,
    task = null,
    machineUuid = null,
    transport = null,
    steps = [],
    conclusion = null,
    gpu,
  } = ending;
  const { performance = null, findings = null, specCheck = null } = conclusion?.outcome ?? {};
  const line = {
    ...(task === null ? { id: null, state: null } : task.wire),
    agent: {
      verdict,
      exit_code: exitCode,
      reason: clip(reason, MAX_REASON),
      machine_uuid: machineUuid,
      transport,
      steps,
      performance,
      findings,
      spec_check: specCheck,
      unfinished_nodes: conclusion?.unfinishedNodes ?? null,
      gpu: gpu ?? null,
    },
  };
  return `${JSON.stringify(line)}\n`;
}

/** Prints endings, if anybody asked for them. */
export interface Report {
  /** What is known from now on, however it ends. */
  know(facts: () => Partial<Ending>): void;
  end(ending: Ending): void;
}

export function createReport(isWanted: boolean, stdout: (text: string) => void): Report {
  let known: () => Partial<Ending> = () => ({});
  return {
    know: (facts) => {
      known = facts;
    },
    end: (ending) => {
      if (isWanted) stdout(endLine({ ...known(), ...ending }));
    },
  };
}

/** The ending of a program that was interrupted, misused or broken. */
export function endingOf(error: unknown, signal: AbortSignal): Ending {
  if (signal.aborted) return interruption(signal);
  const reason = error instanceof Error ? error.message : String(error);
  return error instanceof UsageError
    ? { verdict: "usage", exitCode: EXIT.usage, reason }
    : { verdict: "error", exitCode: EXIT.notCompleted, reason: `unexpected error: ${reason}` };
}

/** The ending by a signal whose name is the reason of `signal`. */
export function interruption(signal: AbortSignal): Ending {
  const name = signal.reason === "SIGINT" ? "SIGINT" : "SIGTERM";
  const exitCode = 128 + constants.signals[name];
  return { verdict: "interrupted", exitCode, reason: `${name}; its task stays open` };
}

/** Of an agent whose only job this was. */
export function exitCodeOf({ kind, task }: AgentEnd): number {
  return kind === "stopped" && task?.state === "completed" ? EXIT.completed : EXIT.notCompleted;
}

export function endOfTask(end: AgentEnd): Ending {
  const { task, message: reason, transport = null, conclusion = null } = end;
  const { state } = task ?? {};
  const isFinal = state === "completed" || state === "failed" || state === "aborted";
  return {
    verdict: isFinal ? state : "error",
    exitCode: exitCodeOf(end),
    reason,
    task,
    transport,
    conclusion,
  };
}

/** For people; the report is for programs. */
export function printTask(
  { task, message, conclusion }: AgentEnd,
  { json }: { json: boolean },
  { stdout }: { stdout: (text: string) => void },
): void {
  if (json) return;
  const failure = task?.wire.failed_message;
  const why = typeof failure === "string" ? ` (${failure})` : "";
  const lines =
    task === null
      ? [`no task: ${message}`]
      : [`node ${task.rank}, task ${task.id}: ${task.state}${why}`];
  if (conclusion !== undefined) lines.push(...describeConclusion(conclusion));
  stdout(`${lines.join("\n")}\n`);
}

/** Runs steps as `run` does, and keeps how they ended until they are taken. */
export function recordSteps(run: RunStep): { runStep: RunStep; take: () => StepEnd[] } {
  let steps: StepEnd[] = [];
  return {
    runStep: async (step, context) => {
      const outcome = await run(step, context);
      steps.push({
        position: step.position,
        benchmark_id: step.benchmarkId,
        state: outcome.state,
        error_message: outcome.state === "failed" ? outcome.errorMessage : null,
        results: outcome.results ?? null,
      });
      return outcome;
    },
    take: () => {
      const taken = steps;
      steps = [];
      return taken;
    },
  };
}
