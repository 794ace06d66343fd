/** The command line in a terminal: progress, Ctrl-C, changes of size, passwords, pagers. */
import { readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
} from "vitest";
import { error, type FakeServer, json, startFakeServer } from "./fake-server.ts";
import { created, event, ID, JOB, JOBS, job, live, stream, task } from "./job-samples.ts";
import { writeProfile } from "./profiles.ts";
import { buildCli, type CliProgram } from "./program.ts";
import { hasTmux, openPseudoTerminal } from "./pseudo-terminal.ts";

const PASSWORD = "correct horse battery";
const configFile = () => join(cli.folder, "config/assay/config.json");

let cli: CliProgram;
let server: FakeServer;

beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.remove());
beforeEach(async () => {
  server = await startFakeServer();
  rmSync(join(cli.folder, "config"), { recursive: true, force: true });
});
afterEach(() => server.close());

const open = (...args: Parameters<typeof openPseudoTerminal>) => {
  const terminal = openPseudoTerminal(...args);
  onTestFinished(() => terminal.close());
  return terminal;
};

const tokens = (n: number) => ({
  access_token: `access-${n}`,
  refresh_token: `refresh-${n}`,
  token_type: "bearer",
  expires_in: 3600,
});

describe.skipIf(!hasTmux)("in a terminal", () => {
  test("a password is never shown, and never stored", async () => {
    server.on("POST /token", json(200, tokens(1)));
    const terminal = open(cli, ["login", "--host", server.url]);
    await terminal.shows("E-mail address");
    terminal.type("ada@example.con");
    terminal.press("BSpace");
    terminal.type("m");
    terminal.press("Enter");
    await terminal.shows("Password of ada@example.com");
    terminal.type(PASSWORD);
    terminal.press("Enter");
    expect(await terminal.ended()).toBe(0);
    expect(terminal.screen()).not.toContain("horse");
    expect(server.seen[0]?.body).toBe(
      new URLSearchParams({
        grant_type: "password",
        username: "ada@example.com",
        password: PASSWORD,
      }).toString(),
    );
    const stored = readFileSync(configFile(), "utf8");
    expect(stored).not.toContain("horse");
    expect(JSON.parse(stored).profiles.default.refresh_token).toBe("refresh-1");
    expect(statSync(configFile()).mode & 0o777).toBe(0o600);
  });

  test("Ctrl-C at the password ends with 130, and the terminal shows what is typed again", async () => {
    const terminal = open(cli, ["login", "--host", server.url, "--email", "ada@example.com"]);
    await terminal.shows("Password of");
    terminal.press("C-c");
    expect(await terminal.ended()).toBe(130);
    terminal.type("visible");
    await terminal.shows("visible");
  });

  test("a sensitive verb asks for the password again when the session is old, and goes on", async () => {
    const old = new Date(Date.now() - 16 * 60_000).toISOString();
    writeProfile(cli, {
      host: server.url,
      access_token: "access-1",
      refresh_token: "refresh-1",
      signed_in_at: old,
    });
    server.on("POST /token", json(200, tokens(2)));
    server.on("POST /token/revoke", json(200, {}));
    server.on(
      "POST /v0/users/ada/password-link",
      json(201, { url: "http://h/set-password#x", expiration: "2026-11-23T04:20:23.593Z" }),
    );
    const terminal = open(cli, ["user", "link", "ada"]);
    await terminal.shows("Password of ada@example.com");
    terminal.type(PASSWORD);
    terminal.press("Enter");
    expect(await terminal.ended()).toBe(0);
    expect(terminal.screen()).toContain("http://h/set-password#x");
    const link = server.seen.find(({ path }) => path.endsWith("/password-link"));
    expect(link?.headers.authorization).toBe("Bearer access-2");
    // The session before it is ended.
    expect(server.seen.find(({ path }) => path === "/token/revoke")?.body).toBe("token=refresh-1");
  });

  test("progress is drawn over, fits the terminal after a change of size, and ends with the last state", async () => {
    const nodes = Array.from({ length: 40 }, (_, rank) =>
      task({ id: String(7554621441 + rank), rank, state: "running", progress: rank / 40 }),
    );
    const large = { ...live, node_count: 40, current_nodes: 40, tasks: nodes };
    let end: (() => void) | undefined;
    const progress = (rank: number, value: number) =>
      `event: progress\ndata: ${JSON.stringify({ task_id: "1", rank, progress: value, message: "bf16" })}\n\n`;
    server.on(
      `GET ${JOB}`,
      json(200, large),
      json(
        200,
        job({ node_count: 40, tasks: nodes.map((node) => ({ ...node, state: "completed" })) }),
      ),
    );
    server.on(`GET ${JOB}/results`, json(200, {}));
    server.on(`GET ${JOB}/events`, (response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(`retry: 2000\n\n${progress(0, 0.25)}`);
      end = () => void response.end(`${progress(0, 0.75)}event: end\ndata: {}\n\n`);
    });
    const terminal = open(cli, ["job", "watch", ID], {
      columns: 100,
      rows: 12,
      env: { ASSAY_HOST: server.url, ASSAY_TOKEN: "t" },
    });
    await terminal.shows(/node 0 .* 25 %/);
    await terminal.shows("… and");
    terminal.resize(50, 8);
    await terminal.shows("Job 7554621440: running");
    for (const line of terminal.lines()) expect(line.length).toBeLessThanOrEqual(50);
    expect(terminal.lines().filter((line) => line.includes("Job 7554621440"))).toHaveLength(1);
    terminal.resize(120, 30);
    await terminal.shows(/node 0 .* 25 %/);
    end?.();
    // Nodes of this sample have no verdicts.
    expect(await terminal.ended()).toBe(4);
    expect(terminal.screen()).toContain("Job 7554621440: completed, 1 of 40 nodes");
    expect(terminal.lines().join("\n")).not.toContain("running");
  });

  test.each([
    ["y", true],
    ["n", false],
  ])("Ctrl-C asks for the job's fate; %s aborts it: %j", async (answer, aborts) => {
    server.on(`POST ${JOBS}`, json(201, created));
    server.on(`GET ${JOB}`, json(200, live));
    server.on(
      `GET ${JOB}/events`,
      stream(`retry: 2000\n\n${event(1, "node 0 joined")}`, () => {}),
    );
    server.on(
      `POST ${JOB}/abort`,
      json(200, { id: ID, state: "aborted", ended_at: "2026-11-22T10:10:00.000Z" }),
    );
    const terminal = open(cli, ["run"], { env: { ASSAY_HOST: server.url, ASSAY_TOKEN: "t" } });
    await terminal.shows("node 0 joined");
    terminal.press("C-c");
    await terminal.shows(`Abort job ${ID}, too? [y/N]`);
    terminal.type(answer);
    terminal.press("Enter");
    expect(await terminal.ended()).toBe(130);
    expect(server.seen.some(({ path }) => path.endsWith("/abort"))).toBe(aborts);
  });

  test("a second Ctrl-C, at the question, leaves the job alone", async () => {
    server.on(`POST ${JOBS}`, json(201, created));
    server.on(`GET ${JOB}`, json(200, live));
    server.on(
      `GET ${JOB}/events`,
      stream(`retry: 2000\n\n${event(1, "node 0 joined")}`, () => {}),
    );
    const terminal = open(cli, ["run"], { env: { ASSAY_HOST: server.url, ASSAY_TOKEN: "t" } });
    await terminal.shows("node 0 joined");
    terminal.press("C-c");
    await terminal.shows("[y/N]");
    terminal.press("C-c");
    expect(await terminal.ended()).toBe(130);
    expect(server.seen.some(({ path }) => path.endsWith("/abort"))).toBe(false);
  });

  test("long lists go through the pager, short ones and JSON do not", async () => {
    const row = {
      uuid: "u",
      name: "N",
      slug: "s",
      created: "2026-11-22T10:00:00.000Z",
      modified: "2026-11-22T10:00:00.000Z",
    };
    server.on("GET /v0/customers", json(200, Array(100).fill(row), { "x-total-count": "100" }));
    const env = { ASSAY_HOST: server.url, ASSAY_TOKEN: "t", PAGER: "sed s/^/PAGED:/ | head -3" };
    const paged = open(cli, ["customer", "list"], { env });
    expect(await paged.ended()).toBe(0);
    expect(paged.screen()).toContain("PAGED:Slug");
    for (const option of ["--json", "--no-pager"]) {
      const direct = open(cli, ["customer", "list", option], { env });
      expect(await direct.ended()).toBe(0);
      expect(direct.screen()).not.toContain("PAGED:");
    }
    server.on("GET /v0/customers", json(200, [row], { "x-total-count": "1" }));
    const short = open(cli, ["customer", "list"], { env });
    expect(await short.ended()).toBe(0);
    expect(short.screen()).not.toContain("PAGED:");
  });

  test("Ctrl-C in the pager belongs to the pager", async () => {
    const row = {
      slug: "s",
      name: "N",
      uuid: "u",
      created: "2026-11-22T10:00:00.000Z",
      modified: "2026-11-22T10:00:00.000Z",
    };
    server.on("GET /v0/customers", json(200, Array(100).fill(row), { "x-total-count": "100" }));
    const pager = "trap 'echo PAGER STAYS' INT; head -3; sleep 2; sleep 2";
    const env = { ASSAY_HOST: server.url, ASSAY_TOKEN: "t", PAGER: pager };
    const terminal = open(cli, ["customer", "list"], { env });
    await terminal.shows("Slug");
    terminal.press("C-c");
    await terminal.shows("PAGER STAYS");
    expect(await terminal.ended()).toBe(0);
  });

  test("the verdict has a colour, unless NO_COLOR says otherwise", async () => {
    server.on(`GET ${JOB}`, json(200, job()));
    server.on("GET /report", error(404, "RESOURCE_NOT_FOUND", "no"));
    const env = { ASSAY_HOST: server.url, ASSAY_TOKEN: "t" };
    for (const [more, isColoured] of [
      [{}, true],
      [{ NO_COLOR: "" }, true],
      [{ NO_COLOR: "1" }, false],
    ] as const) {
      const terminal = open(cli, ["job", "watch", ID], { env: { ...env, ...more } });
      expect(await terminal.ended()).toBe(0);
      expect(terminal.coloured().includes("\x1b[32mJob 7554621440 (nightly)")).toBe(isColoured);
    }
  });

  test("deleting asks first", async () => {
    server.on(
      `DELETE ${JOB}`,
      json(200, { message: "Job deleted successfully", requires_agent_stop: false }),
    );
    const env = { ASSAY_HOST: server.url, ASSAY_TOKEN: "t" };
    const no = open(cli, ["job", "delete", ID], { env });
    await no.shows("Delete job");
    no.press("Enter");
    expect(await no.ended()).toBe(2);
    expect(server.seen).toEqual([]);
    const yes = open(cli, ["job", "delete", ID], { env });
    await yes.shows("Delete job");
    yes.type("y");
    yes.press("Enter");
    expect(await yes.ended()).toBe(0);
    expect(server.seen).toHaveLength(1);
  });
});

