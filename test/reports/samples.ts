/** Repeatable sample report data of any size, for tests and the bench. */

import { judgeLinks } from "../../src/benchmarks/link-judgement.ts";
import { specFindings } from "../../src/benchmarks/spec-check.ts";
import type { PerformanceStatus } from "../../src/lib/enums.ts";
import type { Finding, JobVerdict, MetricVerdict, NodeVerdict } from "../../src/lib/stored-json.ts";
import { type Link, toLinkTable } from "../../src/reports/link-table.ts";
import type { ReportData, ReportNode } from "../../src/reports/report-data.ts";
import { linkFindings } from "../../src/scoreboard/link-findings.ts";

const START = Date.UTC(2026, 0, 15, 10, 30);
const MINUTE = 60_000;

interface Model {
  name: string;
  bf16: number;
  memory: number;
  sample: number;
}

export const H100: Model = {
  name: "NVIDIA H100 80GB HBM3",
  bf16: 708.9,
  memory: 2_972,
  sample: 17,
};
export const A100: Model = {
  name: "NVIDIA A100-SXM4-40GB",
  bf16: 255.5,
  memory: 1_371,
  sample: 12,
};

/** Repeatable noise for figures: the same seed gives the same numbers (mulberry32). */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface SampleOptions {
  nodes: number;
  gpus: number;
  model?: Model;
  /** Ranks that reach 60 % in BF16, with implausible power readings. */
  slow?: readonly number[];
  replayed?: boolean;
  network?: boolean;
  name?: string;
  customer?: string;
}

export function sampleReport(options: SampleOptions): ReportData {
  const {
    nodes: size,
    gpus,
    model = H100,
    slow = [],
    replayed = false,
    network = size > 1,
  } = options;
  const random = noise(7);
  const nodes = Array.from({ length: size }, (_, rank) =>
    node(rank, gpus, model, slow.includes(rank), replayed, random, network),
  );
  const measured = { state: "completed", errorMessage: null, config: null, clockSkewMs: null };
  return {
    subject: { kind: "job", id: "7554621440" },
    release: "0.1.0",
    origin: "https://assay.example",
    paper: "a4",
    job: {
      id: "7554621440",
      name: options.name ?? "Acceptance of the new racks",
      description: "Before the contract begins",
      customer: options.customer ?? "Example Labs",
      person: "Ada Example",
      provider: "Example Cloud",
      region: "eu-west-2",
      order: "PO-2026-0117",
      tags: ["production", "provider: aws"],
      state: "completed",
      nodeCount: size,
      currentNodes: size,
      createdAt: START,
      startedAt: START + 5 * MINUTE,
      endedAt: START + 75 * MINUTE,
      steps: [
        {
          key: "quick_mark",
          name: "QuickMark",
          isCluster: false,
          ...measured,
          startedAt: null,
          endedAt: null,
        },
        ...(network
          ? [
              {
                key: "cluster_network",
                name: "Cluster Network",
                isCluster: true,
                ...measured,
                startedAt: START + 50 * MINUTE,
                endedAt: START + 75 * MINUTE,
              },
            ]
          : []),
      ],
    },
    verdict: verdictOf(nodes, model),
    thresholds: {
      underperformingBelow: 0.9,
      outperformingAbove: 1.1,
      stragglerBelow: 0.95,
      dropBelow: 0.9,
      fleetMinMachines: 30,
    },
    nodes,
    networks: network ? [networkOf(size, random)] : [],
    events: [
      ...nodes.slice(0, 300).map(({ rank, joinedAt }) => ({
        at: joinedAt,
        kind: "joined",
        rank,
        message: `node ${rank} joined (${rank + 1} of ${size})`,
      })),
      {
        at: START + 74 * MINUTE,
        kind: "step_ended",
        rank: null,
        message: "quick_mark ended",
      },
      { at: START + 75 * MINUTE, kind: "settled", rank: null, message: "job completed" },
    ],
  };
}

