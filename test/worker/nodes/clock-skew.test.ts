/** Machines whose clocks are wrong: their times are stored as sent, and reports show the server's. */
import { describe, test } from "vitest";
import { heartbeatRoute, resultRoute } from "../../../src/nodes/contract.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import {
  expectContract,
  expectError,
  heartbeat,
  join,
  poll,
  putResult,
  resultBody,
} from "../harness/client.ts";
import { createJob } from "../harness/factories.ts";
import { reported } from "../harness/instruments.ts";
import { open } from "../reports/report-files.ts";

const HOUR = 3_600_000;
const NOW = Date.UTC(2026, 0, 1);

/** A result of five minutes by a clock that is `skew` ms ahead. */
function resultWith(skew: number) {
  const at = (ms: number) => new Date(NOW + ms + skew).toISOString();
  return { ...resultBody(), started_at: at(0), ended_at: at(5 * 60_000), clock_skew_ms: skew };
}

describe("clock_skew_ms", () => {
  test("of a heartbeat is the task's, until another comes", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const { id } = (await join(job)).body;
    const first = await heartbeat(job, id, { progress: 0.1, clock_skew_ms: 26 * HOUR });
    expectContract(expect, first, heartbeatRoute, 200);
    expect(first.body.clock_skew_ms).toBe(26 * HOUR);
    await heartbeat(job, id, { progress: 0.2 });
    expect((await poll(job, id)).body.task.clock_skew_ms).toBe(26 * HOUR);
    await heartbeat(job, id, { clock_skew_ms: -HOUR });
    expect((await poll(job, id)).body.task.clock_skew_ms).toBe(-HOUR);
    expect((await join(job)).body.clock_skew_ms, "another node").toBeNull();
  });

  test("has bounds", async ({ expect }) => {
    const job = await createJob();
    const { id } = (await join(job)).body;
    for (const clock_skew_ms of [1.5, 1e300, "1"]) {
      const reply = await heartbeat(job, id, { clock_skew_ms });
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
    }
  });
});

test("a report subtracts clocks that are off from the times, and says so; the API has them as sent", async ({
  expect,
}) => {
  const job = await createJob({ node_count: 3 });
  const in1970 = -NOW;
  for (const skew of [in1970, 26 * HOUR, 4_000]) {
    const { id } = (await join(job)).body;
    const body = resultWith(skew);
    const stored = await putResult(job, id, 0, body);
    expectContract(expect, stored, resultRoute, 200);
    expect(stored.body).toMatchObject({ started_at: body.started_at, clock_skew_ms: skew });
    expect((await putResult(job, id, 0, body)).text).toBe(stored.text);
  }
  const { body } = await reported(job);
  expect(body.tasks[0].benchmark_results.quick_mark).toMatchObject({
    started_at: "1970-01-01T00:00:00.000Z",
    clock_skew_ms: in1970,
  });
  expect(body.tasks[1]).toMatchObject({ clock_skew_ms: 26 * HOUR });
  const { text } = await readPdf((await open(body.pdf_report_url)).bytes);
  // From the first start to the last end: the third clock's 4 s are not worth a correction.
  expect(text).toContain("2026-01-01 00:00:00 UTC");
  expect(text).toContain("5 min 04 s");
  expect(text).not.toContain("1970");
  const said = text.replaceAll("\n", " ");
  expect(said).toContain("node 1 (26 h 00 min ahead)");
  expect(said).toMatch(/node 0 \(490896 h 00 min behind\)|node 0 \(490,896 h/);
  expect(said).not.toContain("node 2 (");
  const own = await readPdf((await open(body.tasks[1].pdf_report_url)).bytes);
  expect(own.text).toContain("5 min 00 s");
  expect(own.text.replaceAll("\n", " ")).toContain("node 1 (26 h 00 min ahead)");
});
