/** What an agent keeps of a job, how it proves to be its node, and how long it waits for an earlier agent. */
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openJobState } from "../../agent/src/job-state.ts";
import type { RunStep } from "../../agent/src/step-context.ts";
import { type FakeServer, startFakeServer, taskTokenOf } from "./fake-server.ts";
import { startAgent, until } from "./helpers.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "assay-agent-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const logs: string[] = [];
const open = (machine = "one", from = folder) =>
  openJobState({
    folder: from,
    of: ["https://assay.test", "token", machine],
    log: (line) => void logs.push(line),
    now: Date.now,
  });
const files = () => readdirSync(join(folder, "jobs")).map((name) => join(folder, "jobs", name));

describe("the file", () => {
  test("is one for each job and machine, and its user's alone", () => {
    const state = open();
    expect(state.kept).toEqual({
      joinSecret: expect.stringMatching(/^[A-Za-z0-9_-]{32}$/),
      task: null,
    });
    expect(open("two").kept.joinSecret).not.toBe(state.kept.joinSecret);
    expect(files()).toHaveLength(2);
    for (const file of files()) expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "jobs")).mode & 0o777).toBe(0o700);
  });

  test("brings secret and token back, until the job is over", () => {
    const state = open();
    state.save({ id: "513", token: "a.b.c" });
    expect(open().kept).toEqual({ ...state.kept, task: { id: "513", token: "a.b.c" } });
    expect(files()).toHaveLength(1);
    open().remove();
    expect(files()).toEqual([]);
    expect(open().kept.joinSecret).not.toBe(state.kept.joinSecret);
  });

  test.each(["", "{", "null", '{"join_secret": "short"}', '{"join_secret": 5}'])(
    "a damaged one (%j) is replaced",
    (text) => {
      open();
      const [file = ""] = files();
      writeFileSync(file, text);
      const { joinSecret } = open().kept;
      expect(joinSecret).toHaveLength(32);
      expect(open().kept.joinSecret).toBe(joinSecret);
    },
  );

  test("that is two days old is removed by the next agent", () => {
    open("gone");
    const [old = ""] = files();
    const days = Date.now() / 1_000 - 3 * 86_400;
    utimesSync(old, days, days);
    open("new");
    expect(files()).toHaveLength(1);
    expect(files()[0]).not.toBe(old);
  });

  test("cannot be written: it says so once, and goes on", () => {
    logs.length = 0;
    // A file where the folder would be: root may write to folders of any mode.
    const blocked = join(folder, "blocked");
    writeFileSync(blocked, "");
    const state = open("one", blocked);
    state.save({ id: "513", token: "a.b.c" });
    state.remove();
    expect(state.kept).toMatchObject({ task: { id: "513" } });
    expect(logs).toEqual([expect.stringMatching(/cannot keep the job's state in .*blocked/)]);
    chmodSync(blocked, 0o600);
  });
});

/** A step that lasts until it is aborted. */
const endless: RunStep = (_step, { signal }) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });

