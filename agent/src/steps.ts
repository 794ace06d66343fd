import type { Clock } from "./clock.ts";
import type { Bounds } from "./cluster-network/bounds.ts";
import type { PeerRules } from "./cluster-network/peer-address.ts";
import { runClusterNetwork } from "./cluster-network/step.ts";
import { type HostMeasuring, runHostMark } from "./host/step.ts";
import { clip, type Log } from "./log.ts";
import { type Measuring, runQuickMark } from "./quick-mark.ts";
import type { RunStep } from "./step-context.ts";
import { AGENT_VERSION } from "./version.ts";

/** The benchmarks this agent knows. */
export function createStepRunner(options: {
  measuring: Measuring;
  host: HostMeasuring;
  peers: PeerRules;
  clock: Clock;
  log: Log;
  bounds: Bounds;
}): RunStep {
  const { measuring, host, peers, clock, log, bounds } = options;

  const run: RunStep = (step, context) => {
    switch (step.benchmarkId) {
      case "quick_mark":
        return runQuickMark(measuring, { clock, log, ...context });
      case "host_mark":
        return runHostMark(host, step.config, { clock, log, ...context });
      case "cluster_network":
        return runClusterNetwork(step, context, { rules: peers, bounds, log });
      default:
        return Promise.resolve({
          state: "failed",
          errorMessage: `agent ${AGENT_VERSION} does not support the benchmark ${clip(step.benchmarkId, 100)}`,
        });
    }
  };

  return async (step, context) => {
    try {
      return await run(step, context);
    } catch (error) {
      context.signal.throwIfAborted();
      // A bug in one step must not cost the node its other steps.
      log(`step ${step.position}: ${error instanceof Error ? error.stack : String(error)}`);
      return { state: "failed", errorMessage: `unexpected error in the agent: ${String(error)}` };
    }
  };
}
