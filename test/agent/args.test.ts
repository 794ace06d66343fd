import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseCommand } from "../../agent/src/args.ts";
import { HELP } from "../../agent/src/help.ts";
import { formatHostPort, isLoopback, parseHostPort } from "../../agent/src/host-port.ts";
import { AGENT_VERSION } from "../../agent/src/version.ts";

const needed = ["--host", "http://assay.test", "--token", "tok.en"];

function options(argv: string[], env: Record<string, string> = {}) {
  const command = parseCommand(argv, env);
  if (command.kind !== "run") throw new Error(JSON.stringify(command));
  return command.options;
}

function usageError(argv: string[], env: Record<string, string> = {}): string {
  const command = parseCommand(argv, env);
  if (command.kind !== "usage-error") throw new Error(JSON.stringify(command));
  return command.message;
}

test("the documentation shows the help as it is", () => {
  const page = readFileSync(new URL("../../docs/agent.md", import.meta.url), "utf8");
  expect(page).toContain(`\`\`\`text\n${HELP}\`\`\``);
});

describe("command line", () => {
  test("takes host and token, and leaves the rest at its defaults", () => {
    expect(options(needed)).toEqual({
      host: "http://assay.test",
      credential: { kind: "job", token: "tok.en" },
      machineUuid: null,
      clusterAddress: null,
      clusterPeers: null,
      replayFile: null,
      probe: { engine: null, cublas: null, busyOk: false },
      fetchCublas: false,
      diskPath: process.cwd(),
      caFile: null,
      giveUpAfterMs: null,
      transport: "auto",
      json: false,
    });
  });

  test("takes every option, with = as well as a space", () => {
    expect(
      options([
        "--host=https://assay.test:8443/prefix/",
        "--token=tok",
        "--machine-uuid=550E8400-E29B-41D4-A716-446655440000",
        "--cluster-address",
        "[fd00::1]:7000",
        "--replay",
        "a.json",
        "--engine=cublaslt",
        "--cublas=/opt/cublas",
        "--busy-ok",
        "--disk-path=/scratch",
        "--ca=roots.pem",
        "--give-up-after",
        "90m",
        "--transport=poll",
        "--json",
      ]),
    ).toEqual({
      host: "https://assay.test:8443/prefix",
      credential: { kind: "job", token: "tok" },
      machineUuid: "550e8400-e29b-41d4-a716-446655440000",
      clusterAddress: { host: "fd00::1", port: 7000 },
      clusterPeers: null,
      replayFile: "a.json",
      probe: { engine: "cublaslt", cublas: "/opt/cublas", busyOk: true },
      fetchCublas: false,
      diskPath: "/scratch",
      caFile: "roots.pem",
      giveUpAfterMs: 5_400_000,
      transport: "poll",
      json: true,
    });
  });

  test("--probe-only needs no server", () => {
    expect(parseCommand(["--probe-only", "--json", "--engine", "ptx"], {})).toEqual({
      kind: "probe-only",
      probe: { engine: "ptx", cublas: null, busyOk: false },
      fetchCublas: false,
      caFile: null,
      json: true,
    });
  });

  test("refuses a transport that is none", () => {
    expect(options([...needed, "--transport", "channel"]).transport).toBe("channel");
    expect(usageError([...needed, "--transport", "push"])).toMatch(/auto, channel or poll/);
  });

  test("refuses an engine that is none, and a folder that no engine would read", () => {
    expect(usageError([...needed, "--engine", "cuda"])).toMatch(/must be cublaslt, ptx or torch/);
    expect(usageError([...needed, "--cublas", ""])).toMatch(/name of a folder/);
    expect(usageError([...needed, "--engine", "ptx", "--cublas", "/opt"])).toMatch(/leave one/);
    expect(usageError([...needed, "--engine", "torch", "--fetch-cublas"])).toMatch(/leave one/);
    expect(usageError([...needed, "--cublas", "/opt", "--fetch-cublas"])).toMatch(/only one/);
  });

  test.each([["-api-key", "k"], ["--api-key", "k"], ["-api-key=k"], ["--api-key=k"]])(
    "takes the token from %s",
    (...flag) => {
      expect(options(["--host", "http://assay.test", ...flag]).credential).toEqual({
        kind: "job",
        token: "k",
      });
    },
  );

  test("takes host and token from the environment, and prefers the flags", () => {
    const env = { ASSAY_HOST: "http://env.test", ASSAY_TOKEN: "env" };
    expect(options([], env)).toMatchObject({
      host: "http://env.test",
      credential: { kind: "job", token: "env" },
    });
    expect(options(needed, env)).toMatchObject({
      host: "http://assay.test",
      credential: { kind: "job", token: "tok.en" },
    });
  });

  test("a runner by flags or by the environment; flags count first", () => {
    const key = `bencher_runner_${"k".repeat(30)}`;
    const other = `assay_runner_${"o".repeat(30)}`;
    const host = ["--host", "http://assay.test"];
    const byFlags = [...host, "--runner", "rack-7", "--key", key];
    const credential = { kind: "runner", runner: "rack-7", key };
    expect(options(byFlags).credential).toEqual(credential);
    const env = { ASSAY_RUNNER: "rack-7", ASSAY_KEY: key };
    expect(options(host, env).credential).toEqual(credential);
    expect(options([...host, "--runner", "rack-8"], env).credential).toEqual({
      ...credential,
      runner: "rack-8",
    });
    expect(options([...host, "--key", other], env).credential).toEqual({
      ...credential,
      key: other,
    });
    expect(options(byFlags, { ASSAY_TOKEN: "tok" }).credential).toEqual(credential);
    expect(options([...host, "--token", "tok"], env).credential).toEqual({
      kind: "job",
      token: "tok",
    });
  });

  test.each([
    ["a token and a runner", ["--token", "t", "--runner", "r"], {}, /not both/],
    ["both in the environment", [], { ASSAY_TOKEN: "t", ASSAY_RUNNER: "r" }, /set one/],
    ["a runner without a key", ["--runner", "r"], {}, /--key or ASSAY_KEY/],
    ["a key without a runner", ["--key", "k"], {}, /--runner or ASSAY_RUNNER/],
    ["a path for a runner", ["--runner", "../x", "--key", "k"], {}, /UUID or a slug/],
    [
      "a key that is none",
      ["--runner", "r", "--key", "bencher_runner_x"],
      {},
      /not a runner's key/,
    ],
  ] as const)("%s is bad usage", (_name, flags, env, message) => {
    expect(parseCommand(["--host", "http://a.test", ...flags], env)).toEqual({
      kind: "usage-error",
      message: expect.stringMatching(message),
    });
  });

  test("a machine's UUID is not for a runner", () => {
    const machine = ["--machine-uuid", "550e8400-e29b-41d4-a716-446655440000"];
    const runner = ["--runner", "rack-7", "--key", `bencher_runner_${"k".repeat(30)}`];
    expect(parseCommand(["--host", "http://a.test", ...runner, ...machine], {})).toEqual({
      kind: "usage-error",
      message: expect.stringMatching(/has its own UUID/),
    });
  });

  test("help and version need nothing else", () => {
    expect(parseCommand(["--help"], {}).kind).toBe("help");
    expect(parseCommand(["--version"], {}).kind).toBe("version");
  });

  test.each([
    ["no host", ["--token", "t"], /--host or ASSAY_HOST/],
    ["no token", ["--host", "http://a.test"], /--token or ASSAY_TOKEN/],
    ["an empty token", ["--host", "http://a.test", "--token", " "], /--token or ASSAY_TOKEN/],
    ["a token with a space inside", ["--host", "http://a.test", "--token", "a b"], /token/],
    ["a host without scheme", ["--host", "localhost:8787", "--token", "t"], /http:\/\//],
    ["a host of another scheme", ["--host", "ftp://a.test", "--token", "t"], /http:\/\//],
    ["a host with credentials", ["--host", "http://u:p@a.test", "--token", "t"], /--host/],
    ["a host with a query", ["--host", "http://a.test/?x=1", "--token", "t"], /--host/],
    ["both names of the token", [...needed, "--api-key", "k"], /only one/],
    ["a short machine UUID", [...needed, "--machine-uuid", "550e8400"], /--machine-uuid/],
    ["a cluster address without port", [...needed, "--cluster-address", "10.0.0.1"], /host:port/],
    [
      "a cluster network that is none",
      [...needed, "--cluster-peers", "10.0.0.0/33"],
      /networks such/,
    ],
    ["an empty list of networks", [...needed, "--cluster-peers="], /networks such/],
    ["a file of certificates without a name", [...needed, "--ca="], /--ca/],
    ["a disk without a folder", [...needed, "--disk-path="], /--disk-path/],
    ["a duration without a unit", [...needed, "--give-up-after", "10"], /90s, 30m, 12h or 2d/],
    ["no duration at all", [...needed, "--give-up-after", "0s"], /90s, 30m, 12h or 2d/],
    ["an unknown flag", [...needed, "--frobnicate"], /frobnicate/],
    ["a flag without its value", ["--host", "http://a.test", "--token"], /token/],
    ["an empty replay file", [...needed, "--replay="], /--replay/],
  ])("refuses %s", (_, argv, message) => {
    expect(usageError(argv)).toMatch(message);
  });

  test.each([
    ["a token that lost its flag", ["--host", "http://a.test", "s3cret"]],
    ["a malformed token", ["--host", "http://a.test", "--token", "s3cret é"]],
    ["a misspelt flag", ["--host", "http://a.test", "--tokne=s3cret"]],
    ["a value for a switch", [...needed, "--json=s3cret"]],
  ])("never repeats %s", (_, argv) => {
    expect(usageError(argv)).not.toContain("s3cret");
  });
});

describe("a credential of another kind is told by its own shape", () => {
  const jwt = (typ: string) =>
    `${Buffer.from(JSON.stringify({ alg: "HS256", typ })).toString("base64url")}.e30.c2ln`;
  const host = ["--host", "http://a.test"];

  test.each([
    ["user+jwt", /an access token of a person/],
    ["refresh+jwt", /a refresh token/],
    ["api+jwt", /an API token/],
    ["password+jwt", /password link/],
    ["task+jwt", /a single task/],
  ])("%s", (typ, kind) => {
    const message = usageError([...host, "--token", jwt(typ)]);
    expect(message).toMatch(/not a job's token/);
    expect(message).toMatch(kind);
    expect(message).not.toContain(jwt(typ));
  });

  test("a runner's key as a token, a job's token as a key", () => {
    const key = `assay_runner_${"k".repeat(30)}`;
    expect(usageError([...host, "--token", key])).toMatch(/for --runner and --key/);
    const flags = ["--runner", "rack-7", "--key", jwt("job+jwt")];
    expect(usageError([...host, ...flags])).toMatch(/a job's token; give it with --token/);
  });

  test.each(["opaque", "a.b.c", jwt("job+jwt"), jwt("new+jwt"), "bnVsbA.e30.x", "W10.e30.x"])(
    "%s may be a job's token",
    (token) => {
      expect(options([...host, "--token", token]).credential).toEqual({ kind: "job", token });
    },
  );
});

describe("host and port", () => {
  test.each([
    ["10.0.0.1:1", { host: "10.0.0.1", port: 1 }],
    ["node-7.lan:65535", { host: "node-7.lan", port: 65535 }],
    ["[::1]:7117", { host: "::1", port: 7117 }],
  ])("%s is read and written the same", (text, parsed) => {
    expect(parseHostPort(text)).toEqual(parsed);
    expect(formatHostPort(parsed)).toBe(text);
  });

  test.each([
    "10.0.0.1",
    "10.0.0.1:0",
    "10.0.0.1:65536",
    "::1:7117",
    "[10.0.0.1]:1",
    ":7117",
    "a b:1",
  ])("%s is refused", (text) => {
    expect(parseHostPort(text)).toBeNull();
  });

  test("loopback is recognised, and only that", () => {
    expect(["127.0.0.1", "127.1.2.3", "localhost", "::1"].every(isLoopback)).toBe(true);
    expect(["10.0.0.1", "128.0.0.1", "::", "0.0.0.0"].some(isLoopback)).toBe(false);
  });
});

test("the version is the package's", () => {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  expect(AGENT_VERSION).toBe(JSON.parse(text).version);
});