function node(
  rank: number,
  gpus: number,
  model: Model,
  isSlow: boolean,
  isReplayed: boolean,
  random: () => number,
  network: boolean,
): ReportNode {
  const near = (value: number) => Math.round(value * (0.97 + random() * 0.06) * 100) / 100;
  const bf16 = model.bf16 * (isSlow ? 0.6 : 1);
  const perGpu = (watts: number) => ({
    bf16_tflops: near(bf16),
    fp16_tflops: near(bf16 * 0.95),
    fp32_tflops: near(bf16 * 0.5),
    fp32_cuda_core_tflops: near(bf16 * 0.07),
    mixed_precision_tflops: near(bf16 * 0.9),
    memory_bandwidth_gbs: near(model.memory),
    l2_bandwidth_gbs: near(709),
    kernel_launch_overhead_us: near(3),
    host_to_device_bandwidth_gbs: near(45),
    device_to_host_bandwidth_gbs: near(39),
    power_consumption_watts: watts,
    temperature_centigrade: Math.round(55 + random() * 15),
  });
  const each = Array.from({ length: gpus }, () => perGpu(isSlow ? 5.2 : near(540)));
  const all = Object.entries(perGpu(isSlow ? 41.7 / gpus : near(530)))
    .filter(([name]) => gpus === 1 || !/^(l2|kernel)/.test(name))
    .map(([name, value]): [string, number] => [
      name,
      name === "temperature_centigrade" ? value : Math.round(value * gpus * 10) / 10,
    ]);
  const aggregate: Record<string, number> = Object.fromEntries(all);
  if (gpus > 1) {
    const watts = aggregate.power_consumption_watts ?? 1;
    aggregate.allreduce_bandwidth_gbs = near(182);
    aggregate.bf16_tflops_per_peak_watt = Number(((aggregate.bf16_tflops ?? 0) / watts).toFixed(3));
    aggregate.fp16_tflops_per_peak_watt = Number(((aggregate.fp16_tflops ?? 0) / watts).toFixed(3));
  }
  const wrong = isSlow ? ["power_consumption_watts"] : [];
  const done = { state: "completed", errorMessage: null, clockSkewMs: null };
  const uuid = `550e8400-e29b-41d4-a716-${(rank + 1).toString(16).padStart(12, "0")}`;
  return {
    rank,
    taskId: String(7_554_621_441 + rank),
    machineUuid: uuid,
    machineIp: `10.0.${rank >> 8}.${rank & 255}`,
    gpuModel: model.name,
    gpus: `${gpus} × ${model.name}`,
    gpuCount: gpus,
    agentVersion: "0.1.0",
    machine: {
      hostName: `gpu-${String(rank).padStart(3, "0")}`,
      instanceId: `i-0f3a${(rank + 4_096).toString(16)}`,
      system: "Supermicro SYS-821GE-TNHR",
      board: "Supermicro X13DEG-OAD",
      bios: "2.1",
      processor: "AMD EPYC 7513 32-Core Processor",
      kernel: "Linux 6.8.0-45-generic",
      surroundings: "docker",
      driver: "570.195.03",
    },
    state: "completed",
    failedMessage: null,
    joinedAt: START + MINUTE + rank * 900,
    startedAt: START + MINUTE + rank * 900 + 50,
    endedAt: START + 75 * MINUTE,
    steps: [
      { key: "quick_mark", ...done, startedAt: START + 6 * MINUTE, endedAt: START + 12 * MINUTE },
      ...(network
        ? [
            {
              key: "cluster_network",
              ...done,
              startedAt: START + 50 * MINUTE,
              endedAt: START + 75 * MINUTE,
            },
          ]
        : []),
    ],
    inventory: [
      ["cpu.arch", "x86_64"],
      ["cpu.count", "64"],
      ["cpu.os", "ubuntu 22.04"],
      ["cpu.processor", "AMD EPYC 7513 32-Core Processor"],
      ["memory.total_gb", "1385"],
      ["gpu.driver_version", "570.195.03"],
      ["gpu.cuda_version", "12.8"],
      ["location", rank % 64 < 48 ? "US" : "DE"],
    ],
    omittedInventory: 0,
    quickMark: {
      isReplayed,
      measuredAt: "2026-01-15T10:42:00Z",
      measurement: measurementOf(rank, gpus, isSlow),
      aggregate,
      implausible: reasonsOf(
        isSlow
          ? ["power_consumption_watts", "bf16_tflops_per_peak_watt", "fp16_tflops_per_peak_watt"]
          : [],
      ),
      faults: (isSlow ? ["power_consumption_watts", ...wrong] : wrong).map((metric) => ({
        field: `aggregate_results.${metric}`,
        reason: "it cannot be true",
      })),
      gpus: each.map((figures, at) => ({
        id: `GPU-00000000-0000-4000-8000-${(rank * 64 + at).toString(16).padStart(12, "0")}`,
        figures,
        implausible: reasonsOf(wrong),
      })),
      pairs: pairsOf(gpus, random),
    },
    hosts: [],
    history: historyOf(
      rank,
      (aggregate.bf16_tflops ?? 0) / gpus,
      (aggregate.memory_bandwidth_gbs ?? 0) / gpus,
    ),
  };
}

