/** What a report is drawn from besides its job's results: the paper of its reader, and the history of its machines. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { findFacts } from "../../../src/reports/facts-store.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import { call, expectError, join, machineUuid, putResult } from "../harness/client.ts";
import { createPerson, measureJob, type TestJob } from "../harness/factories.ts";
import { reported, rowsReadBy } from "../harness/instruments.ts";
import { eventually } from "../harness/time.ts";
import { open } from "./report-files.ts";

const A4 = [595, 842];
const LETTER = [612, 792];

/** The size of the report's first page, in points. */
async function paperOf(url: string): Promise<number[]> {
  const { document } = await readPdf((await open(url)).bytes);
  const { width, height } = document.getPage(0).getSize();
  return [Math.round(width), Math.round(height)];
}

/** A job of one node, whose owner prefers these languages. */
async function startJob(languages?: string): Promise<TestJob> {
  const owner = await createPerson();
  const made = await call("POST", "/jobs", {
    token: owner.token,
    body: { benchmarks: [] },
    headers: languages === undefined ? {} : { "accept-language": languages },
  });
  return { id: made.body.id, token: made.body.token, owner };
}

async function endedJob(languages?: string): Promise<TestJob> {
  const job = await startJob(languages);
  await putResult(job, (await join(job)).body.id, 0);
  return job;
}

describe("paper", () => {
  test.for([
    [undefined, A4],
    ["de-DE, en-US;q=0.9", A4],
    ["en-US, en;q=0.9", LETTER],
    ["fr;q=0.5, EN-ca;q=0.8", LETTER],
  ] as const)("of a job made with Accept-Language %s", async ([languages, paper], { expect }) => {
    const job = await endedJob(languages);
    const { pdf_report_url: url } = (await reported(job)).body;
    expect(await paperOf(url)).toEqual(paper);
  });

  test("?paper= makes the reports again, and they stay so", async ({ expect }) => {
    const job = await endedJob();
    const { token } = job.owner;
    expect(await paperOf((await reported(job)).body.pdf_report_url)).toEqual(A4);
    const remake = (query: string) =>
      eventually(async () => {
        const reply = await call("POST", `/jobs/${job.id}/report${query}`, { token });
        if (reply.status === 503) throw new Error(reply.text);
        return reply;
      });
    const letter = (await remake("?paper=letter")).body.pdf_report_url;
    expect(await paperOf(letter)).toEqual(LETTER);
    const again = (await remake("")).body.pdf_report_url;
    expect(await paperOf(again)).toEqual(LETTER);
    const wrong = await remake("?paper=a3");
    expectError(
      expect,
      wrong,
      400,
      "PARAMETER_INCORRECT_VALUE",
      "paper must be one of a4, letter, given once",
    );
  });

  test("?paper= of a job that has not ended is refused, and changes nothing", async ({
    expect,
  }) => {
    const job = await startJob();
    const { token } = job.owner;
    const early = await call("POST", `/jobs/${job.id}/report?paper=letter`, { token });
    expectError(
      expect,
      early,
      400,
      "JOB_STATE_INVALID",
      "The job has not ended yet; its report is made when it ends",
    );
    await putResult(job, (await join(job)).body.id, 0);
    expect(await paperOf((await reported(job)).body.pdf_report_url)).toEqual(A4);
  });
});

describe("history", () => {
  test("has the machine's jobs of the same owner and model up to this one", async ({ expect }) => {
    const [owner, other] = [await createPerson(), await createPerson()];
    const machine_uuid = machineUuid();
    const measure = (bf16_tflops: number, person = owner, gpu_model = "NVIDIA A100-SXM4-80GB") =>
      measureJob(
        [
          {
            gpu_model,
            gpu_count: 1,
            machine_uuid,
            results: { aggregate_results: { bf16_tflops, memory_bandwidth_gbs: 1_700 } },
          },
        ],
        person,
      );
    await measure(260);
    await measure(100, other);
    await measure(90, owner, "NVIDIA H100 NVL");
    const job = await measure(250);
    await measure(255);
    const facts = await findFacts(openDatabase(env.DB, createMeter()), Number(job.id));
    const past = facts?.history.toSorted((one, two) => one.at - two.at) ?? [];
    expect(past.map(({ values }) => values.bf16_tflops)).toEqual([260, 250]);
  });

  test("is bounded to the last ten jobs, and reads no row of others", async ({ expect }) => {
    const owner = await createPerson();
    const machine_uuid = machineUuid();
    let number = 0;
    /** Measures the machine until it has so many jobs; answers the last one's history. */
    const historyAfter = async (jobs: number) => {
      let job: TestJob | undefined;
      for (; number < jobs; number++) {
        const aggregate_results = { bf16_tflops: 240 + number, memory_bandwidth_gbs: 1_700 };
        const machine = { gpu_model: "NVIDIA A100-SXM4-80GB", gpu_count: 1, machine_uuid };
        job = await measureJob([{ ...machine, results: { aggregate_results } }], owner);
      }
      const { reply, read } = await rowsReadBy(() =>
        findFacts(openDatabase(env.DB.withSession(), createMeter()), Number(job?.id)),
      );
      const values = reply?.history.map(({ values }) => values.bf16_tflops ?? 0).toSorted();
      return { values, rows: read.at(-1) };
    };
    const ten = await historyAfter(12);
    expect(ten.values).toEqual(Array.from({ length: 10 }, (_, at) => 242 + at));
    expect(ten.rows).toBeGreaterThan(9);
    expect(ten.rows, "an entry of the index and two of the table for each").toBeLessThanOrEqual(
      1 + 3 * 10,
    );
    expect((await historyAfter(18)).rows, "with more jobs").toBe(ten.rows);
  });
});
