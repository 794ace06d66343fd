import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { clip, createLog } from "../../agent/src/log.ts";
import { createOutput } from "../../agent/src/output.ts";
import { createStepRunner } from "../../agent/src/steps.ts";
import { noHost, rulesOf, sampleReplay, shortBounds, steppingClock } from "./helpers.ts";

test("a bug in a step fails that step, not the agent", async () => {
  const runStep = createStepRunner({
    measuring: { kind: "replay", replay: sampleReplay },
    host: noHost,
    peers: rulesOf({ host: "127.0.0.1", port: 7117 }),
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

test("what a stopped reader does not take is dropped beyond 1 MiB", async () => {
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const accepted = new Promise<Socket>((resolve) => server.once("connection", resolve));
  // `as`: a TCP server that listens has an AddressInfo.
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
  const write = createOutput(Object.assign(socket, { fd: 2 }));
  for (let i = 0; i < 4_000; i++) write("x".repeat(10_000));
  expect(socket.writableLength).toBeLessThan(1_100_000);
  socket.destroy();
  write("to a reader that is gone");
  (await accepted).destroy();
  await new Promise((resolve) => server.close(resolve));
});
