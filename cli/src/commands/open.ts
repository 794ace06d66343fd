import {
  Argument,
  Command,
  type CommandUnknownOpts,
  InvalidArgumentError,
  Option,
} from "@commander-js/extra-typings";
import type { Api } from "../api/client.ts";
import { usage } from "../failure.ts";
import { Output } from "../output/output.ts";
import type { Globals } from "../session/credentials.ts";
import { Session } from "../session/session.ts";
import type { Stop } from "../stop.ts";
import { DURATION_FORMS, parseDuration } from "../values/time.ts";

/** Options of the whole program. */
export interface GlobalOptions extends Globals {
  json?: boolean;
  quiet?: boolean;
  pager?: boolean;
}

/** All that a verb works with. */
export interface Opened {
  output: Output;
  globals: GlobalOptions;
  env: NodeJS.ProcessEnv;
  stop: Stop;
  /** Reads the configuration, once. */
  session: () => Session;
  api: () => Api;
}

/** A command with options of any kind. */
export type AnyCommand = CommandUnknownOpts;
export type Open = (command: { optsWithGlobals: () => unknown }) => Opened;

export function createOpen(env: NodeJS.ProcessEnv, stop: Stop): Open {
  return (command) => {
    // `as`: declared in program.ts.
    const globals = command.optsWithGlobals() as GlobalOptions;
    const { json = false, quiet = false, pager = true } = globals;
    let session: Session | undefined;
    const openSession = () => {
      session ??= new Session(globals, env);
      return session;
    };
    return {
      output: new Output({ json, quiet, pager }, env),
      globals,
      env,
      stop,
      session: openSession,
      api: () => openSession().api(stop.signal),
    };
  };
}

/** A noun whose verbs are commands of their own. */
export function noun(name: string, summary: string): Command {
  return new Command(name).description(summary);
}

/** A verb with its examples, which `--help` shows. */
export function verb(name: string, summary: string, examples: readonly string[]): Command {
  return new Command(name)
    .description(summary)
    .addHelpText("after", `\nExamples:\n${examples.map((line) => `  $ ${line}`).join("\n")}`);
}

/** The id of a job or a task: digits. */
export function idArgument<const Name extends string>(name: Name, description: string) {
  return new Argument(name, description).argParser(parseId);
}

export function parseId(text: string): string {
  if (/^[1-9]\d{0,15}$/.test(text)) return text;
  throw new InvalidArgumentError("An id is a whole number, such as 7554621440.");
}

/** A whole number within bounds. */
export function integer(least: number, most: number) {
  return (text: string): number => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`);
  };
}

/** Seconds, from a duration such as `30d`. */
export function durationOption(text: string): number {
  const seconds = parseDuration(text);
  if (seconds === null) throw new InvalidArgumentError(`It must be ${DURATION_FORMS}.`);
  return seconds;
}

/** Collects an option that may be repeated. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** `--yes`, for verbs that cannot be undone. */
export function yesOption() {
  return new Option("-y, --yes", "do not ask for confirmation");
}

export function idempotencyOption() {
  return new Option(
    "--idempotency-key <key>",
    "create only once if the command is repeated; by default a new key for each run",
  ).argParser((key: string) => {
    if (/^[\x21-\x7e]{1,255}$/.test(key)) return key;
    throw new InvalidArgumentError("A key has 1 to 255 visible ASCII characters.");
  });
}

/** The fields that are set: bodies of requests have no undefined ones. */
export function defined<Fields extends object>(
  all: Fields,
): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  const entries = Object.entries(all).filter(([, value]) => value !== undefined);
  // `as`: the same fields, without the undefined ones.
  return Object.fromEntries(entries) as {
    [Name in keyof Fields]?: Exclude<Fields[Name], undefined>;
  };
}

/** Refuses an update that changes nothing, which is more likely a slip. */
export function requireChange(changes: Readonly<Record<string, unknown>>, options: string): void {
  if (Object.values(changes).some((value) => value !== undefined)) return;
  throw usage(`nothing to change: give one of ${options}`);
}