const WEEK = 7 * 86_400_000;

/** Seven jobs, a week apart; every third machine fell in the fifth. */
function historyOf(rank: number, bf16: number, memory: number): ReportNode["history"] {
  const random = noise(rank + 100);
  const at = (index: number) => START - (6 - index) * WEEK;
  const points = (value: number, dips: boolean) =>
    Array.from({ length: 7 }, (_, index): [number, number] => {
      if (index === 6) return [at(index), value];
      const dip = dips && index === 4 ? 0.8 : 1;
      return [at(index), Math.round(value * dip * (0.98 + random() * 0.04) * 10) / 10];
    });
  return [
    { metric: "bf16_tflops", points: points(bf16, rank % 3 === 1) },
    { metric: "memory_bandwidth_gbs", points: points(memory, false) },
  ];
}

function measurementOf(rank: number, gpus: number, isSlow: boolean) {
  const random = noise(rank + 500);
  const quality = (metric: string, method: string, seconds: number) => ({
    metric,
    method,
    samples: 24 + Math.round(random() * 12),
    spread: Math.round(random() * 150) / 10_000,
    drift: Math.round((random() - 0.3) * 200) / 10_000,
    seconds,
    isSettled: !isSlow || metric !== "bf16_tflops",
  });
  return {
    engine: "cublaslt 12.8.4",
    driver: "570.195.03",
    isBusy: false,
    quality: [
      quality("bf16_tflops", "gemm.cublaslt.4096.nn.normal/1", 2.9),
      quality("memory_bandwidth_gbs", "copy.ptx.4gib/1", 2.4),
      quality("fp16_tflops", "gemm.cublaslt.4096.nn.normal/1", 2.1),
      quality("fp32_cuda_core_tflops", "fma.ptx/1", 1.8),
      quality("host_to_device_bandwidth_gbs", "h2d.pinned.128mib/1", 1.1),
      quality("device_to_host_bandwidth_gbs", "d2h.pinned.128mib/1", 1.1),
      quality("kernel_launch_overhead_us", "launch.events/1", 0.4),
    ],
    gpus: Array.from({ length: gpus }, (_, at) => ({
      uuid: `GPU-00000000-0000-4000-8000-${(rank * 64 + at).toString(16).padStart(12, "0")}`,
      serial: String(1_320_922_018_000 + rank * 64 + at),
      pciAddress: `00000000:${(0x0f + at * 0x10).toString(16).padStart(2, "0").toUpperCase()}:00.0`,
      smMhz: isSlow ? 1_095 : 1_410,
      maxSmMhz: 1_410,
      memoryMhz: 1_215,
      maxMemoryMhz: 1_215,
      throttle: isSlow ? ["sw_power_cap"] : [],
      powerLimitWatts: isSlow ? 300 : 400,
      defaultPowerLimitWatts: 400,
      eccErrors: 0,
      remappedRows: at === 3 ? 1 : 0,
      rowState: null,
      pcieGeneration: 4,
      pcieWidth: 16,
      watts: isSlow ? 296 : 388,
      celsius: 62,
    })),
  };
}

function reasonsOf(metrics: readonly string[]): Record<string, string> {
  return Object.fromEntries(metrics.map((metric) => [metric, "it cannot be true"]));
}

