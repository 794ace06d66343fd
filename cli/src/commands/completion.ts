import { Argument, Command } from "@commander-js/extra-typings";
import { complete, splitLine } from "../completion/complete.ts";
import { COMPLETE_VERB, FILES_MARK, SCRIPTS, SHELLS } from "../completion/scripts.ts";
import { configPath, readConfig } from "../session/config.ts";
import { type AnyCommand, type Open, verb } from "./open.ts";

export const BENCHMARKS = ["quick_mark", "host_mark", "cluster_network"] as const;

export function completionCommand(open: Open): AnyCommand {
  return verb("completion", "Print a script that completes commands in a shell", [
    'eval "$(assay completion bash)"',
    "assay completion zsh > ~/.zfunc/_assay",
    "assay completion fish > ~/.config/fish/completions/assay.fish",
  ])
    .addArgument(new Argument("<shell>", "bash, zsh or fish").choices(SHELLS))
    .action(async (shell, _options, self) => {
      const { output } = open(self);
      await output.result({ shell, script: SCRIPTS[shell] }, () => [SCRIPTS[shell].trimEnd()]);
    });
}

/** The verb that the scripts call: a candidate in each line, with its description behind a tab. */
export function completeCommand(program: AnyCommand, env: NodeJS.ProcessEnv): AnyCommand {
  return new Command(COMPLETE_VERB).argument("<line>").action((line) => {
    const suggestions = {
      profile: () => Object.keys(readConfig(configPath(env)).profiles),
      benchmark: () => BENCHMARKS,
    };
    const { candidates, files } = complete(program, splitLine(line), suggestions);
    const lines = files
      ? [FILES_MARK]
      : candidates.map(({ value, description }) => `${value}\t${description}`);
    process.stdout.write(lines.map((text) => `${text}\n`).join(""));
  });
}
