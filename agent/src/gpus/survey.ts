import { clip } from "../log.ts";
import { ASK_BOUND_MS, askTool, type ToolOutput } from "./ask.ts";
import {
  COLUMNS,
  COLUMNS_WITH_MIG,
  type Gpu,
  memoryOfProfile,
  type Printed,
  type Row,
  readRows,
  readSlices,
} from "./rows.ts";

const MAX_REASON = 500;

/** What a machine says about its GPUs. Three outcomes, since "none" and "no answer" are different machines. */
export type GpuSurvey = Listed | { kind: "none"; notes: string[] } | Unanswered;

interface Listed {
  kind: "listed";
  /** Those that compute: without display adapters and lost ones. */
  gpus: Gpu[];
  /** GPUs that drive a screen and nothing else. */
  displays: Gpu[];
  /** See `Printed.lost`. */
  lost: string[];
  /** What nvidia-smi printed besides. */
  notes: string[];
}

interface Unanswered {
  kind: "could not be asked";
  /** For people. */
  why: string;
  lost: string[];
}

/** Cards beside the GPUs that compute; `DGX Display` is the one of a DGX Station. */
const DISPLAY = /\bdisplay\b/i;
/** Small cards, which count as display adapters only beside others. */
const SMALL = /\b(?:NVS \d+|GT 7[1-3]0|GT 1030|Quadro [KP][46][02]0|T400)\b/i;

/**
 * Asks nvidia-smi for the GPUs of this machine: at most `boundMs` in all, whatever it does.
 *
 * @throws when `signal` aborts, at once
 */
export async function surveyGpus(
  signal: AbortSignal,
  { command = "nvidia-smi", boundMs = ASK_BOUND_MS } = {},
): Promise<GpuSurvey> {
  const until = performance.now() + boundMs;
  const ask = (...args: string[]) =>
    askTool(command, args, { boundMs: Math.max(until - performance.now(), 1), signal });
  const query = (columns: string) => ask(`--query-gpu=${columns}`, "--format=csv,noheader,nounits");
  let output = await query(COLUMNS_WITH_MIG);
  if (/is not a valid field/i.test(output.stdout + output.stderr)) output = await query(COLUMNS);
  const printed = readRows(output.stdout, output.stderr);
  const survey = conclude(output, printed);
  if (survey.kind !== "listed" || !printed.rows.some(({ isMig }) => isMig)) return survey;
  const { stdout } = await ask("-L");
  return withSlices(survey, printed.rows, stdout);
}

function conclude({ end }: ToolOutput, { rows, lost, messages }: Printed): GpuSurvey {
  const failed = (why: string): Unanswered => {
    const seen = rows.length === 0 ? "" : ` (it had listed ${rows.length})`;
    const told = messages.length === 0 ? "" : `: ${messages.join("; ")}`;
    return {
      kind: "could not be asked",
      why: clip(`nvidia-smi ${why}${seen}${told}`, MAX_REASON),
      lost,
    };
  };
  // A list that was cut off is no list.
  if ("why" in end) return failed(end.why);
  if (rows.length > 0 || (end.code === 0 && lost.length > 0)) return listed(rows, lost, messages);
  if (lost.length === 0 && messages.some((line) => /no devices were found/i.test(line))) {
    return { kind: "none", notes: messages };
  }
  return failed(end.code === 0 ? "listed no GPU" : `failed with code ${end.code}`);
}

function listed(all: readonly Row[], lost: string[], notes: string[]): Listed {
  const gpus = all.map(({ isMig: _isMig, ...gpu }) => gpu);
  const isSmall = ({ model }: Gpu) => DISPLAY.test(model) || SMALL.test(model);
  const hasLarge = gpus.some((gpu) => !isSmall(gpu));
  const isDisplay = (gpu: Gpu) => DISPLAY.test(gpu.model) || (hasLarge && isSmall(gpu));
  return {
    kind: "listed",
    gpus: gpus.filter((gpu) => !isDisplay(gpu)),
    displays: gpus.filter(isDisplay),
    lost,
    notes,
  };
}

/** Puts the slices in place of the GPUs that are divided: CUDA sees nothing else of them. */
function withSlices(survey: Listed, rows: readonly Row[], list: string): Listed {
  const divided = new Set(rows.filter(({ isMig }) => isMig).map(({ uuid }) => uuid));
  const slices = readSlices(list);
  const notes = [...survey.notes];
  const gpus = survey.gpus.flatMap((gpu): Gpu[] => {
    if (!divided.has(gpu.uuid)) return [gpu];
    const own = gpu.uuid === null ? undefined : slices.get(gpu.uuid);
    if (own === undefined) {
      notes.push(`the MIG slices of ${gpu.uuid ?? "a GPU"} could not be listed`);
      return [{ ...gpu, model: `${gpu.model} MIG` }];
    }
    if (own.length === 0) notes.push(`${gpu.uuid} is in MIG mode without slices: not usable`);
    return own.map(({ profile, uuid }) => ({
      ...gpu,
      model: `${gpu.model} MIG ${profile}`,
      uuid,
      memoryMib: memoryOfProfile(profile),
    }));
  });
  return { ...survey, gpus, notes };
}
