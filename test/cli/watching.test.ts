/** Following a job through streams that break, are held back, or do not exist. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Answer, error, type FakeServer, json, startFakeServer } from "./fake-server.ts";
import {
  close,
  created,
  END,
  event,
  ID,
  JOB,
  JOBS,
  job,
  live,
  MACHINES,
  machine,
  stream,
  summary,
  TASKS,
  task,
} from "./job-samples.ts";
import { buildCli, type CliProgram } from "./program.ts";

let cli: CliProgram;
let server: FakeServer;
let env: Record<string, string>;

beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.remove());
beforeEach(async () => {
  server = await startFakeServer();
  env = { ASSAY_HOST: server.url, ASSAY_TOKEN: "t" };
  server.on(`GET ${JOB}/results`, json(200, {}));
  server.on(`GET /report`, (response) => void response.writeHead(200).end("%PDF-1.7 report"));
});
afterEach(async () => {
  await server.close();
  rmSync(join(cli.folder, `assay-job-${ID}.pdf`), { force: true });
});

const watch = (...options: string[]) => cli.run(["job", "watch", ID, ...options], env);

describe("exit codes and what is wrong", () => {
  const finding = { kind: "gpu_straggler", message: "GPU 3 has 71 % of the median of its node" };
  const cases: [string, object, number, string][] = [
    ["as expected", {}, 0, "completed, expected"],
    ["better", { scoreboard_summary: summary("outperforming", 1.3) }, 0, "130 %"],
    [
      "underperforming",
      { scoreboard_summary: summary("underperforming", 0.72) },
      3,
      "node 0: BF16 TFLOPS 72 per GPU, 72 % of 100.0 (fleet, 41 machines)",
    ],
    [
      "with a finding",
      { scoreboard_summary: summary("expected", 1, [finding]) },
      3,
      `node 0: ${finding.message}`,
    ],
    [
      "differing from its spec",
      {
        spec_check: "differs",
        tasks: [
          task({
            spec_check: {
              status: "differs",
              fields: [
                {
                  field: "memory",
                  promised: "1 TiB",
                  found: "512 GiB",
                  status: "differs",
                  reason: null,
                },
              ],
            },
          }),
        ],
      },
      3,
      "node 0: memory: found 512 GiB, promised 1 TiB",
    ],
    ["unrated", { scoreboard_summary: summary("unrated") }, 4, "BF16 TFLOPS is not rated"],
    ["without a verdict", { scoreboard_summary: null }, 4, "no verdict"],
    [
      "failed",
      {
        state: "failed",
        tasks: [task({ state: "failed", failed_message: "no contact for 150 s" })],
        scoreboard_summary: null,
      },
      1,
      "node 0: no contact for 150 s",
    ],
    [
      "completed with warnings",
      { state: "completed_with_warnings", scoreboard_summary: summary("underperforming", 0.5) },
      1,
      "50 %",
    ],
    ["a node missing", { state: "aborted", node_count: 2 }, 1, "1 of 2 nodes did not join"],
  ];

  test.each(cases)("%s", async (_, more, code, says) => {
    server.on(`GET ${JOB}`, json(200, job(more)));
    const people = await watch();
    expect(people.code, people.stderr).toBe(code);
    expect(people.stdout).toContain(says);
    const program = await watch("--json");
    expect(program.code).toBe(code);
    const document = JSON.parse(program.stdout);
    expect(document.exit_code).toBe(code);
    expect(Object.keys(document)).toEqual(["exit_code", "report", "job", "results"]);
  });
});

test("a verdict on recordings says REPLAYED on every line and page", async () => {
  const verdict = { ...summary("underperforming", 0.72), replayed: true };
  const [node] = verdict.nodes;
  const performance = { ...node, replayed: true };
  const scoreboard_summary = { ...verdict, nodes: [performance] };
  server.on(`GET ${JOB}`, json(200, job({ scoreboard_summary })));
  const pagination = { total: 1, next_cursor: null };
  server.on(`GET ${JOBS}`, json(200, { results: [job({ performance: verdict })], pagination }));
  const listed = task({ performance_status: "underperforming", replayed: true, findings: [] });
  server.on(`GET ${TASKS}`, json(200, { data: [listed], pagination }));
  server.on(`GET ${TASKS}/${listed.id}/results`, json(200, task({ performance })));
  const seen = machine({ status: "underperforming", replayed: true, findings: 0 });
  server.on(`GET ${MACHINES}`, json(200, { results: [seen], pagination }));
  server.on(`GET ${MACHINES}/${seen.machine_uuid}`, json(200, seen));
  const word = "underperforming (REPLAYED)";
  for (const [args, times] of [
    [["job", "list"], 1],
    [["job", "view", ID], 2],
    [["job", "watch", ID], 1],
    [["task", "list"], 1],
    [["task", "view", listed.id], 1],
    [["machine", "list"], 1],
    [["machine", "view", seen.machine_uuid], 1],
  ] as const) {
    const { stdout, stderr } = await cli.run(args, env);
    expect(stdout.split(word).length - 1, `${args.join(" ")}: ${stdout}${stderr}`).toBe(times);
  }
});

test("a stream that breaks goes on where it was, and its events are shown once", async () => {
  server.on(`GET ${JOB}`, json(200, live), json(200, live), json(200, live), json(200, job()));
  server.on(
    `GET ${JOB}/events`,
    stream(
      `retry: 2000\n\n${event(1, "node 0 joined")}`,
      (response) => void response.socket?.destroy(),
    ),
    stream(`retry: 2000\n\n${event(2, "node 0 started quick_mark")}${END}`, close),
  );
  const { code, stderr } = await watch();
  expect(code).toBe(0);
  expect(stderr.match(/node 0 joined/g)).toHaveLength(1);
  expect(stderr).toContain("node 0 started quick_mark");
  const streams = server.seen.filter(({ path }) => path.endsWith("/events"));
  expect(streams.map(({ headers }) => headers["last-event-id"])).toEqual([undefined, "1"]);
});

describe.each([
  [
    "a proxy that answers a page",
    (response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>"),
  ],
  ["streams that are cut at once", (response) => void response.socket?.destroy()],
  ["a proxy that holds them back", () => {}],
  ["503", error(503, "SERVICE_UNAVAILABLE", "no streams", { "retry-after": "0" })],
] as [string, Answer][])("with %s in place of events", (_, answer) => {
  test("the job is polled to its end", async () => {
    server.on(`GET ${JOB}/events`, answer);
    const unchanged: Answer = (response) => void response.writeHead(304).end();
    server.on(
      `GET ${JOB}`,
      json(200, live, { etag: '"1"' }),
      unchanged,
      json(200, job(), { etag: '"2"' }),
    );
    const { code, stderr } = await watch("--quiet");
    expect(code, stderr).toBe(0);
    const polls = server.seen.filter(({ path }) => path.startsWith(`${JOB}?wait=`));
    expect(polls.map(({ headers }) => headers["if-none-match"])).toEqual(['"1"', '"1"']);
  });
});

test("a job that the caller may no longer see ends the watching with its own code", async () => {
  server.on(`GET ${JOB}`, json(200, live));
  server.on(`GET ${JOB}/events`, error(404, "RESOURCE_NOT_FOUND", "Job not found"));
  expect((await watch()).code).toBe(1);
  server.on(`GET ${JOB}/events`, error(403, "PERMISSION_DENIED", "No"));
  expect((await watch()).code).toBe(77);
});

test("the verdict is waited for, though the server lets too many wait and answers at once", async () => {
  const unrated = job({ scoreboard_summary: null, pdf_report_url: null });
  const unchanged: Answer = (response) => void response.writeHead(304).end();
  server.on(
    `GET ${JOB}`,
    json(200, unrated, { etag: '"1"' }),
    json(200, unrated, { etag: '"1"' }),
    unchanged,
    unchanged,
    json(200, job(), { etag: '"2"' }),
  );
  expect((await watch("--quiet")).code).toBe(0);
});

describe("assay run", () => {
  beforeEach(() => server.on(`POST ${JOBS}`, json(201, created)));

  test("prints the line to paste, sends what was asked for, saves the report", async () => {
    server.on(`GET ${JOB}`, json(200, job()));
    const options = [
      "--nodes",
      "1",
      "--benchmark",
      "host_mark",
      "--benchmark",
      'cluster_network={"a":1}',
      "--tag",
      "x",
      "--expect",
      "h100",
      "--provider",
      "Lambda",
    ];
    const { code, stdout, stderr } = await cli.run(["run", ...options], env);
    expect(code, stderr).toBe(0);
    expect(stderr).toContain(`\n  ${created.join_command}\n`);
    expect(JSON.parse(server.seen[0]?.body ?? "")).toEqual({
      benchmarks: ["host_mark", { benchmark_id: "cluster_network", config: { a: 1 } }],
      node_count: 1,
      tags: ["x"],
      expected_spec: "h100",
      provider: "Lambda",
    });
    expect(stdout).toContain(`Report: assay-job-${ID}.pdf`);
    expect(readFileSync(join(cli.folder, `assay-job-${ID}.pdf`), "utf8")).toBe("%PDF-1.7 report");
    const report = server.seen.find(({ path }) => path === "/report");
    expect(report?.headers.authorization).toBeUndefined();
  });

  test("with --spec prints no line", async () => {
    server.on(`GET ${JOB}`, json(200, job()));
    const { code, stderr } = await cli.run(["run", "--spec", "h100", "--no-report"], env);
    expect(code).toBe(0);
    expect(stderr).not.toContain("curl");
    expect(existsSync(join(cli.folder, `assay-job-${ID}.pdf`))).toBe(false);
  });

  test("a report that is cut off leaves no file, and the verdict stands", async () => {
    server.on(`GET ${JOB}`, json(200, job()));
    server.on("GET /report", (response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write("%PDF", () => response.socket?.destroy());
    });
    const ended = await cli.run(["run"], env);
    expect(ended.code).toBe(0);
    expect(ended.stderr).toContain("the report could not be saved");
    expect(existsSync(join(cli.folder, `assay-job-${ID}.pdf`))).toBe(false);
    // One that was asked for by name is missed.
    expect((await cli.run(["run", "--report", "mine.pdf"], env)).code).toBe(69);
  });

  test.each([
    ["SIGINT", [], false],
    ["SIGTERM", [], false],
    ["SIGINT", ["--abort-on-exit"], true],
    ["SIGTERM", ["--abort-on-exit"], true],
  ] as const)(
    "%s with %j ends with 130; the job is aborted: %j",
    async (signal, options, aborts) => {
      server.on(`GET ${JOB}`, json(200, live));
      server.on(
        `GET ${JOB}/events`,
        stream(`retry: 2000\n\n${event(1, "node 0 joined")}`, () => {}),
      );
      server.on(
        `POST ${JOB}/abort`,
        json(200, { id: ID, state: "aborted", ended_at: "2026-11-22T10:10:00.000Z" }),
      );
      const running = cli.start(["run", ...options], env);
      await running.printed("node 0 joined");
      running.child.kill(signal);
      const { code, stderr } = await running.ended;
      expect(code).toBe(130);
      expect(stderr).toContain(aborts ? `job ${ID} aborted` : `assay job watch ${ID}`);
      const calls = server.seen.filter(({ path }) => path.endsWith("/abort"));
      expect(calls).toHaveLength(aborts ? 1 : 0);
    },
  );

  test("a signal while the server is silent ends at once with 130", async () => {
    server.on(`POST ${JOBS}`, () => {});
    const running = cli.start(["run"], env);
    while (server.seen.length === 0) await new Promise((done) => setTimeout(done, 20));
    running.child.kill("SIGINT");
    expect((await running.ended).code).toBe(130);
  });
});
