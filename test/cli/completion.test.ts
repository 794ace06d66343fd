/** Completion in the shells themselves: bash always, zsh and fish (Debian's packages of these names) where they are. */
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { SHELLS, type Shell } from "../../cli/src/completion/scripts.ts";
import { profile, writeProfile } from "./profiles.ts";
import { buildCli, type CliProgram } from "./program.ts";
import { hasTmux, openPseudoTerminal } from "./pseudo-terminal.ts";

const has = (shell: Shell) => spawnSync(shell, ["-c", "true"]).status === 0;
const missing = SHELLS.filter((shell) => !has(shell));
if (missing.length > 0) console.warn(`Not here, so not tested: ${missing.join(", ")}.`);

let cli: CliProgram;
let bin: string;

beforeAll(async () => {
  cli = await buildCli();
  bin = join(cli.folder, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "assay"), `#!/bin/sh\nexec "${process.execPath}" "${cli.file}" "$@"\n`);
  chmodSync(join(bin, "assay"), 0o755);
  for (const shell of SHELLS) {
    const { stdout } = await cli.run(["completion", shell]);
    writeFileSync(join(cli.folder, `completion.${shell}`), stdout);
  }
  writeFileSync(join(cli.folder, "report-1.pdf"), "");
  writeProfile(cli, {}, { staging: profile() });
});
afterAll(() => cli.remove());

/** Asks a shell for the candidates of a line. */
const ASK: Readonly<Record<Shell, (line: string) => string[]>> = {
  bash: (line) => [
    "-c",
    `source completion.bash
     COMP_LINE=$1 COMP_POINT=\${#1}
     COMP_WORDS=(assay)
     _assay
     printf '%s\\n' "\${COMPREPLY[@]}"`,
    "bash",
    line,
  ],
  // Candidates show through compadd, the last step of zsh's own completion.
  zsh: (line) => [
    "-f",
    "-c",
    `autoload -Uz compinit && compinit -u -D
     compadd() { while [[ $1 != -- ]]; do shift; done; shift; print -l -- "$@" }
     _files() { print -l -- report-*(N) }
     source ./completion.zsh
     words=(assay) LBUFFER=$1
     # Without candidates its status is 1.
     _assay || true`,
    "zsh",
    line,
  ],
  fish: (line) => [
    "--no-config",
    "-c",
    "source completion.fish; complete --do-complete $argv[1]",
    line,
  ],
};

function candidates(shell: Shell, line: string): string[] {
  const { stdout, stderr, status } = spawnSync(shell, ASK[shell](line), {
    cwd: cli.folder,
    env: { ...cli.env, PATH: `${bin}:${cli.env.PATH}` },
    encoding: "utf8",
  });
  expect(status, stderr).toBe(0);
  expect(stderr).toBe("");
  return stdout.split("\n").flatMap((text) => text.split("\t")[0] || []);
}

describe.each(SHELLS.filter((shell) => !missing.includes(shell)))("%s", (shell) => {
  test.each([
    ["assay jo", ["job"]],
    ["assay job re", ["results", "report"]],
    ["assay runner spec ", ["list", "add", "remove"]],
    ["assay job list --state comp", ["completed", "completed_with_warnings"]],
    ["assay --json job list --sort n", ["name", "node_count"]],
    ["assay job rm --y", ["--yes"]],
    ["assay completion ", ["bash", "zsh", "fish"]],
    ["assay run --benchmark host", ["host_mark"]],
    ["assay baseline view h100-nvl bf", ["bf16_tflops"]],
    ["assay --profile st", ["staging"]],
    ["assay job view 75", []],
    ["assay run --name 'a b' --spec x --nod", ["--nodes"]],
    ["assay nothing --st", []],
  ])("completes %j", (line, expected) => {
    // fish puts them in order.
    expect(candidates(shell, line).sort()).toEqual(expected.toSorted());
  });

  test("completes a value behind =", () => {
    const found = candidates(shell, "assay job export --format=c");
    expect(found).toEqual(shell === "bash" ? ["csv"] : ["--format=csv"]);
  });

  test("completes files where a file is wanted", () => {
    expect(candidates(shell, "assay run --report repo")).toEqual(["report-1.pdf"]);
  });

  test("offers neither hidden verbs nor options twice", () => {
    expect(candidates(shell, "assay ")).not.toContain("__complete");
    expect(candidates(shell, "assay job create --name x --na")).toEqual([]);
    // Those that may be repeated are offered again.
    expect(candidates(shell, "assay job create --tag x --ta")).toEqual(["--tag"]);
  });

  test.skipIf(!hasTmux)("completes at the press of a key", async () => {
    const rc: Readonly<Record<Shell, string[]>> = {
      bash: ["--noprofile", "--norc", "-i"],
      zsh: ["-f", "-i"],
      fish: ["--no-config", "-i"],
    };
    const path = `${bin}:${cli.env.PATH}`;
    const shellProgram = { ...cli, env: { ...cli.env, PATH: path } };
    const terminal = openPseudoTerminal(shellProgram, rc[shell], { program: shell });
    onTestFinished(() => terminal.close());
    const start: Readonly<Record<Shell, string>> = {
      bash: "source completion.bash",
      zsh: "autoload -Uz compinit; compinit -u -D; source ./completion.zsh",
      fish: "source completion.fish",
    };
    terminal.type(`${start[shell]}; echo re''ady`);
    terminal.press("Enter");
    await terminal.shows("ready");
    terminal.type("assay comp");
    terminal.press("Tab");
    // Two verbs begin so; the next letter decides.
    terminal.type("l");
    terminal.press("Tab");
    await terminal.shows(/assay completion/);
  });
});

test("completion fails in silence, whatever the line and the configuration", async () => {
  for (const line of [
    "",
    "assay",
    "assay --",
    "other x",
    "assay 'open",
    `assay ${"x ".repeat(500)}`,
  ]) {
    const { code, stderr } = await cli.run(["__complete", line]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  }
});