describe("an agent", () => {
  let server: FakeServer;
  beforeEach(async () => {
    server = await startFakeServer();
  });
  afterEach(() => server.close());

  test("sends its secret with joining, and its token with every call about its task", async () => {
    const agent = startAgent(server.url, {
      stateFolder: folder,
      bootId: "1b7c3e0a-6f5d-4d1c-9b1e-0a2f5f0c7d11",
    });
    expect((await agent.end).task?.state).toBe("completed");
    const [post] = server.of("POST");
    expect(post?.body).toMatchObject({
      join_secret: expect.stringMatching(/^[A-Za-z0-9_-]{32}$/),
      boot_id: "1b7c3e0a-6f5d-4d1c-9b1e-0a2f5f0c7d11",
    });
    const token = taskTokenOf("7554621441");
    const ofTask = server.requests.filter(({ path }) => path.includes("7554621441"));
    expect(ofTask.length).toBeGreaterThan(2);
    for (const { headers } of ofTask) expect(headers["assay-task-token"]).toBe(token);
    for (const { headers, path } of server.requests) {
      if (!path.includes("7554621441")) expect(headers["assay-task-token"]).toBeUndefined();
    }
    expect(JSON.stringify(await agent.end), "not for whoever reads its output").not.toContain(
      token,
    );
  });

  test("that was killed joins with the same secret; its first look is at its own task", async () => {
    const first = startAgent(server.url, {
      stateFolder: folder,
      runStep: endless,
    });
    await until(() => server.of("PATCH").length > 0, "a heartbeat");
    const before = server.requests.length;
    const second = startAgent(server.url, { stateFolder: folder });
    expect((await second.end).task?.state).toBe("completed");
    const [look, rejoin] = server.requests
      .slice(before)
      .filter(({ method }) => method === "GET" || method === "POST");
    expect(look).toMatchObject({ path: "?task_id=7554621441" });
    expect(rejoin?.method).toBe("POST");
    expect(server.of("POST")[1]?.body.join_secret).toBe(server.of("POST")[0]?.body.join_secret);
    first.abort();
    await first.end.catch(() => {});
  });

  test("that was killed after its last result learns its end, though the job is over", async () => {
    const state = openJobState({
      folder,
      of: [server.url, "eyJhbGciOi.test-token.c2lnbmF0dXJl", ""],
      log: () => {},
      now: Date.now,
    });
    const first = startAgent(server.url, { stateFolder: folder });
    await first.end;
    expect(state.kept.joinSecret).toHaveLength(32);
    const second = startAgent(server.url, { stateFolder: folder });
    expect((await second.end).task?.state).toBe("completed");
    expect(server.of("POST")).toHaveLength(1);
  });

  test.each([403, 404])("whose kept token the server answers %i begins anew", async (status) => {
    const first = startAgent(server.url, { stateFolder: folder });
    await first.end;
    server.tasks.splice(0);
    server.intercept = ({ path }) =>
      path.startsWith("?task_id") && server.tasks.length === 0
        ? server.error(status, "REFUSED")
        : undefined;
    const second = startAgent(server.url, { stateFolder: folder });
    expect((await second.end).task?.state).toBe("completed");
    expect(server.of("POST")).toHaveLength(2);
  });

  test("waits for an earlier agent's lease, says so once, and then joins", async () => {
    let refusals = 3;
    server.intercept = ({ method }) =>
      method === "POST" && refusals-- > 0
        ? server.error(409, "MACHINE_IN_USE", { "retry-after": "50" })
        : undefined;
    const agent = startAgent(server.url, { stateFolder: folder });
    expect((await agent.end).task?.state).toBe("completed");
    expect(agent.clock.slept.slice(0, 3)).toEqual([50_000, 50_000, 50_000]);
    expect(agent.logs.filter((line) => line.includes("another agent"))).toHaveLength(1);
  });

  test("ends after the lease and half a minute, with a hint", async () => {
    server.intercept = ({ method }) =>
      method === "POST" ? server.error(409, "MACHINE_IN_USE", { "retry-after": "149" }) : undefined;
    const agent = startAgent(server.url, { stateFolder: folder });
    const end = await agent.end;
    expect(end).toMatchObject({ kind: "error", task: null });
    expect(end.message).toMatch(/another agent .*--machine-uuid/);
    const waited = agent.clock.slept.reduce((sum, ms) => sum + ms, 0);
    expect(waited).toBe(180_000);
    expect(agent.logs.filter((line) => line.includes("another agent"))).toHaveLength(1);
  });

  test("waits out a longer lease than it knows of", async () => {
    server.intercept = ({ method }) =>
      method === "POST" ? server.error(409, "MACHINE_IN_USE", { "retry-after": "600" }) : undefined;
    const agent = startAgent(server.url, { stateFolder: folder });
    await agent.end;
    expect(agent.clock.slept.reduce((sum, ms) => sum + ms, 0)).toBe(630_000);
  });

  test("keeps its state while the task is open", async () => {
    const agent = startAgent(server.url, {
      stateFolder: folder,
      runStep: endless,
    });
    await until(() => server.of("PATCH").length > 0, "a heartbeat");
    const [file = ""] = files();
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({
      join_secret: server.tasks[0]?.secret,
      task_id: "7554621441",
      task_token: taskTokenOf("7554621441"),
    });
    agent.abort();
    await agent.end.catch(() => {});
    expect(files()).toHaveLength(1);
  });
});
