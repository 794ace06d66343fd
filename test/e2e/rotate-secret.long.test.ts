/** Rotating the token secret signs nobody out, and drops no secret that a token still needs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import WebSocket from "ws";
import { readTokenSecrets, writeTokenSecrets } from "../../scripts/lib/secrets.ts";
import { rotated } from "../../scripts/lib/token-secrets.ts";
import { keyIdOf } from "../../src/identity/lifetimes.ts";
import { DAY_MS } from "../../src/lib/clock.ts";
import { runCommand } from "./processes.ts";
import { createStack } from "./stack.ts";

describe("which secrets stay", () => {
  const [one, two, three] = ["1".repeat(40), "2".repeat(40), "3".repeat(40)] as const;
  const now = 1_000 * DAY_MS;
  const nothing = { inUse: new Set<string>(), retiredAt: new Map<string, number>() };

  test("the one that signed until now, always", () => {
    expect(rotated([one], two, nothing, now)).toEqual([two, one]);
  });

  test("an older one for 30 days from its rotation: sessions live so long", () => {
    const since = (days: number) => new Map([[keyIdOf(one), now - days * DAY_MS]]);
    const after = (days: number) =>
      rotated([two, one], three, { ...nothing, retiredAt: since(days) }, now);
    expect(after(29)).toEqual([three, two, one]);
    expect(after(30)).toEqual([three, two]);
  });

  test("an older one that a live API token or job needs, for as long as it does", () => {
    const retiredAt = new Map([[keyIdOf(one), 0]]);
    const inUse = new Set([keyIdOf(one)]);
    expect(rotated([two, one], three, { retiredAt, inUse }, now)).toEqual([three, two, one]);
  });

  test("an older one of which nobody knows since when it is retired", () => {
    expect(rotated([two, one], three, nothing, now)).toEqual([three, two, one]);
  });
});

test("secrets that people made are read as the Worker reads them, and written as they are", () => {
  const folder = mkdtempSync(join(tmpdir(), "assay-secrets-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, ".dev.vars");
  const [one, two] = [`$$1$&${"x".repeat(40)}`, "y".repeat(40)] as const;
  writeFileSync(file, `A="1"\nTOKEN_SECRET="${one}, ${two}"\nB="2"\n`);
  expect(readTokenSecrets(file)).toEqual([one, two]);
  writeTokenSecrets(file, [two, one]);
  expect(readFileSync(file, "utf8")).toBe(`A="1"\nTOKEN_SECRET="${two},${one}"\nB="2"\n`);
});

/** Opens the channel of a job; answers the status of a refusal, or the socket. */
function openChannel(url: string, token: string): Promise<number | WebSocket> {
  const address = new URL("/api/silicon-mark/v1/jobs/current/channel", url);
  address.protocol = "ws:";
  const socket = new WebSocket(address, { headers: { authorization: `Bearer ${token}` } });
  return new Promise((resolve, reject) => {
    socket.on("open", () => resolve(socket));
    socket.on("unexpected-response", (_request, { statusCode = 0 }) => resolve(statusCode));
    socket.on("error", reject);
  });
}

/** The channel of a job that lets its token in; a refusal fails. */
async function openedChannel(url: string, token: string) {
  const opened = await openChannel(url, token);
  if (typeof opened === "number") throw new Error(`the channel is refused with ${opened}`);
  return { closed: new Promise<void>((resolve) => opened.on("close", () => resolve())) };
}

test("rotated twice, with restarts: whoever was signed in still is, and sockets of nodes come back", async () => {
  const stack = await createStack();
  let server = await stack.start();
  const { secretsFile, state } = stack.options;
  const vars = readFileSync(secretsFile, "utf8");
  const password = /^ADMIN_PASSWORD="(.*)"$/m.exec(vars)?.[1] ?? "";
  const signIn = await fetch(new URL("/token", server.url), {
    method: "POST",
    body: new URLSearchParams({ grant_type: "password", username: "admin@example.com", password }),
  });
  const reply: unknown = await signIn.json();
  const { access_token, refresh_token } = reply as Record<string, string>; // the API document says so
  const asOwner = { authorization: `Bearer ${access_token}`, "content-type": "application/json" };
  const created = await fetch(new URL("/api/silicon-mark/v1/jobs", server.url), {
    method: "POST",
    headers: asOwner,
    body: JSON.stringify({ benchmarks: ["quick_mark"] }),
  });
  const { token } = (await created.json()) as { token: string }; // the API document says so
  let channel = await openedChannel(server.url, token);
  const [original] = readTokenSecrets(secretsFile);
  for (let time = 0; time < 2; time++) {
    await server.stop();
    await channel.closed;
    const rotation = runCommand(
      ["npm", "run", "--silent", "rotate-secret", "--", "--local", "--secrets-file", secretsFile],
      { ASSAY_STATE: state },
    );
    expect(await rotation.exitCode, rotation.output()).toBe(0);
    expect(rotation.output()).toContain("Signs from now on: ");
    expect(rotation.output()).not.toContain(original);
    server = await stack.start();
    const jobs = await fetch(new URL("/api/silicon-mark/v1/jobs", server.url), {
      headers: { authorization: `Bearer ${access_token}` },
    });
    expect(jobs.status).toBe(200);
    channel = await openedChannel(server.url, token);
  }
  const secrets = readTokenSecrets(secretsFile);
  expect(secrets).toHaveLength(3);
  expect(secrets[2]).toBe(original);
  const refreshed = await fetch(new URL("/token", server.url), {
    method: "POST",
    body: new URLSearchParams({ grant_type: "refresh_token", refresh_token: `${refresh_token}` }),
  });
  expect(refreshed.status).toBe(200);

  // Without the secret that signed it, a job's token is worth nothing: its socket ends with the server that knew it.
  await server.stop();
  await channel.closed;
  writeTokenSecrets(secretsFile, secrets.slice(0, 1));
  server = await stack.start();
  expect(await openChannel(server.url, token)).toBe(401);
});
