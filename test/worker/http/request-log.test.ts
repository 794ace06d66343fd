/** Which requests have a line in the log: every error and every change, and one in 100 of what only repeats. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { readConfig } from "../../../src/lib/config.ts";
import wrangler from "../../../wrangler.toml?raw";
import { API, appDeps, join, poll, resultBody, taskHeader, V0 } from "../harness/client.ts";
import { createJob, createRunner, createSpec } from "../harness/factories.ts";

type Line = { status: number; route: string; method: string; one_in?: number };

const { ROUTINE_LOG_ONE_IN: _test, ...settings } = env as unknown as Record<string, string>; // set by vitest.config.ts
const config = { ...readConfig(settings), rateLimitScale: 1_000_000 };
let app: Awaited<ReturnType<typeof createApp>>;
beforeAll(async () => {
  app = await createApp(appDeps({ config }));
});

async function send(
  method: string,
  url: string,
  token: string,
  { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
): Promise<number> {
  const sent = new Headers({ authorization: `Bearer ${token}`, ...headers });
  if (body !== undefined) sent.set("content-type", "application/json");
  const init = { method, headers: sent, body: body === undefined ? null : JSON.stringify(body) };
  const reply = await app.request(url, init);
  await reply.text();
  return reply.status;
}

/** The lines of requests that `run` writes. */
async function linesOf(run: () => Promise<unknown>): Promise<Line[]> {
  const logged = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    await run();
    return logged.mock.calls.map(([line]) => JSON.parse(line));
  } finally {
    logged.mockRestore();
  }
}

async function times(count: number, run: () => Promise<unknown>): Promise<void> {
  for (let n = 0; n < count; n++) await run();
}

test("one in 100, unless it is set otherwise", ({ expect }) => {
  expect(config.routineLogOneIn).toBe(100);
  expect(readConfig({ ...settings, ROUTINE_LOG_ONE_IN: "7" }).routineLogOneIn).toBe(7);
  for (const wrong of ["0", "0.5", "-1", "x"]) {
    const read = () => readConfig({ ...settings, ROUTINE_LOG_ONE_IN: wrong });
    expect(read, wrong).toThrow("ROUTINE_LOG_ONE_IN must be a whole number of at least 1");
  }
});

test("the platform writes no line of its own and drops none", ({ expect }) => {
  const [, logs = ""] = wrangler.split("[observability.logs]");
  expect(logs.split("\n[")[0]?.trim().split("\n")).toEqual([
    "enabled = true",
    "invocation_logs = false",
    "head_sampling_rate = 1",
  ]);
});

describe("of what succeeds and changes nothing, exactly one in 100", () => {
  test("polls: 200 and 304 alike", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const { id } = (await join(job)).body;
    const etag = (await poll(job, id)).headers.get("etag") ?? "";
    const url = `${API}/jobs/current?task_id=${id}`;
    const known = { ...taskHeader(job), "if-none-match": etag };
    const lines = await linesOf(async () => {
      await times(100, async () => expect(await send("GET", url, job.token)).toBe(200));
      await times(100, async () =>
        expect(await send("GET", url, job.token, { headers: known })).toBe(304),
      );
    });
    expect(lines.map(({ status, one_in }) => [status, one_in])).toEqual([
      [200, 100],
      [304, 100],
    ]);
  });

  test("heartbeats, and claims that get no job", async ({ expect }) => {
    const job = await createJob();
    const { id } = (await join(job)).body;
    const { uuid, key } = await createRunner([await createSpec()]);
    const beat = `${API}/jobs/current/tasks/${id}`;
    const lines = await linesOf(async () => {
      await times(50, () => send("PATCH", beat, job.token, { body: { progress: 0.5 } }));
      await times(50, () => send("POST", `${V0}/runners/${uuid}/jobs`, key));
    });
    expect(lines).toEqual([expect.objectContaining({ status: 200, one_in: 100 })]);
  });
});

describe("every error and every change has its line, which stands for itself alone", () => {
  test("refused polls, heartbeats and claims", async ({ expect }) => {
    const job = await createJob();
    await join(job);
    const lines = await linesOf(async () => {
      await times(3, () => send("GET", `${API}/jobs/current?task_id=x`, job.token));
      await times(3, () => send("GET", `${API}/jobs/current?task_id=${job.id}`, job.token));
      await times(3, () =>
        send("PATCH", `${API}/jobs/current/tasks/${job.id}`, job.token, { body: { progress: 0 } }),
      );
      await times(3, () => send("POST", `${V0}/runners/${crypto.randomUUID()}/jobs`, "wrong"));
    });
    const seen = lines.map(({ status, one_in }) => [status, one_in]);
    expect(seen).toEqual([400, 404, 404, 401].flatMap((s) => Array(3).fill([s, undefined])));
  });

  test("a join, a result, giving up, a claim that gets a job", async ({ expect }) => {
    const spec = await createSpec();
    const { uuid, key } = await createRunner([spec]);
    await createJob({ spec: spec.uuid });
    const [job, other, joined] = [await createJob(), await createJob(), await createJob()];
    const { id } = (await join(job)).body;
    const task = (await join(other)).body;
    const lines = await linesOf(async () => {
      const machine = { machine_uuid: crypto.randomUUID() };
      await send("POST", `${API}/jobs/current/tasks`, joined.token, { body: machine });
      const url = `${API}/jobs/current/tasks/${id}/results/0`;
      await send("PUT", url, job.token, { body: resultBody() });
      const body = { state: "failed", failed_message: "out of memory" };
      await send("PATCH", `${API}/jobs/current/tasks/${task.id}`, other.token, { body });
      await send("POST", `${V0}/runners/${uuid}/jobs`, key);
    });
    expect(lines.map(({ method, status, one_in }) => [method, status, one_in])).toEqual([
      ["POST", 201, undefined],
      ["PUT", 200, undefined],
      ["PATCH", 200, undefined],
      ["POST", 200, undefined],
    ]);
  });
});
