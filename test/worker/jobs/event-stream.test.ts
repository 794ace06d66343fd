/** A job's event stream: its frames, times, costs and bounds, with an injected clock; and as clients see it. */
import { exports } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import type { Seen, Watched } from "../../../src/coordinator/wire/protocol.ts";
import { framesOf, streamOf, type Watching } from "../../../src/jobs/event-stream.ts";
import type { WatchedRow } from "../../../src/jobs/store.ts";
import { MINUTE_MS, SECOND_MS } from "../../../src/lib/clock.ts";
import {
  API,
  call,
  detail,
  expectError,
  heartbeat,
  type Json,
  join,
  putResult,
} from "../harness/client.ts";
import { createJob, createPerson, type TestJob } from "../harness/factories.ts";
import { flushed } from "../harness/instruments.ts";
import { eventually } from "../harness/time.ts";

const ROW: WatchedRow = {
  state: "running",
  version: 1,
  coordinated: true,
  endedAt: null,
  events: [],
  ratedAt: null,
  reportHash: null,
  reportError: null,
};
const joined = { at: 0, kind: "joined", rank: 0, message: "node 0 joined" } as const;
const NOTHING: Watched = {
  ok: true,
  mark: "a",
  state: "running",
  endedAt: null,
  events: [],
  nodes: [],
};

/** A stream whose time passes only by waiting; answers its frames with their times, and what it asked for. */
async function play(options: Partial<Omit<Watching, "clock" | "sleep">> = {}) {
  const startedAt = Date.UTC(2026, 0, 1);
  let now = startedAt;
  const pass = async (ms: number) => {
    now += ms;
  };
  const reads: number[] = [];
  const watches: { at: number; seen: Seen; waitMs: number }[] = [];
  const at = () => (now - startedAt) / SECOND_MS;
  const frames = framesOf({
    jobId: 512,
    row: ROW,
    from: 0,
    ...options,
    read: async () => {
      reads.push(at());
      return options.read === undefined ? ROW : options.read();
    },
    watch: async (seen, waitMs) => {
      watches.push({ at: at(), seen, waitMs });
      if (options.watch !== undefined) return options.watch(seen, waitMs);
      if (seen.mark !== null) await pass(waitMs);
      return NOTHING;
    },
    clock: { now: () => now },
    sleep: pass,
  });
  const sent: [at: number, text: string][] = [];
  for await (const text of frames) sent.push([at(), text]);
  return { sent, reads, watches, lastedMs: now - startedAt };
}

const every = (seconds: number, count: number) =>
  Array.from({ length: count }, (_, n) => (n + 1) * seconds);

describe("time and cost", () => {
  test("nothing happens: a comment every 20 s for 15 minutes, 46 calls of the object, 45 of D1", async ({
    expect,
  }) => {
    const { sent, reads, watches, lastedMs } = await play();
    expect(sent.map(([at]) => at)).toEqual([0, ...every(20, 45)]);
    expect(sent[0]?.[1]).toBe("retry: 2000\n\n");
    expect(new Set(sent.slice(1).map(([, text]) => text))).toEqual(new Set([": \n\n"]));
    expect(watches).toHaveLength(46);
    expect(reads).toEqual(every(20, 45));
    expect(lastedMs).toBe(15 * MINUTE_MS);
  });

  test("before the first node joins: D1 every 5 s, and no call of the object", async ({
    expect,
  }) => {
    const row = { ...ROW, coordinated: false, state: "created" as const };
    const { sent, reads, watches, lastedMs } = await play({ row, read: async () => row });
    expect(watches).toEqual([]);
    expect(reads).toEqual(every(5, 180));
    expect(sent.map(([at]) => at)).toEqual([0, ...every(20, 44)]);
    expect(lastedMs).toBe(15 * MINUTE_MS);
  });

  test("the first node joins: from the next read of D1 on the object tells", async ({ expect }) => {
    let reads = 0;
    const { sent, watches } = await play({
      row: { ...ROW, coordinated: false },
      read: async () => ({ ...ROW, coordinated: ++reads >= 2 }),
      watch: async () => ({ ...NOTHING, events: [joined], endedAt: 0, state: "aborted" }),
    });
    expect(watches.map(({ at }) => at)).toEqual([10]);
    expect(sent.at(-1)?.[1]).toContain("event: end");
  });

  test("news every moment: sent together once a second, and ended within 800 calls", async ({
    expect,
  }) => {
    let progress = 0;
    const { sent, reads, watches } = await play({
      watch: async () => {
        progress += 0.0001;
        return { ...NOTHING, nodes: [{ rank: 0, progress, message: null }] };
      },
    });
    expect(sent.slice(1).map(([at]) => at)).toEqual([0, ...every(1, sent.length - 2)]);
    expect(watches.length + reads.length).toBeLessThanOrEqual(800);
    expect(watches.length).toBeGreaterThan(700);
  });
});