function pairsOf(gpus: number, random: () => number) {
  const pairs = [];
  for (let from = 0; from < gpus; from++) {
    for (let to = from + 1; to < gpus; to++) {
      const duplex =
        Math.round((270 + random() * 8 - (from === 2 && to === 5 ? 90 : 0)) * 100) / 100;
      const names = { from: `gpu${from}`, to: `gpu${to}` };
      pairs.push({ ...names, type: "nvlink_v4_12x", duplex, simplex: duplex - 3 });
    }
  }
  return pairs;
}

function networkOf(size: number, random: () => number) {
  const links: Link[] = [];
  for (let source = 0; source < size; source++) {
    for (let target = 0; target < size; target++) {
      if (source === target) continue;
      // The sample has racks of 32 nodes, and node 5 has a bad cable.
      const far = source >> 5 !== target >> 5;
      const bad = source === 5 || target === 5;
      const gbps =
        Math.round((far ? 38 : 45) * (bad ? 0.4 : 1) * (0.95 + random() * 0.1) * 10) / 10;
      const latencyMs = Math.round((far ? 0.3 : 0.12) * (0.9 + random() * 0.2) * 1e3) / 1e3;
      links.push({ source, target, gbps, latencyMs, error: null });
    }
  }
  const good = links.map(({ gbps }) => gbps ?? 0);
  return {
    key: "cluster_network",
    state: "completed",
    nodeCount: size,
    averageGbps: good.reduce((sum, gbps) => sum + gbps, 0) / good.length,
    minimumGbps: Math.min(...good),
    averageLatencyMs: 0.2,
    linksTested: links.length,
    judgement: judgeLinks(
      links.map(({ source, target, gbps }) => ({ source, target, gbps: gbps ?? 0 })),
      new Map(),
    ),
    links: toLinkTable(links),
  };
}

function verdictOf(nodes: readonly ReportNode[], model: Model): JobVerdict {
  const verdicts = nodes.map((each): NodeVerdict => {
    const { rank, machineUuid, gpuModel, gpuCount, quickMark } = each;
    const metric = (name: string, baseline: number): MetricVerdict => {
      const value = (quickMark?.aggregate[name] ?? 0) / (gpuCount ?? 1);
      const ratio = value / baseline;
      const status: PerformanceStatus =
        ratio < 0.9 ? "underperforming" : ratio > 1.1 ? "outperforming" : "expected";
      const source = "shipped" as const;
      return {
        metric: name,
        gpuModel: null,
        value,
        baseline,
        ratio,
        sampleSize: model.sample,
        source,
        status,
        reason: null,
        ownFleetBaseline: null,
        fleetBaseline: null,
        shippedBaseline: baseline,
        methodClass: "quickmark",
        reference: null,
      };
    };
    const metrics = [
      metric("bf16_tflops", model.bf16),
      metric("memory_bandwidth_gbs", model.memory),
    ];
    const isUnder = metrics.some(({ status }) => status === "underperforming");
    return {
      rank,
      machineUuid,
      gpuModel,
      gpuCount,
      gpuModels: null,
      status: isUnder ? "underperforming" : "expected",
      metrics,
      stragglers: [],
      drops: [],
      ...NO_FINDINGS,
    };
  });
  const under = verdicts.filter(({ status }) => status === "underperforming");
  return {
    status: under.length > 0 ? "underperforming" : "expected",
    benchmarkId: "quick_mark",
    baselineVersion: 3,
    ratedNodes: verdicts.length,
    underperformingNodes: under.length,
    metrics: (under[0] ?? verdicts[0])?.metrics ?? [],
    nodes: verdicts,
    ...NO_FINDINGS,
  };
}

const NO_FINDINGS = { isReplayed: false, findings: [], moreFindings: 0 };

/** A job that no node completed: one node gave up, one was lost, two never joined. */
export function failedReport(): ReportData {
  const data = sampleReport({ nodes: 2, gpus: 8, network: false });
  return {
    ...data,
    job: {
      ...data.job,
      name: "Night run",
      state: "failed",
      nodeCount: 4,
      currentNodes: 2,
      startedAt: null,
    },
    verdict: null,
    nodes: data.nodes.map((each, at) => ({
      ...each,
      state: "failed",
      failedMessage:
        at === 0
          ? "CUDA error 802: system not yet initialized (the fabric manager is not running)"
          : "no contact for 150 s",
      steps: each.steps.map((step) => ({
        ...step,
        state: "failed",
        errorMessage: "CUDA error 802",
      })),
      quickMark: null,
      history: [],
    })),
  };
}

