/** The real demo: the whole stack, four agents as processes, a completed job, nothing left behind. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, onTestFinished, test } from "vitest";
import { ROOT } from "../../scripts/lib/project.ts";
import { patient } from "../patience.ts";
import { runCommand } from "./processes.ts";

/** A temporary folder for the demo's own temporary folder, to see whether it is removed. */
function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "assay-e2e-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function startDemo({ npm = false, option = "" } = {}) {
  const folder = temporaryFolder();
  /** Where the report is saved. */
  const cwd = npm ? ROOT : temporaryFolder();
  const program = join(ROOT, "scripts/demo.ts");
  const command = npm ? ["npm", "run", "demo"] : [process.execPath, program];
  if (option !== "") command.push(...(npm ? ["--"] : []), option);
  const run = runCommand(command, { TMPDIR: folder }, cwd);
  onTestFinished(() => {
    for (const { pid } of run.processes()) process.kill(pid, "SIGKILL");
  });
  return { run, folder, cwd };
}

/** Files that the demo has left behind, except Node's own compile cache, which is meant to stay. */
function leftovers(folder: string): string[] {
  return readdirSync(folder).filter((name) => name !== "node-compile-cache");
}

describe("npm run demo", () => {
  test("ends with each node's verdict, the network, this machine's figures, and the report; exits 0", async ({
    expect,
  }) => {
    const { run, folder, cwd } = startDemo();
    expect(await run.exitCode, run.output()).toBe(0);
    const output = run.output();
    for (const line of [
      /node \d +8 × NVIDIA H100 80GB HBM3 +█*░* +\d+ % {2}quick_mark/,
      /Node {2}GPUs +BF16 TFLOPS +of baseline +Memory GB\/s +of baseline +Verdict/,
      /0 +2 × NVIDIA A100-SXM4-80GB +265\.1 +99\.9 % +1737\.7 +99\.9 % +as expected\n/,
      /1 +1 × NVIDIA H100 NVL +452\.2 +100\.0 % +3254\.4 +100\.0 % +not rated\n/,
      /3 +8 × NVIDIA A100-SXM4-40GB +149\.0 +58\.3 % +1371\.0 +\d+\.\d % +UNDERPERFORMING\n/,
      /measured on this machine's loopback: 12 links, \d+\.\d Gbit\/s on average, .* round trip \d\.\d+ ms\./,
      /node 0 +1 × NVIDIA H100 NVL +█*░* +\d+ % {2}host_mark/,
      /This machine, measured by HostMark( \(not settled\))?: \d+\.\d effective cores; memory \d+\.\d GB\/s; disk (\d+ MB\/s write, \d+ MB\/s read, \d+ µs random read|not measured \(.+\))\.\n/,
      /Node 3 is slow: BF16 reaches 58\.3 % of its baseline \(149\.0 of 255\.5 TFLOPS\)\.\n/,
      /GPU figures are REPLAYED recordings/,
      /Report to send to the provider: \S+demo-report\.pdf\n/,
    ]) {
      expect(output).toMatch(line);
    }
    for (const job of output.split("HostMark now measures")) {
      const reached = new Map<string, number>();
      for (const [, rank = "", percent] of job.matchAll(/node (\d) .*?(\d+) % /g)) {
        expect(Number(percent), output).toBeGreaterThanOrEqual(reached.get(rank) ?? 0);
        reached.set(rank, Number(percent));
      }
    }
    expect(readFileSync(join(cwd, "demo-report.pdf")).subarray(0, 5).toString()).toBe("%PDF-");
    expect(run.processes()).toEqual([]);
    expect(leftovers(folder)).toEqual([]);
  });

  test("another option: exit 2, with those there are", async ({ expect }) => {
    const { run } = startDemo({ option: "--fast" });
    expect(await run.exitCode).toBe(2);
    expect(run.output()).toContain("-- --fleet");
  });

  test("Ctrl-C in the middle: exit 130, no process and no folder left behind", async ({
    expect,
  }) => {
    const { run, folder } = startDemo();
    await run.printed("quick_mark");
    expect(run.processes().length).toBeGreaterThan(5);
    run.child.kill("SIGINT");
    expect(await run.exitCode, run.output()).toBe(130);
    expect(run.output()).toContain("Stopped.");
    expect(run.processes()).toEqual([]);
    expect(leftovers(folder)).toEqual([]);
  });

  test("Ctrl-C while the stack is still starting", async ({ expect }) => {
    const { run, folder } = startDemo();
    await run.printed("Starting the whole stack");
    run.child.kill("SIGINT");
    expect(await run.exitCode, run.output()).toBe(130);
    expect(run.processes()).toEqual([]);
    expect(leftovers(folder)).toEqual([]);
  });

  test("npm itself killed without warning: everything it started ends too", async ({ expect }) => {
    const { run } = startDemo({ npm: true });
    await run.printed("quick_mark");
    run.child.kill("SIGKILL");
    await expect.poll(() => run.processes(), { timeout: patient(60_000) }).toEqual([]);
  });

  test("killed without warning: everything it started ends too", async ({ expect }) => {
    const { run } = startDemo();
    await run.printed("quick_mark");
    run.child.kill("SIGKILL");
    await run.exitCode;
    await expect.poll(() => run.processes(), { timeout: patient(60_000) }).toEqual([]);
  });

  test("an agent dies: a plain reason, exit 1, nothing left behind", async ({ expect }) => {
    const { run, folder } = startDemo();
    await run.printed("quick_mark");
    const agent = run
      .processes()
      .find(({ command }) => command.includes("agent.mjs") && !command.includes("supervisor"));
    if (agent === undefined) throw new Error("no agent is running");
    process.kill(agent.pid, "SIGKILL");
    expect(await run.exitCode, run.output()).toBe(1);
    expect(run.output()).toMatch(/Agent \d ended with exit code 1\. Its last output:/);
    expect(run.processes()).toEqual([]);
    expect(leftovers(folder)).toEqual([]);
  });
});

describe("npm run demo -- --fleet", () => {
  test("six runners claim three jobs, all complete, the runners leave cleanly, exit 0", async ({
    expect,
  }) => {
    const { run, folder } = startDemo({ npm: true, option: "--fleet" });
    expect(await run.exitCode, run.output()).toBe(0);
    const output = run.output();
    for (const line of [
      /Created 2 specs; 6 runners wait for jobs/,
      /h100-\d +h100-node +busy +H100 (pair|trio) +[█░]{12} +\d+ % {2}/,
      /H100 pair: completed {3}A100 trio: completed {3}H100 trio: completed/,
      /Job +Node +Runner +GPUs +BF16 TFLOPS +State/,
      /All jobs are completed, and all runners have stopped\.\n$/,
    ]) {
      expect(output).toMatch(line);
    }
    const rows = output.match(/^(H100 pair|A100 trio|H100 trio) +\d +[ah]100-\d .* completed$/gm);
    expect(rows).toHaveLength(8);
    expect(run.processes()).toEqual([]);
    expect(leftovers(folder)).toEqual([]);
  });

  test("Ctrl-C in the middle: exit 130, no process and no folder left behind", async ({
    expect,
  }) => {
    const { run, folder } = startDemo({ option: "--fleet" });
    await run.printed("quick_mark");
    expect(run.processes().length).toBeGreaterThan(7);
    run.child.kill("SIGINT");
    expect(await run.exitCode, run.output()).toBe(130);
    expect(run.processes()).toEqual([]);
    expect(leftovers(folder)).toEqual([]);
  });
});
