/** Profiles, the choice of server and token, and a session that several processes share. */
import { chmodSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { cut, error, type FakeServer, json, startFakeServer } from "./fake-server.ts";
import { profile, writeProfile } from "./profiles.ts";
import { buildCli, type CliProgram } from "./program.ts";

const PAST = new Date(Date.now() - 60_000).toISOString();
const ME = {
  uuid: "u",
  email: "ada@example.com",
  name: "Ada",
  slug: "ada",
  role: "user",
  admin: false,
  customer: { uuid: "c", name: "Default", slug: "default" },
  locked: false,
  created: PAST,
  modified: PAST,
};

let cli: CliProgram;
let server: FakeServer;
let path: string;

beforeAll(async () => {
  cli = await buildCli();
});
afterAll(() => cli.remove());
beforeEach(async () => {
  server = await startFakeServer();
  server.on("GET /v0/users/me", json(200, ME));
});
afterEach(() => server.close());

const stored = () => JSON.parse(readFileSync(path, "utf8")).profiles.default;
const bearers = () =>
  server.seen.flatMap(({ headers, path }) =>
    path === "/v0/users/me" ? [headers.authorization] : [],
  );
const refreshes = () => server.seen.filter(({ path }) => path === "/token").map(({ body }) => body);

/** Answers each refresh token once, as the server does, and a used one with the end of the session. */
function rotate(delayMs = 0): void {
  let known = 1;
  server.on("POST /token", (response, request) => {
    const given = new URLSearchParams(request.body).get("refresh_token");
    if (given !== `refresh-${known}`) {
      return error(400, "invalid_grant", "used")(response, request);
    }
    known += 1;
    const reply = {
      access_token: `access-${known}`,
      refresh_token: `refresh-${known}`,
      token_type: "bearer",
      expires_in: 3600,
    };
    setTimeout(() => json(200, reply)(response, request), delayMs);
  });
}

describe("a session", () => {
  test("is renewed before its token ends, and the password's time is kept", async () => {
    path = writeProfile(cli, { host: server.url, access_expires_at: PAST, signed_in_at: PAST });
    rotate();
    expect((await cli.run(["whoami"])).code).toBe(0);
    expect(bearers()).toEqual(["Bearer access-2"]);
    expect(stored()).toMatchObject({
      access_token: "access-2",
      refresh_token: "refresh-2",
      signed_in_at: PAST,
    });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("is renewed after a 401, and the request sent again, once", async () => {
    path = writeProfile(cli, { host: server.url });
    rotate();
    const refused = error(401, "CLIENT_TOKEN_INVALID", "Invalid or expired token");
    server.on("GET /v0/users/me", refused, json(200, ME));
    expect((await cli.run(["whoami"])).code).toBe(0);
    expect(bearers()).toEqual(["Bearer access-1", "Bearer access-2"]);
    server.on("GET /v0/users/me", refused);
    expect((await cli.run(["whoami"])).code).toBe(77);
    expect(refreshes()).toHaveLength(2);
  });

  test("of many processes at once is renewed by one of them", async () => {
    path = writeProfile(cli, { host: server.url, access_expires_at: PAST });
    rotate(300);
    const runs = await Promise.all(Array.from({ length: 5 }, () => cli.run(["whoami"])));
    expect(runs.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      Array(5).fill({ code: 0, stderr: "" }),
    );
    expect(refreshes()).toEqual(["grant_type=refresh_token&refresh_token=refresh-1"]);
    expect(new Set(bearers())).toEqual(new Set(["Bearer access-2"]));
    expect(readdirSync(dirname(path))).toEqual(["config.json"]);
  });

  test("of two processes that are refused at once is renewed by one of them", async () => {
    path = writeProfile(cli, { host: server.url });
    rotate(300);
    server.on("GET /v0/users/me", (response, request) => {
      const isOld = request.headers.authorization === "Bearer access-1";
      (isOld ? error(401, "CLIENT_TOKEN_INVALID", "expired") : json(200, ME))(response, request);
    });
    const runs = await Promise.all([cli.run(["whoami"]), cli.run(["whoami"])]);
    expect(runs.map(({ code }) => code)).toEqual([0, 0]);
    expect(refreshes()).toHaveLength(1);
  });

  test("whose renewing got no reply asks for a sign-in, says why, and tries the used token never again", async () => {
    path = writeProfile(cli, { host: server.url, access_expires_at: PAST });
    server.on("POST /token", cut);
    const { code, stderr } = await cli.run(["whoami"]);
    expect(code).toBe(77);
    expect(stderr).toContain("the reply to renewing the session");
    expect(stderr).toContain("sign in again with assay login");
    expect(refreshes()).toHaveLength(1);
    expect(stored()).toMatchObject({ access_token: null, refresh_token: null });
    expect((await cli.run(["whoami"])).code).toBe(77);
    expect(refreshes()).toHaveLength(1);
  });

  test("is kept where the server could not be reached, or was out of order", async () => {
    path = writeProfile(cli, { host: server.url, access_expires_at: PAST });
    server.on("POST /token", error(503, "SERVICE_UNAVAILABLE", "Out of order"));
    expect((await cli.run(["whoami"])).code).toBe(69);
    expect(refreshes()).toHaveLength(1);
    await server.close();
    expect((await cli.run(["whoami"])).code).toBe(69);
    expect(stored().refresh_token).toBe("refresh-1");
    server = await startFakeServer();
  });

  test("that has ended says so", async () => {
    path = writeProfile(cli, {
      host: server.url,
      access_expires_at: PAST,
      refresh_token: "refresh-0",
    });
    rotate();
    const { code, stderr } = await cli.run(["whoami"]);
    expect({ code, stderr }).toEqual({
      code: 77,
      stderr: `assay: the session at ${server.url} has ended: sign in with assay login, or set ASSAY_TOKEN\n`,
    });
  });

  test("is renewed although a process has died with the lock, and not before 30 s", async () => {
    path = writeProfile(cli, { host: server.url, access_expires_at: PAST });
    rotate();
    writeFileSync(`${path}.lock`, "1 dead\n");
    const since = Date.now() / 1_000 - 28;
    utimesSync(`${path}.lock`, since, since);
    const [first, second] = await Promise.all([cli.run(["whoami"]), cli.run(["whoami"])]);
    expect([first.code, second.code]).toEqual([0, 0]);
    expect(refreshes()).toHaveLength(1);
    expect(Date.now() / 1_000).toBeGreaterThan(since + 30);
    expect(readdirSync(dirname(path))).toEqual(["config.json"]);
  });

  test("that is being renewed when Ctrl-C comes is stored first", async () => {
    path = writeProfile(cli, { host: server.url, access_expires_at: PAST });
    rotate(500);
    const running = cli.start(["whoami"]);
    while (refreshes().length === 0) await new Promise((done) => setTimeout(done, 20));
    running.child.kill("SIGINT");
    expect((await running.ended).code).toBe(130);
    expect(stored().refresh_token).toBe("refresh-2");
  });
});

describe("the token that is sent", () => {
  const given = { ASSAY_TOKEN: "from-assay", BENCHER_API_TOKEN: "from-bencher" };
  test.each([
    [["--token", "from-flag"], given, "from-flag"],
    [[], given, "from-assay"],
    [[], { BENCHER_API_TOKEN: "from-bencher" }, "from-bencher"],
    [[], { ASSAY_TOKEN: "", BENCHER_API_TOKEN: "from-bencher" }, "from-bencher"],
    [[], {}, "access-1"],
  ])("with %j and %j is %s", async (options, env, token) => {
    path = writeProfile(cli, { host: server.url });
    expect((await cli.run(["whoami", ...options], env)).code).toBe(0);
    expect(bearers()).toEqual([`Bearer ${token}`]);
  });

  test("of a profile goes to no other server", async () => {
    path = writeProfile(cli, { host: "https://elsewhere.example" });
    for (const [options, code] of [
      [["--host", server.url], 77],
      [["--host", server.url, "--profile", "default"], 2],
    ] as const) {
      expect((await cli.run(["whoami", ...options])).code).toBe(code);
    }
    expect((await cli.run(["whoami"], { ASSAY_HOST: server.url })).code).toBe(77);
    expect(server.seen).toEqual([]);
  });

  test("is that of the profile that has the server, or that is named", async () => {
    const other = profile({ host: server.url, access_token: "access-other" });
    path = writeProfile(cli, { host: "https://elsewhere.example" }, { staging: other });
    expect((await cli.run(["whoami", "--host", server.url])).code).toBe(0);
    expect((await cli.run(["whoami", "--profile", "staging"])).code).toBe(0);
    expect(bearers()).toEqual(Array(2).fill("Bearer access-other"));
    const { code, stderr } = await cli.run(["whoami", "--profile", "none"]);
    expect(code).toBe(2);
    expect(stderr).toContain("profiles: default, staging");
  });

  test("given by hand is never renewed, and never asked a password for", async () => {
    path = writeProfile(cli, {
      host: server.url,
      access_expires_at: null,
      refresh_token: null,
      signed_in_at: null,
    });
    server.on("GET /v0/users/me", error(401, "CLIENT_TOKEN_INVALID", "Invalid or expired token"));
    expect((await cli.run(["whoami"])).code).toBe(77);
    expect(refreshes()).toEqual([]);
  });

  test.each(["a b", "a\nb", "ä"])("%j is none", async (token) => {
    const { code, stderr } = await cli.run(["whoami", "--host", server.url, "--token", token]);
    expect(code).toBe(2);
    expect(stderr).not.toContain(token);
  });
});

describe("login with a token", () => {
  test("checks it, and stores it for that server alone", async () => {
    path = writeProfile(cli, { host: "https://elsewhere.example" });
    const ended = await cli.run(
      ["login", "--host", server.url, "--token", "-", "--profile", "bot"],
      {},
      "the-token\n",
    );
    expect(ended.code, ended.stderr).toBe(0);
    const config = JSON.parse(readFileSync(path, "utf8"));
    expect(config.current).toBe("bot");
    expect(config.profiles.bot).toEqual({
      host: server.url,
      email: "ada@example.com",
      access_token: "the-token",
      access_expires_at: null,
      refresh_token: null,
      signed_in_at: null,
    });
    expect(Object.keys(config.profiles)).toEqual(["default", "bot"]);
  });

  test("stores none that is refused", async () => {
    path = writeProfile(cli, { host: server.url });
    server.on("GET /v0/users/me", error(401, "CLIENT_TOKEN_INVALID", "Invalid or expired token"));
    expect((await cli.run(["login", "--token", "wrong"])).code).toBe(77);
    expect(stored().access_token).toBe("access-1");
  });
});

test("logout ends the session at the server, and removes the profile though the server is gone", async () => {
  path = writeProfile(cli, { host: server.url });
  server.on("POST /token/revoke", json(200, {}));
  expect((await cli.run(["logout"])).code).toBe(0);
  expect(server.seen.map(({ path, body }) => [path, body])).toEqual([
    ["/token/revoke", "token=refresh-1"],
  ]);
  expect(JSON.parse(readFileSync(path, "utf8"))).toEqual({ current: null, profiles: {} });
  writeProfile(cli, { host: server.url });
  server.on("POST /token/revoke", error(500, "INTERNAL_ERROR", "Broken"));
  const { code, stderr } = await cli.run(["logout"]);
  expect(code).toBe(0);
  expect(stderr).toContain("the session did not end on the server");
  expect(JSON.parse(readFileSync(path, "utf8")).profiles).toEqual({});
});

test("after a logout the only profile that is left is used; of several, one is to be chosen", async () => {
  const other = (token: string) => profile({ host: server.url, access_token: token });
  server.on("POST /token/revoke", json(200, {}));
  path = writeProfile(cli, { host: server.url }, { staging: other("a-staging") });
  await cli.run(["logout", "--profile", "default"]);
  expect((await cli.run(["whoami"])).code).toBe(0);
  expect(bearers()).toEqual(["Bearer a-staging"]);
  writeProfile(cli, { host: server.url }, { staging: other("a"), other: other("b") });
  await cli.run(["logout", "--profile", "default"]);
  const { code, stderr } = await cli.run(["whoami"]);
  expect(code).toBe(2);
  expect(stderr).toContain("--profile, one of staging, other");
});

test.each(["{", "[]", '{"profiles": {"default": {"host": 5}}}', '{"current": 5, "profiles": {}}'])(
  "a configuration of %s is a fault of configuration",
  async (text) => {
    path = writeProfile(cli, {});
    writeFileSync(path, text);
    const { code, stderr } = await cli.run(["whoami"]);
    expect(code).toBe(2);
    expect(stderr).toContain(`${path} is not a configuration of assay`);
  },
);

test("a configuration that others can read is closed", async () => {
  path = writeProfile(cli, { host: server.url });
  chmodSync(path, 0o644);
  await cli.run(["whoami"]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("without a server anywhere, the program says how to name one", async () => {
  const { code, stderr } = await cli.run(["whoami"], { XDG_CONFIG_HOME: join(cli.folder, "none") });
  expect(code).toBe(2);
  expect(stderr).toContain("--host");
});
