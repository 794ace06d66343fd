/** The measuring process as its parent sees it: whatever it does, its parent goes on, and keeps the figures made. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { systemClock } from "../../../agent/src/clock.ts";
import {
  PROBE_BOUNDS,
  type ProbeBounds,
  runProbeProcess,
} from "../../../agent/src/gpu/probe-process.ts";
import { patient } from "../../patience.ts";
import { probeDefaults, until } from "../helpers.ts";

const folder = mkdtempSync(join(tmpdir(), "assay-probe-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Nothing is waited for but what a test is about. */
const LONG: ProbeBounds = { silenceMs: 60_000, totalMs: 60_000, killMs: 60_000 };
const PARTIAL = { aggregate_results: { bf16_tflops: 700 } };
const SAY = `const say = (message) => console.log(JSON.stringify(message));
const partial = () => say({ type: "partial", results: ${JSON.stringify(PARTIAL)} });
const copying = () => say({ type: "progress", progress: 0.5, message: "memory_bandwidth_gbs" });
const stay = () => setInterval(() => {}, 1_000);
`;

let scripts = 0;

function start(script: string, bounds: Partial<ProbeBounds> = {}) {
  const file = join(folder, `${++scripts}.mjs`);
  writeFileSync(file, SAY + script);
  return watch([process.execPath, file], bounds);
}

function watch(command: readonly string[], bounds: Partial<ProbeBounds> = {}) {
  const progress: unknown[] = [];
  const notes: string[] = [];
  const stop = new AbortController();
  const outcome = runProbeProcess(
    command,
    probeDefaults,
    {
      onProgress: (share, message) => progress.push([share, message]),
      onNote: (note) => notes.push(note),
    },
    stop.signal,
    systemClock,
    { ...LONG, ...bounds },
  );
  return { outcome, progress, notes, stop };
}

/** True until the process has ended, also for one that nobody waits for. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test("progress, notes and the result; what is no message is passed over", async () => {
  const { outcome, progress, notes } = start(`console.log("NVRM: something");
    say({ type: "unheard of" }); say({ type: "note", message: "no NVML" });
    copying(); partial(); say({ type: "result", results: { whole: process.argv[2] } });
    process.exit(3);`);
  expect(await outcome).toEqual({
    ok: true,
    results: { whole: "--probe" },
  });
  expect(progress).toEqual([[0.5, "memory_bandwidth_gbs"]]);
  expect(notes).toEqual(["no NVML"]);
});

test("a failure with its hint, and the figures made before it", async () => {
  const failure = { type: "failure", code: "gpu_busy", message: "busy", hint: "--busy-ok" };
  const { outcome } = start(`partial(); say(${JSON.stringify(failure)});`);
  const { type: _type, ...said } = failure;
  expect(await outcome).toEqual({ ok: false, ...said, partial: PARTIAL });
});

test.each([
  [
    "an exit",
    `console.error("first\\nout of memory"); process.exitCode = 9;`,
    "ended with code 9 during memory_bandwidth_gbs: out of memory",
  ],
  [
    "a crash",
    `process.kill(process.pid, "SIGSEGV"); stay();`,
    "ended by SIGSEGV during memory_bandwidth_gbs",
  ],
])("%s costs what was not measured yet", async (_name, script, message) => {
  const { outcome } = start(`copying(); partial(); ${script}`);
  expect(await outcome).toEqual({
    ok: false,
    code: "probe_crashed",
    message: `the measuring process ${message}`,
    hint: null,
    partial: PARTIAL,
  });
});

test("a program that cannot be started", async () => {
  expect(await watch(["/nonexistent"]).outcome).toMatchObject({
    ok: false,
    code: "probe_crashed",
    message: expect.stringMatching(/could not be started: .*ENOENT/),
    partial: null,
  });
});

test("every wait has the bound that docs/measuring.md names", () => {
  expect(PROBE_BOUNDS).toEqual({ silenceMs: 30_000, totalMs: 300_000, killMs: 5_000 });
});

test("silence ends it, with the figures made before", async () => {
  const bounds = { silenceMs: patient(2_000), killMs: patient(2_000) };
  const { outcome } = start("copying(); partial(); stay();", bounds);
  expect(await outcome).toMatchObject({
    ok: false,
    code: "probe_hung",
    message: `the measuring process wrote nothing for ${patient(2)} s during memory_bandwidth_gbs`,
    partial: PARTIAL,
  });
});

test("one that speaks for ever is ended, too", async () => {
  const { outcome } = start("setInterval(copying, 50);", { totalMs: patient(2_000) });
  expect(await outcome).toMatchObject({
    ok: false,
    code: "probe_hung",
    message: `the measuring process took longer than ${patient(2)} s during memory_bandwidth_gbs`,
  });
});

/** Writes on and on, as fast as it is read. */
const flood = (stream: string, text: string): string =>
  `copying(); const more = () => process.${stream}.write(${text}, more); more();`;

