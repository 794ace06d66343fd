/** Matrix products by a PyTorch that is installed here: `torch.mm`, as its users run it. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isRecord } from "../protocol.ts";
import type { ProductCheck, RemoteEngine } from "./engine.ts";
import { spread } from "./product-check.ts";
import { type SyncChild, startSyncChild } from "./sync-child.ts";
import { TORCH_PROGRAM } from "./torch-program.ts";

/** Importing it takes 4 to 8 s from a warm disk. */
const START_MS = 60_000;
const ANSWER_MS = 15_000;
const LOOK_MS = 10_000;

const LOOK = `import sys
sys.path = [p for p in sys.path if p not in ("", ".")]
import importlib.util
sys.exit(0 if importlib.util.find_spec("torch") else 1)`;

type Environment = Record<string, string | undefined>;

/**
 * Pythons of this machine that have PyTorch, best first: an active environment, then the path, then usual places.
 *
 * @param onLook called before each is asked
 */
export function findTorch(env: Environment, onLook: () => void): string[] {
  const pythons = [env.VIRTUAL_ENV, env.CONDA_PREFIX].flatMap((prefix) =>
    prefix ? [join(prefix, "bin/python3")] : [],
  );
  const usual = ["/opt/conda/bin/python3", "/venv/main/bin/python3", "/usr/bin/python3"];
  const candidates = [...pythons, "python3", ...usual].filter(
    (python) => !python.startsWith("/") || existsSync(python),
  );
  const found = candidates.filter((python) => {
    onLook();
    const { status } = spawnSync(python, ["-c", LOOK], {
      timeout: LOOK_MS,
      killSignal: "SIGKILL",
      stdio: "ignore",
    });
    return status === 0;
  });
  return [...new Set(found)];
}

/**
 * Starts PyTorch.
 *
 * @param onTick called now and then while it starts
 * @throws when it does not start, or sees no GPU
 */
export function openTorch(python: string, onTick: () => void): RemoteEngine {
  const child = startSyncChild(python, ["-u", "-c", TORCH_PROGRAM]);
  let opened: { library: string; gpus: number };
  try {
    const { version, gpus } = receive(child, START_MS, onTick);
    if (typeof version !== "string" || typeof gpus !== "number") throw unexpected();
    opened = { library: version.slice(0, 64), gpus };
  } catch (error) {
    child.end();
    throw error;
  }
  const ask = (question: Record<string, unknown>): Record<string, unknown> => {
    child.send(JSON.stringify(question));
    return receive(child, ANSWER_MS, onTick);
  };
  return {
    id: "torch",
    library: opened.library,
    open(type, n, gpus) {
      if (opened.gpus !== gpus) {
        throw new Error(`PyTorch sees ${opened.gpus} GPUs, and the driver ${gpus}`);
      }
      ask({ do: "open", type, n });
      return {
        start(calls) {
          child.send(JSON.stringify({ do: "batch", calls }));
          return () => timesOf(receive(child, ANSWER_MS, onTick).ms, gpus);
        },
        check: () =>
          checksOf(ask({ do: "check", rows: spread(16, n), columns: spread(64, n) }).checks, gpus),
        close() {
          try {
            ask({ do: "close" });
          } catch {
            // It has ended, and what it held with it.
          }
        },
      };
    },
  };
}

function receive(child: SyncChild, withinMs: number, onTick: () => void): Record<string, unknown> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const line = child.receive(Math.max(1, deadline - performance.now()), onTick);
    const answer = parse(line);
    if (answer === null) continue;
    if (typeof answer.fault === "string") throw new Error(answer.fault);
    return answer;
  }
}

/** Null for what packages print. */
function parse(line: string): Record<string, unknown> | null {
  try {
    const body: unknown = JSON.parse(line);
    return isRecord(body) && body.assay === 1 ? body : null;
  } catch {
    return null;
  }
}

function timesOf(times: unknown, gpus: number): number[] {
  if (!Array.isArray(times) || times.length !== gpus) throw unexpected();
  return times.map((ms: unknown) => {
    if (typeof ms !== "number") throw unexpected();
    return ms;
  });
}

function checksOf(checks: unknown, gpus: number): ProductCheck[] {
  if (!Array.isArray(checks) || checks.length !== gpus) throw unexpected();
  return checks.map((check: unknown) => {
    if (!isRecord(check)) throw unexpected();
    const { repeatable, error } = check;
    return {
      isRepeatable: repeatable === true,
      error: typeof error === "number" ? error : Number.POSITIVE_INFINITY,
    };
  });
}

function unexpected(): Error {
  return new Error("PyTorch's program gave an unexpected answer");
}