describe("frames", () => {
  test("events by their ordinal, from Last-Event-ID on; progress without id, only where it changed", async ({
    expect,
  }) => {
    const news: Partial<Watched>[] = [
      { events: [joined], nodes: [{ rank: 0, progress: 0, message: null }] },
      { nodes: [{ rank: 0, progress: 0.5, message: "bf16\nnext" }] },
      { nodes: [{ rank: 0, progress: 0.5, message: "bf16\nnext" }] },
      { events: [{ ...joined, kind: "settled", rank: null }], endedAt: 1_000, state: "completed" },
    ];
    let turn = 0;
    const { sent, watches } = await play({
      from: 3,
      watch: async () => ({ ...NOTHING, mark: String(turn), ...news[turn++] }),
    });
    expect(sent.map(([, text]) => text)).toEqual([
      "retry: 2000\n\n",
      'id: 4\nevent: event\ndata: {"at":"1970-01-01T00:00:00.000Z","kind":"joined","rank":0,"message":"node 0 joined"}\n\n',
      'event: progress\ndata: {"task_id":"513","rank":0,"progress":0.5,"message":"bf16\\nnext"}\n\n',
      'id: 5\nevent: event\ndata: {"at":"1970-01-01T00:00:00.000Z","kind":"settled","rank":null,"message":"node 0 joined"}\n\n' +
        'event: end\ndata: {"state":"completed","ended_at":"1970-01-01T00:00:01.000Z"}\n\n',
    ]);
    expect(watches.map(({ seen }) => seen)).toEqual([
      { mark: null, events: 3 },
      { mark: "0", events: 4 },
      { mark: "1", events: 4 },
      { mark: "2", events: 4 },
    ]);
  });

  test("whoever may not read the job any more: the stream ends, without the job's end", async ({
    expect,
  }) => {
    const { sent, lastedMs } = await play({ read: async () => null });
    expect(lastedMs).toBe(20 * SECOND_MS);
    expect(sent.map(([, text]) => text).join("")).not.toContain("event: end");
  });
});

describe("the client", () => {
  async function* texts(count: number): AsyncGenerator<string, void> {
    for (let n = 0; n < count; n++) {
      made.push(n);
      yield String(n);
    }
  }
  let made: number[] = [];

  function quiet() {
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => warned.mockRestore());
    return warned;
  }

  test("reads slowly: nothing is made ahead", async ({ expect }) => {
    made = [];
    const ended = vi.fn();
    const reader = streamOf(texts(3), ended).getReader();
    await new Promise((done) => setTimeout(done, 20));
    expect(made).toEqual([]);
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("0");
    expect(made).toEqual([0]);
    await reader.cancel();
    await reader.cancel();
    expect(ended).toHaveBeenCalledTimes(1);
  });

  test("stops reading: cut off, and the frames end", async ({ expect }) => {
    const warned = quiet();
    const ended = vi.fn();
    const reader = streamOf(texts(3), ended, 30).getReader();
    await reader.read();
    await eventually(() => expect(ended).toHaveBeenCalledTimes(1));
    await expect(reader.read()).rejects.toThrow("The client stopped reading");
    expect(warned).toHaveBeenCalledTimes(1);
  });

  test("of a stream whose job cannot be reached: cut off, so that it comes back", async ({
    expect,
  }) => {
    quiet();
    const ended = vi.fn();
    const failing = framesOf({
      jobId: 512,
      row: ROW,
      from: 0,
      read: async () => ROW,
      watch: async () => ({ ok: false, reason: "unavailable" }),
      clock: { now: () => 0 },
    });
    const reader = streamOf(failing, ended).getReader();
    await reader.read();
    await expect(reader.read()).rejects.toThrow("coordinator says unavailable");
    expect(ended).toHaveBeenCalledTimes(1);
  });
});

function open(job: TestJob, headers: Record<string, string> = {}, token = job.owner.token) {
  const request = new Request(`${API}/jobs/${job.id}/events`, {
    headers: { authorization: `Bearer ${token}`, "cf-connecting-ip": "10.9.8.7", ...headers },
  });
  return exports.default.fetch(request);
}

