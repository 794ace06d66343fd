import { readFileSync } from "node:fs";
import { isRecord } from "./protocol.ts";

/** A recorded QuickMark result, to be sent in place of a measurement and marked as such. */
export interface Replay {
  gpuModel: string;
  gpuCount: number;
  /** Duration of the real run; the replay takes a sixtieth of it. */
  durationSeconds: number;
  inventory: Record<string, unknown>;
  results: Record<string, unknown>;
}

/** Reads a recording; the message of a failure is made for the person who started the agent. */
export function loadReplay(
  file: string,
): { ok: true; replay: Replay } | { ok: false; message: string } {
  let body: unknown;
  try {
    body = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    const reason = error instanceof SyntaxError ? "it is not JSON" : "it cannot be read";
    return { ok: false, message: `--replay ${file}: ${reason}` };
  }
  const parsed = parseReplay(body);
  return parsed.ok ? parsed : { ok: false, message: `--replay ${file}: ${parsed.message}` };
}

/** Accepts what the server's QuickMark schema requires, so that a bad file fails at start. */
export function parseReplay(
  body: unknown,
): { ok: true; replay: Replay } | { ok: false; message: string } {
  const no = (message: string) => ({ ok: false as const, message });
  if (!isRecord(body)) return no("must hold a JSON object");
  const { about, gpu_model: model, gpu_count: count, duration_seconds: duration } = body;
  if (typeof about !== "string" || about === "")
    return no("about must name the source of the figures");
  if (typeof model !== "string" || model === "") return no("gpu_model must be a name");
  if (typeof count !== "number" || !Number.isInteger(count) || count < 1) {
    return no("gpu_count must be a whole number, at least 1");
  }
  if (typeof duration !== "number" || !(duration > 0 && duration <= 86_400)) {
    return no("duration_seconds must be a number above 0, at most 86400");
  }
  if (!isRecord(body.inventory)) return no("inventory must be an object");
  if (!isRecord(body.results)) return no("results must be an object");
  const tests = body.results.test_results;
  const rated = body.results.aggregate_results ?? (Array.isArray(tests) ? tests[0] : undefined);
  if (!isRecord(rated) || !isFigure(rated.bf16_tflops) || !isFigure(rated.memory_bandwidth_gbs)) {
    return no(
      "results need bf16_tflops and memory_bandwidth_gbs in aggregate_results or test_results[0]",
    );
  }
  return {
    ok: true,
    replay: {
      gpuModel: model,
      gpuCount: count,
      durationSeconds: duration,
      inventory: body.inventory,
      results: body.results,
    },
  };
}

function isFigure(value: unknown): boolean {
  return typeof value === "number" && value >= 0;
}