describe("without a terminal", () => {
  const env = () => ({ ASSAY_HOST: server.url });

  test("login ends with 77 and says what to do", async () => {
    const { code, stderr } = await cli.run(["login", "--email", "ada@example.com"], env());
    expect(code).toBe(77);
    expect(stderr).toContain("there is no terminal to ask for the password: give --token");
  });

  test("a sensitive verb of an old session ends with 77, and nothing is sent", async () => {
    const old = new Date(Date.now() - 16 * 60_000).toISOString();
    writeProfile(cli, {
      host: server.url,
      access_token: "a",
      refresh_token: "r",
      signed_in_at: old,
    });
    for (const args of [
      ["user", "link", "ada"],
      ["user", "update", "ada", "--role", "staff"],
      ["user", "update", "ada", "--email", "a@b.c"],
    ]) {
      const { code, stderr } = await cli.run(args, env());
      expect(code).toBe(77);
      expect(stderr).toContain("within the last 15 minutes");
    }
    expect(server.seen).toEqual([]);
  });

  test("deleting asks for --yes", async () => {
    const { code, stderr } = await cli.run(["job", "delete", ID], { ...env(), ASSAY_TOKEN: "t" });
    expect(code).toBe(2);
    expect(stderr).toContain("--yes");
    expect(server.seen).toEqual([]);
  });

  test("no colours, and one line for each event", async () => {
    server.on(`POST ${JOBS}`, json(201, created));
    server.on(`GET ${JOB}`, json(200, live), json(200, job()));
    server.on(`GET ${JOB}/results`, json(200, {}));
    server.on(
      `GET ${JOB}/events`,
      stream(
        `retry: 2000\n\n${event(1, "node 0 \x1b[2Jjoined")}event: end\ndata: {}\n\n`,
        (response) => void response.end(),
      ),
    );
    server.on("GET /report", error(404, "RESOURCE_NOT_FOUND", "no"));
    const { stdout, stderr } = await cli.run(["run"], { ...env(), ASSAY_TOKEN: "t" });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these must not be there
    expect(stdout + stderr).not.toMatch(/\x1b/);
    expect(stderr).toContain("joined\n");
  });
});
