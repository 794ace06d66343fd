/** A client that stops reading in the middle of 16 MiB, over a real connection: it is cut off, and costs little. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createMachineRoom } from "../../bench/machine-room.ts";
import { buildBundle } from "../../scripts/lib/bundle.ts";
import { startLocalWorker } from "../../scripts/lib/local-worker.ts";
import { patient } from "../patience.ts";
import { quickMarkFigures, stepResult } from "../world/results.ts";

const API = "/api/silicon-mark/v1";
const MIB = 1_024 * 1_024;
const NODES = 16;
const VARS = { RATE_LIMIT_SCALE: "1000000", NODE_TIMEOUT_SECONDS: "86400" };

test("a reply that nobody reads is cut after a minute; next to nothing was read ahead", {
  timeout: patient(240_000),
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), "assay-reader-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const worker = await startLocalWorker(await buildBundle(folder), VARS);
  onTestFinished(() => worker.stop());
  const room = await createMachineRoom(worker);
  const { id, nodes } = await room.startJob({ nodes: NODES });
  const body = stepResult("completed", { ...quickMarkFigures(1), note: "x".repeat(1_000_000) });
  for (const node of nodes) await room.put(node, 0, body);
  await room.reported(id, 1 + NODES, patient(60_000));
  const path = `/jobs/${id}`;
  expect(await room.read(path)).toBeGreaterThan(15 * MIB);
  const socket = connect(Number(worker.url.port), worker.url.hostname);
  onTestFinished(() => void socket.destroy());
  socket.write(
    `GET ${API}${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${room.owner}\r\n\r\n`,
  );
  const head = await new Promise<Buffer>((done) => socket.once("data", done));
  socket.pause();
  expect(head.toString()).toMatch(/^HTTP\/1.1 200 /);
  expect(head.toString()).not.toMatch(/^content-length/im);
  const cuts = () => worker.errors.filter((line) => line.includes("reply_cut"));
  const until = Date.now() + patient(90_000);
  while (cuts().length === 0 && Date.now() < until) {
    await new Promise((done) => setTimeout(done, 500));
  }
  expect(cuts().join()).toContain("The client stopped reading");
  const parts: Buffer[] = [head];
  socket.on("data", (part) => parts.push(part));
  await new Promise((done) => socket.once("close", done).resume());
  const received = Buffer.concat(parts);
  // Of what the Worker had read from R2, the sockets of both systems hold most; the client still gets that.
  const { bytes_read: read } = JSON.parse(cuts()[0] ?? "{}");
  console.log(
    `${(read / MIB).toFixed(1)} MiB read, ${(received.length / MIB).toFixed(1)} MiB on their way`,
  );
  expect(received.length).toBeGreaterThan(0);
  expect(read - received.length).toBeLessThanOrEqual(4 * MIB);
  expect(received.subarray(-5).toString(), "the client sees that it is incomplete").not.toBe(
    "0\r\n\r\n",
  );
  expect(await room.read(path), "others read on").toBeGreaterThan(15 * MIB);
});
