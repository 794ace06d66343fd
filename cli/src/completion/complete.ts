/** Pure: what may stand at the end of a command line. */
import type { CommandUnknownOpts, Option } from "@commander-js/extra-typings";

export interface Candidate {
  value: string;
  description: string;
}

/** `files`: the shell completes names of files by itself. */
export interface Completion {
  candidates: Candidate[];
  files: boolean;
}

const NOTHING: Completion = { candidates: [], files: false };

/** Values that no list of choices has, by the option's name. */
export type Suggestions = Readonly<Record<string, () => readonly string[]>>;

/** Completes the last of the words, which may be empty; the first is the program itself. */
export function complete(
  program: CommandUnknownOpts,
  words: readonly string[],
  suggestions: Suggestions,
): Completion {
  const current = words.at(-1) ?? "";
  const { command, pending, argumentsSeen, used } = walk(program, words.slice(1, -1));
  if (pending !== undefined) return valuesOf(pending, current, suggestions);
  const [name = "", inline] = splitInline(current);
  if (inline !== undefined) {
    const option = findOption(command, name);
    if (option === undefined) return NOTHING;
    const { candidates, files } = valuesOf(option, inline, suggestions);
    return {
      candidates: candidates.map((one) => ({ ...one, value: `${name}=${one.value}` })),
      files,
    };
  }
  if (current.startsWith("-"))
    return { candidates: optionsOf(command, current, used), files: false };
  const commands = command.commands
    .filter((one) => one.name().startsWith(current) && !one.name().startsWith("_"))
    .map((one) => ({ value: one.name(), description: one.description() }));
  if (command.commands.length > 0) return { candidates: commands, files: false };
  const choices = command.registeredArguments[argumentsSeen]?.argChoices ?? [];
  return { candidates: named(choices, current), files: false };
}

interface Place {
  command: CommandUnknownOpts;
  /** An option that waits for its value. */
  pending: Option | undefined;
  argumentsSeen: number;
  used: ReadonlySet<string>;
}

function walk(program: CommandUnknownOpts, words: readonly string[]): Place {
  let command = program;
  let pending: Option | undefined;
  let argumentsSeen = 0;
  const used = new Set<string>();
  for (const word of words) {
    if (pending !== undefined) {
      pending = undefined;
      continue;
    }
    const [name = "", inline] = splitInline(word);
    const option = name.startsWith("-") ? findOption(command, name) : undefined;
    if (option !== undefined) {
      used.add(option.attributeName());
      if (inline === undefined && option.required) pending = option;
    } else if (!word.startsWith("-")) {
      const next = command.commands.find(
        (one) => one.name() === word || one.aliases().includes(word),
      );
      if (next === undefined) argumentsSeen += 1;
      else command = next;
    }
  }
  return { command, pending, argumentsSeen, used };
}

function splitInline(word: string): [string, string | undefined] {
  const at = word.startsWith("--") ? word.indexOf("=") : -1;
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/** An option of the command, or of those above it. */
function findOption(command: CommandUnknownOpts, name: string): Option | undefined {
  for (let at: CommandUnknownOpts | null = command; at !== null; at = at.parent) {
    const option = at.options.find((one) => one.long === name || one.short === name);
    if (option !== undefined) return option;
  }
  return undefined;
}

function optionsOf(
  command: CommandUnknownOpts,
  current: string,
  used: ReadonlySet<string>,
): Candidate[] {
  const candidates: Candidate[] = [];
  for (let at: CommandUnknownOpts | null = command; at !== null; at = at.parent) {
    for (const option of at.options) {
      const isAgain = used.has(option.attributeName()) && option.parseArg === undefined;
      const { long } = option;
      if (long?.startsWith(current) && !option.hidden && !isAgain) {
        candidates.push({ value: long, description: option.description });
      }
    }
  }
  if ("--help".startsWith(current)) candidates.push({ value: "--help", description: "show help" });
  return candidates;
}

function valuesOf(option: Option, current: string, suggestions: Suggestions): Completion {
  if (/<(file|folder)>/.test(option.flags)) return { candidates: [], files: true };
  const values = option.argChoices ?? suggestions[option.name()]?.() ?? [];
  return { candidates: named(values, current), files: false };
}

function named(values: readonly string[], current: string): Candidate[] {
  return values
    .filter((value) => value.startsWith(current))
    .map((value) => ({ value, description: "" }));
}

/** The words of a command line as a shell would make them, up to the cursor; the last one may be empty. */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  let isWord = false;
  for (let at = 0; at < line.length; at++) {
    const character = line[at] ?? "";
    if (character === "\\" && quote !== "'") {
      at += 1;
      word += line[at] ?? "";
      isWord = true;
    } else if (quote !== "") {
      if (character === quote) quote = "";
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      isWord = true;
    } else if (/\s/.test(character)) {
      if (isWord) words.push(word);
      word = "";
      isWord = false;
    } else {
      word += character;
      isWord = true;
    }
  }
  return [...words, word];
}
