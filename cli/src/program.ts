import { Command, CommanderError, Option } from "@commander-js/extra-typings";
import { loginCommand, logoutCommand, statusCommand, whoamiCommand } from "./commands/account.ts";
import { auditCommand } from "./commands/audit.ts";
import { baselineCommand } from "./commands/baseline.ts";
import { compareCommand } from "./commands/compare.ts";
import { completeCommand, completionCommand } from "./commands/completion.ts";
import { keyCommand, tokenCommand } from "./commands/credentials.ts";
import { jobCommand } from "./commands/job.ts";
import { machineCommand } from "./commands/machine.ts";
import { type AnyCommand, createOpen, type Open } from "./commands/open.ts";
import { customerCommand, userCommand } from "./commands/people.ts";
import { runCommand } from "./commands/run.ts";
import { runnerCommand } from "./commands/runner.ts";
import { specCommand } from "./commands/spec.ts";
import { taskCommand } from "./commands/task.ts";
import { EXIT, EXIT_CODES } from "./exit-codes.ts";
import { Failure } from "./failure.ts";
import type { Stop } from "./stop.ts";
import { VERSION } from "./version.ts";

/** Groups of `assay --help`, in its order. */
const GROUPS: readonly [string, readonly ((open: Open) => AnyCommand)[]][] = [
  ["Measure:", [runCommand, jobCommand, taskCommand, machineCommand, compareCommand]],
  ["Fleet:", [specCommand, runnerCommand, baselineCommand]],
  ["People:", [userCommand, customerCommand, tokenCommand, keyCommand, auditCommand]],
  ["This program:", [loginCommand, logoutCommand, whoamiCommand, statusCommand, completionCommand]],
];

/** The whole command line, as `--help` and completion show it. */
export function createProgram(env: NodeJS.ProcessEnv, stop: Stop): AnyCommand {
  const program: AnyCommand = new Command("assay")
    .description("Find out whether the machines you rent deliver what you pay for.")
    .version(VERSION, "-V, --version", "show the version")
    .addOption(new Option("--host <url>", "server; else ASSAY_HOST, else that of the profile"))
    .addOption(new Option("--profile <name>", "profile of the configuration"))
    .addOption(
      new Option("--token <token>", "token; else ASSAY_TOKEN, BENCHER_API_TOKEN, the profile"),
    )
    .option("--json", "print one JSON document")
    .option("-q, --quiet", "print only results and errors")
    .option("--no-pager", "show long output without a pager")
    .addHelpText("after", () => exitCodeHelp())
    .configureHelp({ showGlobalOptions: true });
  const open = createOpen(env, stop);
  for (const [heading, commands] of GROUPS) {
    program.commandsGroup(heading);
    for (const create of commands) program.addCommand(create(open));
  }
  program.addCommand(completeCommand(program, env), { hidden: true });
  program.helpCommand("help [command]", "show help for a command");
  prepare(program);
  return program;
}

/** Settings that commands of their own do not take over from the program. */
function prepare(command: AnyCommand): void {
  command
    .helpOption("-h, --help", "show help")
    .exitOverride()
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({ outputError: (text, write) => write(oneSentence(text)) });
  if (command.commands.length > 0 && command.parent !== null) command.helpCommand(false);
  for (const child of command.commands) prepare(child);
}

/** Commander's message; its suggestion is a second line. */
function oneSentence(text: string): string {
  return text.replace(/^error: /, "assay: ").replace(/\n\((?=Did you mean)/, " (");
}

function exitCodeHelp(): string {
  const rows = EXIT_CODES.map(({ code, meaning }) => `  ${String(code).padEnd(4)} ${meaning}`);
  return `\nExit codes:\n${rows.join("\n")}\n\nEnvironment: ASSAY_HOST, ASSAY_TOKEN, BENCHER_API_TOKEN, NO_COLOR, PAGER, XDG_CONFIG_HOME`;
}

/** Runs a command line; answers the exit code. Errors are one sentence on the standard error. */
export async function run(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  stop: Stop,
): Promise<number> {
  try {
    await createProgram(env, stop).parseAsync(argv, { from: "user" });
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    return endOf(error, stop);
  }
}

function endOf(error: unknown, stop: Stop): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  const cause = stop.signal.aborted ? stop.signal.reason : error;
  if (!(cause instanceof Failure)) {
    const { message, stack } = cause instanceof Error ? cause : new Error(String(cause));
    process.stderr.write(`assay: a fault of this program, please report it: ${message}\n`);
    if (process.env.ASSAY_DEBUG) process.stderr.write(`${stack}\n`);
    return EXIT.failed;
  }
  if (cause.exitCode !== EXIT.stopped) {
    const request = cause.requestId === undefined ? "" : ` (request ${cause.requestId})`;
    process.stderr.write(`assay: ${cause.message}${request}\n`);
  }
  return cause.exitCode;
}