test.each([
  ["a line without an end", flood("stdout", `"x".repeat(1 << 16)`), "wrote a line without an end"],
  [
    "lines that are no messages",
    flood("stdout", `"junk\\n".repeat(1e4)`),
    "wrote more than 20000 lines",
  ],
  [
    "messages",
    flood("stdout", `'{"type":"note","message":"again"}\\n'.repeat(1e3)`),
    "wrote more than 20000 lines",
  ],
  [
    "long messages",
    flood("stdout", `'{"type":"partial","results":{"a":"' + "x".repeat(1e5) + '"}}\\n'`),
    "wrote more than 64 MiB",
  ],
  ["errors", flood("stderr", `"Xid 79\\n".repeat(1e4)`), "wrote too many errors"],
])("an endless flow fills neither memory nor log: %s", async (_, script, why) => {
  const { outcome, notes, progress } = start(script);
  expect(await outcome).toMatchObject({
    ok: false,
    code: "probe_hung",
    message: `the measuring process ${why} during memory_bandwidth_gbs`,
  });
  expect(notes.length).toBeLessThanOrEqual(40);
  expect(progress).toHaveLength(1);
});

test("output that is no message is no sign of life", async () => {
  const { outcome } = start(`copying(); setInterval(() => console.log("NVRM: Xid"), 50);`, {
    silenceMs: patient(2_000),
  });
  expect(await outcome).toMatchObject({
    code: "probe_hung",
    message: expect.stringMatching(/wrote nothing for/),
  });
});

test("texts of drivers reach no terminal as they are", async () => {
  const { outcome, notes } =
    start(`say({ type: "note", message: "\\x1b[2Jred\\r\\n" + "x".repeat(1e5) });
    console.error("\\x1b]0;title\\x07" + "y".repeat(1e5)); process.exitCode = 1;`);
  const failed = await outcome;
  for (const text of [...notes, failed.ok ? "" : failed.message]) {
    expect(text).not.toMatch(/\p{Cc}/u);
    expect(text.length).toBeLessThanOrEqual(1_000);
  }
  expect(notes[0]).toMatch(/^\[2Jred x+…$/);
});

test("what it has started ends with it", async () => {
  const { outcome, notes } = start(`import { spawn } from "node:child_process";
    const { pid } = spawn("sleep", ["600"], { stdio: "ignore" });
    say({ type: "note", message: String(pid) });
    say({ type: "failure", code: "x", message: "y", hint: null }); setTimeout(() => process.exit(), 100);`);
  expect(await outcome).toMatchObject({ code: "x" });
  await until(() => !isAlive(Number(notes[0])), "its own child ends");
});

test("a result counts, even if the process does not end by itself", async () => {
  const { outcome } = start(`say({ type: "result", results: { whole: 1 } }); stay();`, {
    silenceMs: patient(2_000),
  });
  expect(await outcome).toEqual({ ok: true, results: { whole: 1 } });
});

test("a child of its own that keeps the output open is not waited for", async () => {
  const { outcome, notes } = start(
    `import { spawn } from "node:child_process";
    const { pid } = spawn("sleep", ["600"], { stdio: "inherit", detached: true });
    say({ type: "note", message: String(pid) }); stay();`,
    { silenceMs: patient(2_000), killMs: 200 },
  );
  expect(await outcome).toMatchObject({ code: "probe_hung" });
  const pid = Number(notes[0]);
  expect(isAlive(pid)).toBe(true);
  process.kill(pid, "SIGKILL");
});

test("a step that is over ends the process before anything else is done", async () => {
  const { outcome, notes, stop } = start(
    `process.on("SIGTERM", () => {}); say({ type: "note", message: String(process.pid) }); stay();`,
  );
  await until(() => notes.length > 0, "the process starts");
  stop.abort(new Error("the job ended"));
  await expect(outcome).rejects.toThrow("the job ended");
  expect(isAlive(Number(notes[0]))).toBe(false);
  await expect(watch(["false"]).outcome).resolves.toMatchObject({ code: "probe_crashed" });
});
