/** How far a machine's clock is from the server's: what counts, and what is sent. */
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createServerTime } from "../../agent/src/server-time.ts";
import { type FakeServer, startFakeServer } from "./fake-server.ts";
import { startAgent, type TestClock } from "./helpers.ts";

const HOUR_MS = 3_600_000;

describe("the server's time", () => {
  /** A reply that took so long, half of it each way, from a server whose clock is 10 s ahead of `elapsed`. */
  const reply = (sentAt: number, roundTripMs: number, offMs = 0) => ({
    sentAt,
    receivedAt: sentAt + roundTripMs,
    // `Date` lacks half a second on average.
    date: sentAt + roundTripMs / 2 + 10_000 - 500 + offMs,
  });

  test("is nothing before the first reply with a date", () => {
    const time = createServerTime();
    time.learn({ sentAt: 0, receivedAt: 10, date: null });
    expect(time.at(5)).toBeNull();
  });

  test("counts from the middle of the round trip", () => {
    const time = createServerTime();
    time.learn(reply(1_000, 1_600));
    expect(time.at(5_000)).toBe(15_000);
  });

  test("a round trip of more than 2 s says nothing", () => {
    const time = createServerTime();
    time.learn(reply(0, 2_001));
    expect(time.at(0)).toBeNull();
    time.learn(reply(0, 2_000));
    expect(time.at(0)).toBe(10_000);
  });

  test("is the median of the last five replies", () => {
    const time = createServerTime();
    for (const offMs of [-90_000, 0, 200, 100, 90_000]) time.learn(reply(0, 100, offMs));
    expect(time.at(0)).toBe(10_100);
    for (const offMs of [300, 400]) time.learn(reply(0, 100, offMs));
    // Of 200, 100, 90,000, 300 and 400.
    expect(time.at(0)).toBe(10_300);
    const two = createServerTime();
    for (const offMs of [0, 100]) two.learn(reply(0, 100, offMs));
    expect(two.at(0)).toBe(10_050);
  });
});

describe("an agent whose clock is off", () => {
  let server: FakeServer;
  beforeEach(async () => {
    server = await startFakeServer();
  });
  afterEach(() => server.close());

  /** A clock that a person sets, beside the server's. Nothing is waited for. */
  function setClock(offMs: number): TestClock & { off: number } {
    return {
      off: offMs,
      slept: [],
      now() {
        return Date.now() + this.off;
      },
      elapsed: () => performance.now(),
      sleep(ms, signal) {
        this.slept.push(ms);
        return delay(1, undefined, { signal });
      },
      random: () => 0.5,
    };
  }

  const sentSkews = () =>
    [...server.of("PATCH"), ...server.of("PUT")].flatMap(({ body }) =>
      typeof body.clock_skew_ms === "number" ? [body.clock_skew_ms] : [],
    );

  test.each([
    ["26 hours ahead", 26 * HOUR_MS],
    ["an hour behind", -HOUR_MS],
    ["in 1970", -Date.now()],
  ])("%s: heartbeats and results say by how much", async (_name, offMs) => {
    const clock = setClock(offMs);
    const agent = startAgent(server.url, { clock });
    expect(await agent.end).toMatchObject({ kind: "stopped" });
    const skews = sentSkews();
    expect(skews.length).toBeGreaterThan(0);
    for (const skew of skews) expect(Math.abs(skew - offMs)).toBeLessThan(5_000);
    expect(agent.logs.filter((line) => /this machine's clock is/.test(line))).toHaveLength(1);
  });

  test("right within seconds: the log says nothing", async () => {
    const agent = startAgent(server.url, { clock: setClock(0) });
    await agent.end;
    const [first = 0] = sentSkews();
    expect(Math.abs(first)).toBeLessThan(5_000);
  });

  test("the dates of gateways count for nothing", async () => {
    let strangers = 0;
    server.intercept = () => {
      if (++strangers % 2 === 0) return undefined;
      const headers = { date: "Thu, 01 Jan 1970 00:00:00 GMT", "assay-nonce": "x".repeat(22) };
      return { status: 200, body: {}, headers };
    };
    const agent = startAgent(server.url);
    expect(await agent.end).toMatchObject({ kind: "stopped" });
    expect(strangers).toBeGreaterThan(3);
    for (const skew of sentSkews()) expect(Math.abs(skew)).toBeLessThan(HOUR_MS);
  });

  test.each([26 * HOUR_MS, -26 * HOUR_MS])(
    "by %i ms: a Retry-After date is the server's",
    async (offMs) => {
      let asked = 0;
      server.intercept = () => {
        const at = new Date(Date.now() + 20_000).toUTCString();
        return ++asked === 1 ? server.error(503, "UNAVAILABLE", { "retry-after": at }) : undefined;
      };
      const clock = setClock(offMs);
      await startAgent(server.url, { clock }).end;
      const [first = 0] = clock.slept;
      expect(first).toBeGreaterThan(15_000);
      expect(first).toBeLessThan(25_000);
    },
  );

  test.each([
    ["valid for an hour more, by a clock that is a day ahead", 1, 26, /has ended or was deleted/],
    ["expired an hour ago, by a clock that is a day behind", -1, -26, /the token is valid until/],
  ])("a token %s", async (_name, validForHours, offHours, reason) => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const exp = Math.round(Date.now() / 1000) + validForHours * 3_600;
    const token = `${part({ typ: "job+jwt" })}.${part({ exp })}.x`;
    const agent = startAgent(server.url, { clock: setClock(offHours * HOUR_MS), token });
    expect((await agent.end).message).toMatch(reason);
  });

  test("set while a step runs: the step's length stays right", async () => {
    const clock = setClock(0);
    const agent = startAgent(server.url, {
      clock,
      runStep: async () => {
        clock.off = -HOUR_MS;
        return { state: "completed", results: {} };
      },
    });
    await agent.end;
    const [put] = server.of("PUT");
    const times = [put?.body.started_at, put?.body.ended_at].map((at) => Date.parse(String(at)));
    const took = (times[1] ?? 0) - (times[0] ?? 0);
    expect(took).toBeGreaterThanOrEqual(0);
    expect(took).toBeLessThan(HOUR_MS / 2);
  });
});