/** The frames of a stream so far: `id`, `event` and parsed `data`. */
function parse(text: string) {
  return text
    .split("\n\n")
    .filter((frame) => frame.includes("event: "))
    .map((frame) => {
      const fields = new Map(
        frame.split("\n").map((line): [string, string] => {
          const [name = "", ...rest] = line.split(": ");
          return [name, rest.join(": ")];
        }),
      );
      const id = fields.get("id");
      const data: Json = JSON.parse(fields.get("data") ?? "null");
      return { ...(id === undefined ? {} : { id }), event: fields.get("event"), data };
    });
}

describe("GET /jobs/{job_id}/events", () => {
  test("of a job from its first node to its end; the log has what it cost", async ({ expect }) => {
    const job = await createJob();
    const { id } = (await join(job)).body;
    const logged = vi.spyOn(console, "log").mockImplementation(() => {});
    onTestFinished(() => logged.mockRestore());
    const reply = await open(job);
    expect([reply.status, reply.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    let text = "";
    const read = (async () => {
      for await (const bytes of reply.body ?? []) text += new TextDecoder().decode(bytes);
    })();
    await eventually(() =>
      expect(parse(text).map(({ event }) => event)).toEqual(["event", "event"]),
    );
    await heartbeat(job, id, { progress: 0.25, message: "bf16" });
    await eventually(() => expect(text).toContain("event: progress"));
    await putResult(job, id, 0);
    await read;
    const { events, state, ended_at } = (await detail(job)).body;
    const frames = parse(text);
    expect(frames.filter(({ event }) => event === "event")).toEqual(
      events.map((data: Json, index: number) => ({ id: String(index + 1), event: "event", data })),
    );
    expect(frames.filter(({ event }) => event === "progress")).toContainEqual({
      event: "progress",
      data: { task_id: id, rank: 0, progress: 0.25, message: "bf16" },
    });
    expect(frames.at(-1)).toEqual({ event: "end", data: { state, ended_at } });
    const line = logged.mock.calls
      .map(([each]) => JSON.parse(each))
      .find(({ event }) => event === "event_stream");
    expect(line).toMatchObject({ job: Number(job.id), d1_round_trips: 1 });
    expect(line.object_hops).toBeGreaterThanOrEqual(3);
  });

  test("of an ended job: all events and the end, at once; from Last-Event-ID on; one read of D1", async ({
    expect,
  }) => {
    const job = await createJob();
    await putResult(job, (await join(job)).body.id, 0);
    await flushed(job);
    const { events } = (await detail(job)).body;
    const whole = parse(await (await open(job)).text());
    expect(whole.map(({ id }) => id)).toEqual([
      ...events.map((_: Json, index: number) => String(index + 1)),
      undefined,
    ]);
    const after = async (id: string) =>
      parse(await (await open(job, { "last-event-id": id })).text());
    expect(await after("2")).toEqual(whole.slice(2));
    expect(await after(String(events.length))).toEqual(whole.slice(-1));
    expect(await after("999"), "as after a restored database").toEqual(whole.slice(-1));
  });

  test("HEAD has the headers alone, and opens nothing", async ({ expect }) => {
    const job = await createJob();
    const reply = await call("HEAD", `/jobs/${job.id}/events`, { token: job.owner.token });
    expect([reply.status, reply.headers.get("content-type"), reply.text]).toEqual([
      200,
      "text/event-stream",
      "",
    ]);
  });

  test("a wrong Last-Event-ID is 400; a job that the caller does not see is 404", async ({
    expect,
  }) => {
    const job = await createJob();
    for (const id of ["-1", "x", "1.5", "9999999999"]) {
      const reply = await call("GET", `/jobs/${job.id}/events`, {
        token: job.owner.token,
        headers: { "last-event-id": id },
      });
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
      expect(reply.body.error.details[0].field).toBe("Last-Event-ID");
    }
    const { token } = await createPerson();
    const reply = await call("GET", `/jobs/${job.id}/events`, { token });
    expectError(expect, reply, 404, "RESOURCE_NOT_FOUND");
  });

  test("32 streams of one person at a time; the next is 429, and anyone else's is open", async ({
    expect,
  }) => {
    const job = await createJob();
    const streams = await Promise.all(Array.from({ length: 32 }, () => open(job)));
    const refused = await open(job);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([429, "20"]);
    await refused.text();
    const staff = await createPerson({ role: "staff" });
    const others = await open(job, {}, staff.token);
    expect(others.status).toBe(200);
    for (const { body } of [...streams, others]) await body?.cancel();
    const again = await open(job);
    expect(again.status).toBe(200);
    await again.body?.cancel();
  });
});
