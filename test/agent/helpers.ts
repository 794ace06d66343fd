import { type AddressInfo, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { createApiClient } from "../../agent/src/api-client.ts";
import type { Clock } from "../../agent/src/clock.ts";
import { type Bounds, defaultBounds } from "../../agent/src/cluster-network/bounds.ts";
import type { Replay } from "../../agent/src/replay.ts";
import { type Agent, runAgent } from "../../agent/src/run-loop.ts";
import type { AgentEnd } from "../../agent/src/session.ts";
import type { RunStep } from "../../agent/src/step-context.ts";
import { createStepRunner } from "../../agent/src/steps.ts";
import { JOB_TOKEN } from "./fake-server.ts";

export interface TestClock extends Clock {
  /** Every sleep asked for, in milliseconds. */
  slept: number[];
}

/** A clock on which `speed` seconds pass in one; chance always lands in the middle. */
export function fastClock(speed: number): TestClock {
  const origin = Date.now();
  const startedAt = performance.now();
  const slept: number[] = [];
  return {
    slept,
    now: () => origin + (performance.now() - startedAt) * speed,
    sleep: (ms, signal) => {
      slept.push(ms);
      return delay(ms / speed, undefined, { signal });
    },
    random: () => 0.5,
  };
}

/** A clock that moves only by what is slept: independent of how fast the machine is. */
export function steppingClock(): TestClock {
  let now = Date.now();
  const slept: number[] = [];
  return {
    slept,
    now: () => now,
    sleep: async (ms, signal) => {
      slept.push(ms);
      now += ms;
      await delay(0, undefined, { signal });
    },
    random: () => 0.5,
  };
}

export const sampleReplay: Replay = {
  gpuModel: "NVIDIA H100 80GB HBM3",
  gpuCount: 8,
  durationSeconds: 600,
  inventory: { gpu: { count: 8 } },
  results: { aggregate_results: { bf16_tflops: 5671.2, memory_bandwidth_gbs: 23776 } },
};

/** Short bounds, for tests in which something is dead: waiting for it costs a second or two. */
export const shortBounds: Bounds = {
  ...defaultBounds,
  connectMs: 500,
  attemptMs: 500,
  redialMs: 20,
  handshakeMs: 1_000,
  keepaliveMs: 50,
  silenceMs: 2_000,
  pingMs: 1_500,
  stallMs: 1_500,
};

export interface InProcessAgent {
  end: Promise<AgentEnd>;
  clock: TestClock;
  logs: string[];
  abort: () => void;
}

/** An agent in this process, on a stepping clock unless told otherwise. */
export function startAgent(
  url: string,
  overrides: Partial<Agent["node"]> & {
    replay?: Replay | null;
    runStep?: RunStep;
    timeoutMs?: number;
    token?: string;
    bounds?: Bounds;
    clock?: TestClock;
  } = {},
): InProcessAgent {
  const {
    replay = sampleReplay,
    runStep,
    timeoutMs = 5_000,
    token = JOB_TOKEN,
    ...rest
  } = overrides;
  const { bounds = shortBounds, clock = steppingClock(), ...node } = rest;
  const logs: string[] = [];
  const log = (line: string): void => void logs.push(line);
  const interrupt = new AbortController();
  const clusterAddress = node.clusterAddress ?? { host: "127.0.0.1", port: 7117 };
  const end = runAgent({
    client: createApiClient({ host: url, token, clock, log, timeoutMs }),
    node: {
      machineUuid: "550e8400-e29b-41d4-a716-446655440000",
      machineIp: "192.0.2.1",
      facts: { gpuModel: "NVIDIA H100 80GB HBM3", gpuCount: 8, inventory: { gpu: { count: 8 } } },
      ...node,
      clusterAddress,
    },
    runStep: runStep ?? createStepRunner({ replay, clusterAddress, clock, log, bounds }),
    clock,
    log,
    signal: interrupt.signal,
  });
  return { end, clock, logs, abort: () => interrupt.abort() };
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) =>
        new Promise<number>((resolve) => {
          // `as`: a TCP server that listens has an AddressInfo.
          server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
        }),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** Waits until something is so; fails loudly instead of hanging. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await delay(5);
  }
}
