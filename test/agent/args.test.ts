import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseCommand } from "../../agent/src/args.ts";
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

describe("command line", () => {
  test("takes host and token, and leaves the rest at its defaults", () => {
    expect(options(needed)).toEqual({
      host: "http://assay.test",
      token: "tok.en",
      machineUuid: null,
      clusterAddress: null,
      replayFile: null,
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
        "--json",
      ]),
    ).toEqual({
      host: "https://assay.test:8443/prefix",
      token: "tok",
      machineUuid: "550e8400-e29b-41d4-a716-446655440000",
      clusterAddress: { host: "fd00::1", port: 7000 },
      replayFile: "a.json",
      json: true,
    });
  });

  test.each([["-api-key", "k"], ["--api-key", "k"], ["-api-key=k"], ["--api-key=k"]])(
    "takes the token from %s",
    (...flag) => {
      expect(options(["--host", "http://assay.test", ...flag]).token).toBe("k");
    },
  );

  test("takes host and token from the environment, and prefers the flags", () => {
    const env = { ASSAY_HOST: "http://env.test", ASSAY_TOKEN: "env" };
    expect(options([], env)).toMatchObject({ host: "http://env.test", token: "env" });
    expect(options(needed, env)).toMatchObject({ host: "http://assay.test", token: "tok.en" });
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
