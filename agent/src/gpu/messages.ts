/** What the measuring process writes, one JSON object a line, and how the agent reads it. */
import { isRecord } from "../protocol.ts";

export const ENGINES = ["cublaslt", "ptx", "torch"] as const;
export type EngineName = (typeof ENGINES)[number];

export interface ProbeOptions {
  /** Null: cuBLASLt if the machine has it, otherwise this agent's own kernel. */
  engine: EngineName | null;
  /** Folder with cuBLASLt; null to look for it. */
  cublas: string | null;
  busyOk: boolean;
}

export type Results = Record<string, unknown>;

export type ProbeMessage =
  | { type: "progress"; progress: number; message: string }
  /** For the agent's log. */
  | { type: "note"; message: string }
  /** All figures so far: what is left if the process ends here. */
  | { type: "partial"; results: Results }
  | { type: "result"; results: Results }
  | { type: "failure"; code: string; message: string; hint: string | null };

export function parseProbeMessage(line: string): ProbeMessage | null {
  let body: unknown;
  try {
    body = JSON.parse(line);
  } catch {
    return null;
  }
  if (!isRecord(body)) return null;
  const { type, progress, message, results, code, hint } = body;
  switch (type) {
    case "progress":
      if (typeof progress !== "number" || typeof message !== "string") return null;
      return { type, progress: Math.min(1, Math.max(0, progress)), message };
    case "note":
      return typeof message === "string" ? { type, message } : null;
    case "partial":
    case "result":
      return isRecord(results) ? { type, results } : null;
    case "failure":
      if (typeof code !== "string" || typeof message !== "string") return null;
      return { type, code, message, hint: typeof hint === "string" ? hint : null };
    default:
      return null;
  }
}

export function parseProbeOptions(text: string | undefined): ProbeOptions {
  let body: unknown;
  try {
    body = JSON.parse(text ?? "{}");
  } catch {
    body = {};
  }
  const { engine, cublas, busyOk } = isRecord(body) ? body : {};
  return {
    engine: ENGINES.find((name) => name === engine) ?? null,
    cublas: typeof cublas === "string" ? cublas : null,
    busyOk: busyOk === true,
  };
}
