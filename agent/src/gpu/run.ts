/** One measurement from start to end: refusals, figures in their order, faults, and what is left when it breaks off. */
import { CudaError } from "./driver.ts";
import { type Lane, openLanes } from "./lanes.ts";
import { type Gathered, METRICS, measureStep, type RunWorld } from "./measure-step.ts";
import { planSteps, RUN_BUDGET_MS } from "./plan.ts";
import { busyReasons, type GpuState, refusalOf } from "./refusals.ts";
import { buildResults, isComplete, type RunRecord } from "./results.ts";

/** Progress is written at most this often. */
const PROGRESS_GAP_MS = 200;

/** Measures all GPUs and emits one `result` or `failure` as its last message. */
export function runMeasurement(world: RunWorld): void {
  const { driver, telemetry, emit } = world;
  const states = driver.gpus.map((description): GpuState => {
    const gpu = telemetry?.gpu(description.busId) ?? null;
    return {
      description,
      facts: gpu?.facts() ?? null,
      processes: gpu?.processes() ?? null,
      utilization: gpu?.utilization() ?? null,
      usedBytes: gpu?.usedBytes() ?? null,
    };
  });
  const refusal = refusalOf(states, world.busyOk);
  if (refusal !== null) {
    emit({ type: "failure", ...refusal });
    return;
  }
  const report = reporter(world);
  const began = world.now();
  report(0, "opening the GPUs");
  const lanes = openLanes(driver, telemetry, (index) => report(0, `opened GPU ${index}`));
  // Where the management library is missing, only the driver can tell that memory is in use.
  const opened = states.map((state, i) => ({
    ...state,
    usedBytes: state.usedBytes ?? usedBytes(lanes[i]),
  }));
  const busy = refusalOf(opened, world.busyOk);
  if (busy !== null) {
    emit({ type: "failure", ...busy });
    return;
  }
  measureAll(world, lanes, opened, began, report);
}

function usedBytes(lane: Lane | undefined): number | null {
  return lane === undefined ? null : lane.gpu.description.memoryBytes - lane.gpu.freeMemory();
}

function measureAll(
  world: RunWorld,
  lanes: readonly Lane[],
  states: readonly GpuState[],
  began: number,
  report: (progress: number, message: string) => void,
): void {
  const { emit, now } = world;
  const gathered: Gathered = {
    engine: null,
    figures: [],
    pairs: [],
    endToStart: null,
    checks: { gemmRepeatable: null, gemmError: null },
    faults: [],
  };
  const record = (): RunRecord => ({
    ...gathered,
    ffi: world.ffi,
    driverVersion: world.telemetry?.driverVersion ?? null,
    cuda: world.driver.version,
    gpus: lanes.map(({ gpu, samples }, i) => ({
      description: gpu.description,
      facts: states[i]?.facts ?? null,
      processes: states[i]?.processes ?? null,
      samples,
    })),
    busy: busyReasons(states).length > 0,
  });
  let done = 0;
  let end: CudaError | null = null;
  for (const step of planSteps(lanes.length)) {
    const metric = METRICS[step.figure];
    report(done, metric);
    if (now() - began > RUN_BUDGET_MS) {
      const message = `not measured: the run took more than ${RUN_BUDGET_MS / 1_000} s before`;
      gathered.faults.push({ metric, gpu: null, code: "not_measured", message });
      continue;
    }
    const before = done;
    const onBatch = (share: number) => report(before + share * step.share, metric);
    end = attempt(gathered, metric, () => measureStep(world, lanes, step, gathered, onBatch));
    if (end !== null) break;
    done += step.share;
    emit({ type: "partial", results: buildResults(record(), true, world.timestamp()) });
  }
  const whole = record();
  if (end === null && isComplete(whole)) {
    emit({ type: "result", results: buildResults(whole, false, world.timestamp()) });
    return;
  }
  emit({ type: "partial", results: buildResults(whole, true, world.timestamp()) });
  emit({
    type: "failure",
    code: end === null ? "incomplete" : "gpu_failed",
    message: failuresOf(gathered, end !== null),
    hint:
      end?.code === 214
        ? "the memory of a GPU has an error that cannot be corrected: see nvidia-smi -q -d ECC,ROW_REMAPPER"
        : null,
  });
}

/** What it was that ended the run, or kept a figure from being made. */
function failuresOf({ faults, figures }: Gathered, isLost: boolean): string {
  const isMade = (name: string): boolean => figures.some(({ metric }) => metric === name);
  const told = isLost ? faults.slice(-1) : faults.filter(({ metric }) => !isMade(metric));
  return told.map(({ metric, message }) => `${metric}: ${message}`).join("; ");
}

/** What a figure costs when it fails is that figure, unless the driver says that the GPU's context is lost. */
function attempt(gathered: Gathered, metric: string, measure: () => void): CudaError | null {
  try {
    measure();
    return null;
  } catch (error) {
    const isCuda = error instanceof CudaError;
    gathered.faults.push({
      metric,
      gpu: null,
      code: isCuda
        ? error.isOutOfMemory
          ? "out_of_memory"
          : `cuda_${error.code}`
        : "not_measured",
      message: error instanceof Error ? error.message : String(error),
    });
    return isCuda && error.isFatal ? error : null;
  }
}

function reporter({ emit, now }: RunWorld): (progress: number, message: string) => void {
  let last = { at: Number.NEGATIVE_INFINITY, message: "" };
  return (progress, message) => {
    if (message === last.message && now() - last.at < PROGRESS_GAP_MS) return;
    last = { at: now(), message };
    emit({ type: "progress", progress, message });
  };
}
