import { expect, test } from "vitest";
import { clip, createLog } from "../../agent/src/log.ts";
import { createStepRunner } from "../../agent/src/steps.ts";
import { sampleReplay, shortBounds, steppingClock } from "./helpers.ts";

test("a bug in a step fails that step, not the agent", async () => {
  const runStep = createStepRunner({
    replay: sampleReplay,
    clusterAddress: { host: "127.0.0.1", port: 7117 },
    clock: { ...steppingClock(), sleep: () => Promise.reject(new Error("boom")) },
    log: () => {},
    bounds: shortBounds,
  });
  const step = { position: 0, benchmarkId: "quick_mark", config: {}, peerKey: null };
  const context = {
    jobId: "1",
    taskId: "2",
    nodes: [],
    report: () => {},
    signal: new AbortController().signal,
  };
  expect(await runStep(step, context)).toEqual({
    state: "failed",
    errorMessage: expect.stringContaining("boom"),
  });
});

test("a log line is one line with UTC time and without the token", () => {
  const lines: string[] = [];
  const log = createLog(
    (line) => lines.push(line),
    () => 0,
    ["s3cret", "0ther"],
  );
  log("a\r\nb s3cret \u001b[31mc");
  expect(lines).toEqual(["1970-01-01T00:00:00.000Z a b [token]  [31mc\n"]);
});

test("texts are cut by code points, never through one", () => {
  expect(clip("😀😀😀", 3)).toBe("😀😀😀");
  expect(clip("😀😀😀😀", 3)).toBe("😀😀…");
});
