import { type AddressInfo, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { createApiClient } from "../../agent/src/api-client.ts";
import { type ChannelBounds, channelBounds } from "../../agent/src/channel/bounds.ts";
import type { TransportChoice } from "../../agent/src/channel/channel.ts";
import type { Clock } from "../../agent/src/clock.ts";
import { type Bounds, defaultBounds } from "../../agent/src/cluster-network/bounds.ts";
import { type PeerRules, systemLookup } from "../../agent/src/cluster-network/peer-address.ts";
import type { ProbeOptions } from "../../agent/src/gpu/messages.ts";
import type { HostPort } from "../../agent/src/host-port.ts";
import { createTransport, type Transport } from "../../agent/src/http/transport.ts";
import { openJobState } from "../../agent/src/job-state.ts";
import type { MachineFacts } from "../../agent/src/machine.ts";
import type { Replay } from "../../agent/src/replay.ts";
import { type Agent, runAgent } from "../../agent/src/run-loop.ts";
import { serveRunner } from "../../agent/src/runner-loop.ts";
import type { AgentEnd } from "../../agent/src/session.ts";
import type { RunStep } from "../../agent/src/step-context.ts";
import { createStepRunner } from "../../agent/src/steps.ts";
import { patient } from "../patience.ts";
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
    elapsed: () => performance.now() * speed,
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
    elapsed: () => now,
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
  connectMs: patient(450),
  headStartMs: patient(150),
  attemptMs: patient(150),
  redialMs: 20,
  handshakeMs: patient(500),
  keepaliveMs: 50,
  silenceMs: patient(2_000),
  pingMs: patient(1_500),
  stallMs: patient(1_500),
};

/** Short bounds of the channel, for tests in which something is dead or comes back. */
export const shortChannel: ChannelBounds = {
  ...channelBounds,
  openingMs: patient(500),
  helloMs: patient(500),
  pingMs: [20, 30],
  pongMs: patient(500),
  spreadMs: 40,
  pauseMs: 600_000,
  progressMs: 20,
};

let usual: TransportChoice = "poll";

/** Agents of this file's tests hear of changes so, unless told otherwise. */
export function useTransport(transport: TransportChoice): void {
  usual = transport;
}

export function transportInUse(): TransportChoice {
  return usual;
}

/** The rules of an agent that announces an address and narrows nothing. */
export function rulesOf(announced: HostPort): PeerRules {
  return { announced: [announced], networks: null, lookup: systemLookup };
}

function locatedAt(address: HostPort): Agent["node"]["locate"] {
  return async () => ({ machineIp: "192.0.2.1", clusterAddresses: [address] });
}

export interface InProcessAgent {
  end: Promise<AgentEnd>;
  clock: TestClock;
  logs: string[];
  abort: () => void;
}

export const probeDefaults: ProbeOptions = { engine: null, cublas: null, busyOk: false };

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
    giveUpAfterMs?: number;
    clusterAddress?: HostPort;
    /** Folder of what it keeps; it keeps nothing and has no secret without one. */
    stateFolder?: string;
    transport?: TransportChoice;
    channelBounds?: ChannelBounds;
    /** Its own transport to the server, as through a proxy. */
    way?: Transport;
  } = {},
): InProcessAgent {
  const {
    replay = sampleReplay,
    runStep,
    timeoutMs = patient(5_000),
    token = JOB_TOKEN,
    ...rest
  } = overrides;
  const {
    bounds = shortBounds,
    clock = steppingClock(),
    stateFolder,
    giveUpAfterMs,
    clusterAddress = { host: "127.0.0.1", port: 7117 },
    transport = usual,
    channelBounds = shortChannel,
    way,
    ...node
  } = rest;
  const logs: string[] = [];
  const log = (line: string): void => void logs.push(line);
  const interrupt = new AbortController();
  const of = [url, token, node.machineUuid ?? ""];
  const state =
    stateFolder === undefined
      ? undefined
      : openJobState({ folder: stateFolder, of, log, now: clock.now });
  const end = runAgent({
    client: createApiClient({
      host: url,
      token,
      clock,
      log,
      timeoutMs,
      ...(way === undefined ? {} : { transport: way }),
    }),
    node: {
      machineUuid: "550e8400-e29b-41d4-a716-446655440000",
      locate: locatedAt(clusterAddress),
      bootId: null,
      facts: {
        gpuModel: "NVIDIA H100 80GB HBM3",
        gpuCount: 8,
        gpuModels: [],
        inventory: { gpu: { count: 8 } },
      },
      ...node,
    },
    runStep:
      runStep ??
      createStepRunner({
        // Without a recording it measures, by a process that says nothing and fails.
        measuring:
          replay === null
            ? { kind: "gpus", command: ["false"], options: probeDefaults }
            : { kind: "replay", replay },
        host: noHost,
        peers: rulesOf(clusterAddress),
        clock,
        log,
        bounds,
      }),
    clock,
    log,
    signal: interrupt.signal,
    giveUpAfterMs,
    state,
    transport,
    channelBounds,
  });
  return { end, clock, logs, abort: () => interrupt.abort() };
}

/** A host that is measured by a process that says nothing and fails. */
export const noHost = { command: ["false"], diskPath: "." };

export const RUNNER_KEY = `assay_runner_${"k".repeat(30)}`;

/** A runner in this process, on a stepping clock unless told otherwise. */
export function startRunner(
  host: string,
  {
    runStep,
    clock = steppingClock(),
    drainMs = 60_000,
    readFacts,
    transport: choice = usual,
    way: transport = createTransport(new URL(host)),
  }: {
    runStep?: RunStep;
    clock?: TestClock;
    drainMs?: number;
    readFacts?: (drain: AbortSignal) => Promise<MachineFacts>;
    transport?: TransportChoice;
    way?: Transport;
  } = {},
) {
  const logs: string[] = [];
  const ends: AgentEnd[] = [];
  const log = (line: string): void => void logs.push(line);
  const stop = new AbortController();
  const { signal } = new AbortController();
  const clusterAddress = { host: "127.0.0.1", port: 7117 };
  const common = { host, clock, log, transport, timeoutMs: patient(5_000) };
  const peers = rulesOf(clusterAddress);
  const done = serveRunner({
    client: createApiClient({ ...common, token: RUNNER_KEY, basePath: "/v0/runners/rack-7" }),
    clientOfJob: (token) => createApiClient({ ...common, token }),
    node: {
      bootId: null,
      locate: locatedAt(clusterAddress),
      facts: {
        gpuModel: "NVIDIA H100 NVL",
        gpuCount: 1,
        gpuModels: [],
        inventory: { gpu: { count: 1 } },
      },
    },
    runStep:
      runStep ??
      createStepRunner({
        measuring: { kind: "replay", replay: sampleReplay },
        host: noHost,
        peers,
        clock,
        log,
        bounds: shortBounds,
      }),
    drain: { signal: stop.signal, drainMs },
    readFacts,
    onEnd: (end) => ends.push(end),
    transport: choice,
    channelBounds: shortChannel,
    clock,
    log,
    signal,
  });
  return { logs, ends, done, clock, leave: () => stop.abort() };
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
  const deadline = performance.now() + patient(60_000);
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`never happened: ${what}`);
    await delay(5);
  }
}