/** A job with something to look at of every kind: its network, health, copies one way, a drop. */
export function findingsReport(): ReportData {
  const data = sampleReport({ nodes: 4, gpus: 8, model: A100 });
  const links: Link[] = [];
  for (const source of [0, 1, 2, 3]) {
    for (const target of [0, 1, 2, 3].filter((rank) => rank !== source)) {
      const isSlow = source === 3 || target === 3;
      const gbps = isSlow
        ? 0.22 + target / 100
        : source === 0 && target === 1
          ? 0.9
          : 1.8 - source / 50;
      const latencyMs = isSlow ? 0.61 : 0.14;
      links.push({ source, target, gbps, latencyMs, error: null });
    }
  }
  const figures = links.map(({ source, target, gbps }) => ({ source, target, gbps: gbps ?? 0 }));
  const judgement = judgeLinks(
    figures,
    new Map([
      [0, 2.5],
      [1, 2.5],
      [2, 2.5],
      [3, 2.5],
    ]),
  );
  const [network] = data.networks;
  const summary = JSON.stringify({ judgement });
  const found: Finding[] = [
    ofHealth(1, 5, "uncorrected_ecc_errors", "GPU 5: 2 memory errors could not be corrected", 2, 0),
    ofHealth(
      2,
      0,
      "power_limit_watts",
      "GPU 0: its power limit is 300 W, below its default of 400 W",
      300,
      400,
    ),
    ...linkFindings([{ benchmark_id: "cluster_network", config: null }], [{ summary }]),
    {
      kind: "asymmetry",
      metric: "device_to_host_bandwidth_gbs",
      rank: 2,
      gpu: null,
      value: 59.92,
      expected: 166.4,
      ratio: 0.36,
      message: "device_to_host_bandwidth_gbs 59.92, 36 % of host_to_device_bandwidth_gbs (166.4)",
    },
  ];
  return {
    ...data,
    job: { ...data.job, name: "Links under suspicion" },
    verdict: data.verdict && { ...data.verdict, findings: found },
    networks:
      network === undefined
        ? []
        : [
            {
              ...network,
              links: toLinkTable(links),
              judgement,
              averageGbps: mean(figures.map(({ gbps }) => gbps)),
              minimumGbps: Math.min(...figures.map(({ gbps }) => gbps)),
              averageLatencyMs: mean(links.map(({ latencyMs }) => latencyMs)),
            },
          ],
    nodes: data.nodes.map((node) =>
      node.rank !== 2 || node.quickMark === null
        ? node
        : {
            ...node,
            quickMark: {
              ...node.quickMark,
              aggregate: {
                ...node.quickMark.aggregate,
                host_to_device_bandwidth_gbs: 166.4,
                device_to_host_bandwidth_gbs: 59.92,
              },
              gpus: node.quickMark.gpus.map((gpu) => ({
                ...gpu,
                figures: {
                  ...gpu.figures,
                  host_to_device_bandwidth_gbs: 20.8,
                  device_to_host_bandwidth_gbs: 7.49,
                },
              })),
            },
          },
    ),
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** A machine that has less than its spec promises. */
export function mismatchReport(): ReportData {
  const data = sampleReport({ nodes: 1, gpus: 8 });
  const differs = (field: string, found: number, promised: number, reason: string) => ({
    field,
    found: String(found),
    promised: String(promised),
    status: "differs" as const,
    reason,
  });
  const fields = [
    differs("cpu", 48, 64, "48 usable logical CPUs found, 64 promised"),
    differs("memory", 274_877_906_944, 549_755_813_888, "256 GiB found, 512 GiB promised"),
  ];
  const findings = specFindings({ status: "differs", fields }, 0);
  return {
    ...data,
    job: { ...data.job, name: "Half of what was ordered" },
    verdict: data.verdict && { ...data.verdict, findings },
  };
}

function ofHealth(
  rank: number,
  gpu: number,
  metric: string,
  message: string,
  value: number,
  expected: number,
): Finding {
  return { kind: "health", metric, rank, gpu, value, expected, ratio: null, message };
}
