/** Sends valid, boundary and hostile requests of every operation in the document. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBundle } from "../../scripts/lib/bundle.ts";
import { startLocalWorker } from "../../scripts/lib/local-worker.ts";
import { createConformance } from "./conformance.ts";
import { readDocument } from "./document.ts";
import { type FuzzContext, fuzzOperation, type OperationReport } from "./operation-fuzz.ts";
import { StateWatch } from "./state-watch.ts";
import { fuzzUnrouted } from "./unrouted.ts";
import { send } from "./wire.ts";
import { createWorld } from "./world.ts";

export interface FuzzOptions {
  /** Number of valid requests per operation; hostile requests are twice as many. */
  cases: number;
  seed: number;
  /** Restricts the run to this operation. */
  only?: string | undefined;
  /** Printed path of an earlier failure, which is repeated at once. */
  path?: string | undefined;
}

export interface FuzzReport {
  operations: OperationReport[];
  /** Number of requests to paths and methods outside the document. */
  unrouted: number;
  /** Readable reports, each with the request to repeat. */
  failures: string[];
}

/** Rate limits are lifted, and the lease is long so that idle nodes are not lost during the run. */
const VARS = { RATE_LIMIT_SCALE: "1000000", NODE_TIMEOUT_SECONDS: "86400" };

export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const folder = mkdtempSync(join(tmpdir(), "assay-fuzz-"));
  try {
    const worker = await startLocalWorker(await buildBundle(folder), VARS);
    try {
      const world = await createWorld(worker);
      const request = { method: "GET", headers: {}, body: null, chunked: false };
      const served = await send(worker.url, world.agent, { ...request, target: "/openapi.json" });
      const document = readDocument(served.body.toString());
      const conformance = createConformance(document);
      const watch = await StateWatch.create(worker.db, world);
      const context: FuzzContext = { worker, world, document, conformance, watch, options };
      const report: FuzzReport = { operations: [], unrouted: 0, failures: [] };
      const chosen = document.operations.filter(
        ({ id }) => options.only === undefined || options.only === id,
      );
      for (const operation of chosen) {
        const { failures, ...counts } = await fuzzOperation(context, operation);
        report.operations.push(counts);
        report.failures.push(...failures);
      }
      if (options.only === undefined) {
        const { sent, failures } = await fuzzUnrouted(context);
        report.unrouted = sent;
        report.failures.push(...failures);
      }
      world.close();
      return report;
    } finally {
      await worker.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The share of valid requests that ended in 2xx. */
export function successShare(operations: readonly OperationReport[]): number {
  const sum = (pick: (report: OperationReport) => number) =>
    operations.reduce((total, report) => total + pick(report), 0);
  return sum(({ succeeded }) => succeeded) / sum(({ valid }) => valid);
}

/** A table of the requests sent. */
export function describeReport({ operations, unrouted }: FuzzReport): string {
  const row = (cells: (string | number)[]) =>
    cells
      .map((cell, index) => (index === 0 ? String(cell).padEnd(20) : String(cell).padStart(9)))
      .join("");
  const total = operations.reduce((sum, o) => sum + o.valid + o.boundary + o.hostile, unrouted);
  const percent = (share: number) => `${Math.round(share * 100)} %`;
  return [
    row(["operation", "valid", "2xx", "boundary", "hostile"]),
    ...operations.map((o) =>
      row([o.id, o.valid, percent(o.succeeded / o.valid), o.boundary, o.hostile]),
    ),
    `${operations.length} operations, ${total} requests (${unrouted} of them to paths and methods that do not exist); ` +
      `${percent(successShare(operations))} of the valid ones ended in 2xx`,
  ].join("\n");
}
